//! The server as one thing that is built, runs and stops.

use super::announce;
use super::metrics;
use super::routes::{Parts, routes};
use crate::access::{self, Access, AccessParts, AuthMode, Door, Registry, Role, Tokens, Verified};
use crate::broadcast::{Hub, HubParts, HubThreads, Upgrade};
use crate::clock::{Clock, SystemClock};
use crate::config::ServeConfig;
use crate::database::{self, DocumentDatabase, OpenMode};
use crate::documents::{self, Follower};
use crate::domain::{Sites, Timestamp};
use crate::host::Host;
use crate::http::{
    self, AllowedOrigins, BodyReader, GuardedStream, RequestIds, TrustedProxies, request_context,
};
use crate::models::Models;
use crate::pipeline::Pipeline;
use crate::query::Source;
use crate::read_budget::ReadBudget;
use crate::shutdown::{Shutdown, Signals};
use crate::simulate;
use crate::store::{Keeper, Store, WriteQueue, Writer};
use crate::webhook::{self, Announced, News, WebhookParts, Webhooks};
use actix_http::{HttpService, Protocol};
use actix_server::{Server, ServerHandle};
use actix_service::{ServiceFactoryExt, fn_service, map_config};
use actix_web::App;
use actix_web::dev::AppConfig;
use actix_web::middleware::from_fn;
use anyhow::Context;
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// A server that listens but does not serve yet.
#[expect(
    missing_debug_implementations,
    reason = "the library's server has none"
)]
pub struct Application {
    config: ServeConfig,
    address: SocketAddr,
    server: Server,
    gate: Access,
    documents: Arc<dyn DocumentDatabase>,
    writer: Writer,
    keeper: Keeper,
    queue: WriteQueue,
    models: Models,
    webhooks: Webhooks,
    hub: Hub,
    hub_threads: HubThreads,
    clock: Arc<dyn Clock>,
    host: Arc<Host>,
    store: Store,
    shutdown: Shutdown,
}

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// A peer that acknowledges nothing for this long is gone, or does not read.
const PEER_SILENCE_MAX: Duration = Duration::from_secs(30);

impl Application {
    /// Checks the settings, opens the database and binds the address.
    pub async fn build(config: ServeConfig) -> anyhow::Result<Self> {
        config.check()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let shutdown = Shutdown::default();
        let host = Arc::default();
        let store = open_store(&config, clock.as_ref()).await?;
        let keeper = Keeper::new(&store, config.store.retention(), Arc::clone(&clock));
        let documents = open_documents(&config).await?;
        let gate = open_access(&config, &clock, Arc::clone(&documents)).await?;
        let models = open_models(&config, Arc::clone(&documents)).await?;
        let (hub, hub_threads) = start_hub(&config, &clock, &store, &gate, &host, &shutdown);
        let (announced, news) = Announced::before(Arc::new(hub.clone()));
        let webhooks = open_webhooks(&config, &clock, &store, Arc::clone(&documents), news).await?;
        let (writer, queue) = Writer::new(
            &store,
            Arc::new(announced),
            config.score_profile,
            config.store.registry_limits(),
            config.store.queue_readings_max,
            Arc::clone(&clock),
        );
        let listener = listen(config.bind)
            .with_context(|| format!("IAQ_BIND: cannot listen on {}", config.bind))?;
        let address = listener.local_addr()?;
        let request_ids = RequestIds::default();
        let door = door(&config, &gate);
        let parts = Parts {
            pipeline: pipeline(&config, &clock, &queue),
            bodies: bodies(&config),
            source: source(&config, &clock, &store, &hub),
            clock: Arc::clone(&clock),
            hub: hub.clone(),
            door: door.clone(),
            models: models.clone(),
            webhooks: webhooks.clone(),
            metrics: metrics::start(),
            request_ids: request_ids.clone(),
            shutdown: shutdown.clone(),
            pages_dir: config.pages_dir.clone(),
        };
        let upgrade = Upgrade {
            hub: hub.clone(),
            door,
            request_ids,
        };
        let server = server(&config, listener, parts, upgrade)?;
        Ok(Self {
            config,
            address,
            server,
            gate,
            documents,
            writer,
            keeper,
            queue,
            models,
            webhooks,
            hub,
            hub_threads,
            clock,
            host,
            store,
            shutdown,
        })
    }

