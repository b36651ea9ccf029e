//! The server as one thing that is built, runs and stops.

use super::announce::announce;
use super::http_server::{http_server, listen};
use super::metrics;
use super::open;
use super::routes::Parts;
use crate::access;
use crate::broadcast::{Hub, HubThreads, Upgrade};
use crate::clock::{Clock, SystemClock};
use crate::config::ServeConfig;
use crate::database::DocumentDatabase;
use crate::documents;
use crate::http::RequestIds;
use crate::shutdown::{Shutdown, Signals};
use crate::simulate;
use crate::store::{Keeper, Store, WriteQueue, Writer};
use crate::webhook::{self, Announced};
use actix_server::{Server, ServerHandle};
use anyhow::Context;
use futures_util::future::LocalBoxFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// A server that listens but does not serve yet.
#[expect(
    missing_debug_implementations,
    reason = "the library's server has none"
)]
pub struct Application {
    address: SocketAddr,
    server: Server,
    tasks: Tasks,
    stopping: Stopping,
    shutdown: Shutdown,
    /// The token of the simulated building, where there is one.
    demo: Option<String>,
}

/// What runs beside the server.
struct Tasks {
    writer: Writer,
    keeper: Keeper,
    /// They end by themselves when the server is asked to stop.
    others: Vec<LocalBoxFuture<'static, ()>>,
}

/// The tasks of the store, which end in order.
struct StoreTasks {
    writing: JoinHandle<()>,
    keeping: JoinHandle<()>,
    /// Everything is written: the keeper settles it and ends.
    written: CancellationToken,
}

/// What is stopped in order.
struct Stopping {
    queue: WriteQueue,
    hub: Hub,
    hub_threads: HubThreads,
    documents: Arc<dyn DocumentDatabase>,
    store: Store,
    timeout: Duration,
}

impl Application {
    /// Checks the settings, opens the database and binds the address.
    pub async fn build(config: ServeConfig) -> anyhow::Result<Self> {
        config.check()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let shutdown = Shutdown::default();
        let host = Arc::default();
        let store = open::store(&config, clock.as_ref()).await?;
        let keeper = Keeper::new(&store, config.store.retention(), Arc::clone(&clock));
        let documents = open::documents(&config).await?;
        let access = open::access(&config, &clock, Arc::clone(&documents)).await?;
        let models = open::models(&config, &store, Arc::clone(&documents)).await?;
        let (hub, hub_threads) = open::hub(&config, &clock, &store, &access, &host, &shutdown);
        let (announced, news) = Announced::before(Arc::new(hub.clone()));
        let webhooks =
            open::webhooks(&config, &clock, &store, Arc::clone(&documents), news).await?;
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
        let door = open::door(&config, &access);
        let parts = Parts {
            pipeline: open::pipeline(&config, &clock, &queue),
            bodies: open::bodies(&config),
            source: open::source(&config, &clock, &store, &hub),
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
        let demo = config.demo.then(|| open::demo_token(&access, clock.now()));
        let others: Vec<LocalBoxFuture<'static, ()>> = vec![
            Box::pin(access::keep(
                access.clone(),
                store.clone(),
                shutdown.clone(),
            )),
            Box::pin(documents::keep(
                Arc::clone(&documents),
                vec![
                    Box::new(access),
                    Box::new(webhooks.clone()),
                    Box::new(models),
                ],
                shutdown.clone(),
            )),
            Box::pin(webhook::dispatch(webhooks, shutdown.clone())),
            Box::pin(announce(
                hub.clone(),
                queue.clone(),
                host,
                clock,
                config.system_interval,
                shutdown.clone(),
            )),
        ];
        Ok(Self {
            address,
            server: http_server(&config, listener, parts, upgrade)?,
            tasks: Tasks {
                writer,
                keeper,
                others,
            },
            stopping: Stopping {
                queue,
                hub,
                hub_threads,
                documents,
                store,
                timeout: config.shutdown_timeout,
            },
            shutdown,
            demo: demo.transpose()?,
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
            address,
            server,
            tasks,
            stopping,
            shutdown,
            demo,
        } = self;
        // Before anybody can know that we listen, and stop us.
        let mut signals = Signals::listen()?;
        let handle = server.handle();
        let store_tasks = tasks.start(&shutdown);
        let serving = actix_rt::spawn(server);
        tracing::info!("listening on http://{address}");
        if let Some(token) = demo {
            simulate::start_demo(address, token, &shutdown);
        }
        tokio::select! {
            signal = signals.next() => tracing::info!(signal, "stopping"),
            () = shutdown.begun() => tracing::info!("stopping"),
        }
        shutdown.begin();
        stopping.take_nothing_more(&handle, &shutdown).await;
        store_tasks.end().await?;
        serving.await.context("the server")??;
        stopping.close().await;
        tracing::info!("stopped");
        Ok(())
    }
}

impl Tasks {
    fn start(self, shutdown: &Shutdown) -> StoreTasks {
        let written = CancellationToken::new();
        let store_tasks = StoreTasks {
            writing: actix_rt::spawn(self.writer.run()),
            keeping: actix_rt::spawn(self.keeper.run(written.clone())),
            written,
        };
        for task in self.others {
            shutdown.spawn(task);
        }
        store_tasks
    }
}

impl StoreTasks {
    /// After the queue is closed: what is written is settled.
    async fn end(self) -> anyhow::Result<()> {
        self.writing.await.context("the writer")?;
        self.written.cancel();
        self.keeping.await.context("the keeper of the store")?;
        Ok(())
    }
}

impl Stopping {
    /// Writes what waits, closes the streams, and lets requests and tasks end. Nothing new is taken in
    /// since the stop began: see `ingest::http` and `broadcast::handshake`.
    async fn take_nothing_more(&self, handle: &ServerHandle, shutdown: &Shutdown) {
        self.queue.close().await;
        tracing::debug!("everything taken is written");
        if timeout(self.timeout, self.hub.close()).await.is_err() {
            tracing::warn!("some clients did not leave in time");
        }
        handle.stop(true).await;
        if timeout(self.timeout, shutdown.tasks_ended()).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
    }

    async fn close(self) {
        drop(self.hub_threads);
        self.documents.close().await;
        self.store.close().await;
    }
}