    /// The port listened on; useful when the configured one was 0.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What stops the running server.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Serves until SIGTERM, Ctrl-C or [`Shutdown::begin`], then stops in order.
    pub async fn run_until_stopped(self) -> anyhow::Result<()> {
        let Self {
            config,
            address,
            server,
            gate,
            documents,
            writer,
            keeper,
            queue,
            models,
            webhooks,
            hub,
            hub_threads,
            clock,
            host,
            store,
            shutdown,
        } = self;
        // Before anybody can know that we listen, and stop us.
        let mut signals = Signals::listen()?;
        let handle = server.handle();
        let writing = actix_rt::spawn(writer.run());
        let written = CancellationToken::new();
        let keeping = actix_rt::spawn(keeper.run(written.clone()));
        shutdown.spawn(access::keep(gate.clone(), store.clone(), shutdown.clone()));
        let followers: Vec<Box<dyn Follower>> = vec![
            Box::new(gate.clone()),
            Box::new(webhooks.clone()),
            Box::new(models),
        ];
        let following = documents::keep(Arc::clone(&documents), followers, shutdown.clone());
        shutdown.spawn(following);
        shutdown.spawn(webhook::dispatch(webhooks, shutdown.clone()));
        announce::announce(
            &hub,
            &queue,
            host,
            Arc::clone(&clock),
            config.system_interval,
            &shutdown,
        );
        let serving = actix_rt::spawn(server);
        tracing::info!("listening on http://{address}");
        if config.demo {
            simulate::start_demo(address, demo_token(&gate, clock.now())?, &shutdown);
        }

        tokio::select! {
            signal = signals.next() => tracing::info!(signal, "stopping"),
            () = shutdown.begun() => tracing::info!("stopping"),
        }
        shutdown.begin();
        stop(&config, &queue, &hub, &handle, &shutdown).await;
        writing.await.context("the writer")?;
        written.cancel();
        keeping.await.context("the keeper of the store")?;
        serving.await.context("the server")??;
        drop(hub_threads);
        documents.close().await;
        store.close().await;
        tracing::info!("stopped");
        Ok(())
    }
}

async fn open_documents(config: &ServeConfig) -> anyhow::Result<Arc<dyn DocumentDatabase>> {
    database::open_documents(&config.store.database.database_url)
        .await
        .context("DATABASE_URL: the documents cannot be read")
}

async fn open_models(
    config: &ServeConfig,
    documents: Arc<dyn DocumentDatabase>,
) -> anyhow::Result<Models> {
    let file = database::file_of(&config.store.database.database_url)?;
    let folder = config.models.folder(file);
    Ok(Models::open(documents, &folder, config.models.limits()).await?)
}

async fn open_access(
    config: &ServeConfig,
    clock: &Arc<dyn Clock>,
    documents: Arc<dyn DocumentDatabase>,
) -> anyhow::Result<Access> {
    let registry = Registry::open(documents)
        .await
        .context("DATABASE_URL: the accounts cannot be read")?;
    let outside = config.access.outside_issuer()?;
    let mode = config.access.mode(config.bind.ip());
    if mode == AuthMode::Required && registry.has_no_account() && outside.is_none() {
        tracing::warn!(
            "everybody has to log in and nobody can: add an account with \
             `iaqverse user add NAME --role admin`"
        );
    }
    if mode == AuthMode::Off && !config.trusted_proxies.is_empty() {
        tracing::warn!(
            "nobody has to log in, and a proxy passes on requests of others: set IAQ_AUTH=required \
             unless the proxy asks them who they are"
        );
    }
    Ok(Access::new(AccessParts {
        mode,
        registry,
        tokens: Tokens::new(config.access.jwt_secret.as_ref(), outside.as_ref())?,
        lifetimes: config.access.lifetimes(),
        limits: config.access.limits(),
        clock: Arc::clone(clock),
    }))
}

async fn open_webhooks(
    config: &ServeConfig,
    clock: &Arc<dyn Clock>,
    store: &Store,
    documents: Arc<dyn DocumentDatabase>,
    news: News,
) -> anyhow::Result<Webhooks> {
    Webhooks::open(WebhookParts {
        database: documents,
        store: store.clone(),
        clock: Arc::clone(clock),
        reach: config.webhook.reach(),
        news,
        count_max: config.webhook.webhooks_max,
    })
    .await
    .context("the webhooks")
}

/// What the simulated building shows for as long as this process lives.
fn demo_token(gate: &Access, now: Timestamp) -> anyhow::Result<String> {
    const FOR_EVER: Duration = Duration::from_hours(10 * 365 * 24);
    gate.issue(&Verified {
        subject: "demo".to_owned(),
        session: None,
        role: Some(Role::Operator),
        sites: Sites::ALL,
        expires_at: now.plus(FOR_EVER),
    })
}

async fn open_store(config: &ServeConfig, clock: &dyn Clock) -> anyhow::Result<Store> {
    let database = database::open(&config.store.database.database_url, OpenMode::Owner)
        .await
        .context("DATABASE_URL: the database cannot be opened")?;
    let (profile, limits) = (config.score_profile, config.store.replay_limits());
    Store::open(database, profile, clock.now(), limits)
        .await
        .context("DATABASE_URL: the database cannot be read")
}

fn bodies(config: &ServeConfig) -> BodyReader {
    BodyReader::new(
        config.body_bytes_max,
        config.body_expanded_bytes_max,
        config.body_timeout,
    )
}

fn start_hub(
    config: &ServeConfig,
    clock: &Arc<dyn Clock>,
    store: &Store,
    gate: &Access,
    host: &Arc<Host>,
    shutdown: &Shutdown,
) -> (Hub, HubThreads) {
    let parts = HubParts {
        store: store.clone(),
        read_budget: ReadBudget::new(config.read_bytes_max),
        access: gate.clone(),
        clock: Arc::clone(clock),
        host: Arc::clone(host),
        shutdown: shutdown.clone(),
        limits: config.hub_limits(),
    };
    Hub::start(parts, config.hub_thread_count())
}

fn door(config: &ServeConfig, gate: &Access) -> Door {
    Door {
        access: gate.clone(),
        origins: AllowedOrigins::new(&config.allowed_origins),
        trusted_proxies: TrustedProxies::new(&config.trusted_proxies),
    }
}

fn source(config: &ServeConfig, clock: &Arc<dyn Clock>, store: &Store, hub: &Hub) -> Source {
    Source {
        store: store.clone(),
        budget: hub.read_budget().clone(),
        clock: Arc::clone(clock),
        profile: config.score_profile,
    }
}

fn pipeline(config: &ServeConfig, clock: &Arc<dyn Clock>, queue: &WriteQueue) -> Pipeline {
    Pipeline {
        clock: Arc::clone(clock),
        tvoc_unit: config.tvoc_unit,
        profile: config.score_profile,
        readings_max: config.batch_readings_max,
        queue: queue.clone(),
    }
}

/// The stages of a stop. Nothing new is taken in since the stop began: see `ingest::http` and
/// `broadcast::handshake`.
async fn stop(
    config: &ServeConfig,
    queue: &WriteQueue,
    hub: &Hub,
    handle: &ServerHandle,
    shutdown: &Shutdown,
) {
    queue.close().await;
    tracing::debug!("everything taken is written");
    if timeout(config.shutdown_timeout, hub.close()).await.is_err() {
        tracing::warn!("some clients did not leave in time");
    }
    handle.stop(true).await;
    if timeout(config.shutdown_timeout, shutdown.tasks_ended())
        .await
        .is_err()
    {
        tracing::warn!("some tasks did not end in time");
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// The HTTP server. It is put together from its parts, not from the library's usual wrapper, because
/// only so a WebSocket leaves it with its raw socket.
fn server(
    config: &ServeConfig,
    listener: TcpListener,
    parts: Parts,
    upgrade: Upgrade,
) -> io::Result<Server> {
    let head_timeout = config.head_timeout;
    let server = Server::build()
        .workers(config.worker_count())
        .backlog(BACKLOG.unsigned_abs())
        .shutdown_timeout(config.shutdown_timeout.as_secs().max(1))
        .disable_signals()
        .listen("iaqverse", listener, move || {
            let parts = parts.clone();
            let request_ids = parts.request_ids.clone();
            let stopping = parts.shutdown.token();
            let app = App::new()
                .wrap(from_fn(request_context))
                .configure(|app| routes(&parts, app));
            let guard = fn_service(move |stream: TcpStream| {
                let request_ids = request_ids.clone();
                async move {
                    let peer = stream.peer_addr().ok();
                    let socket = socket2::SockRef::from(&stream);
                    if let Err(error) = socket.set_tcp_user_timeout(Some(PEER_SILENCE_MAX)) {
                        tracing::debug!(%error, "TCP_USER_TIMEOUT not set");
                    }
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "TCP_NODELAY not set");
                    }
                    Ok((
                        GuardedStream::new(stream, head_timeout, request_ids),
                        Protocol::Http1,
                        peer,
                    ))
                }
            });
            let http = HttpService::build()
                .keep_alive(http::KEEP_ALIVE)
                .client_request_timeout(head_timeout)
                .client_disconnect_timeout(http::LINGER)
                .graceful_shutdown_signal(move || stopping.clone().cancelled_owned())
                .on_connect_ext(|stream: &GuardedStream, extensions| {
                    extensions.insert::<Rc<http::ConnectionGuard>>(stream.guard());
                })
                .upgrade(upgrade.clone().factory())
                .finish(map_config(app, |()| AppConfig::default()));
            guard.and_then(http)
        })?;
    Ok(server.run())
}
