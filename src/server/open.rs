//! What a server is made of, as its settings want it.

use super::announce::announce;
use super::metrics;
use super::routes::Parts;
use crate::access::{self, Access, AccessParts, AuthMode, Door, Registry, Role, Tokens, Verified};
use crate::broadcast::{Hub, HubParts, HubThreads};
use crate::clock::{Clock, SystemClock};
use crate::config::ServeConfig;
use crate::database::{self, DocumentDatabase, OpenMode};
use crate::documents::{self, Follower};
use crate::domain::{Sites, Timestamp};
use crate::host::Host;
use crate::http::{AllowedOrigins, BodyReader, RequestIds, RouteMeasures, TrustedProxies};
use crate::models::Models;
use crate::pipeline::Pipeline;
use crate::query::Source;
use crate::read_budget::ReadBudget;
use crate::shutdown::Shutdown;
use crate::store::{Keeper, Store, WriteQueue, Writer};
use crate::webhook::{self, Announced, News, WebhookParts, Webhooks};
use anyhow::Context;
use futures_util::future::LocalBoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// Everything a server is made of, but for the socket it listens on.
pub(super) struct Opened {
    pub(super) access: Access,
    pub(super) documents: Arc<dyn DocumentDatabase>,
    pub(super) store: Store,
    pub(super) writer: Writer,
    pub(super) keeper: Keeper,
    pub(super) queue: WriteQueue,
    pub(super) hub: Hub,
    pub(super) hub_threads: HubThreads,
    pub(super) shutdown: Shutdown,
    clock: Arc<dyn Clock>,
    host: Arc<Host>,
    models: Models,
    webhooks: Webhooks,
    page: metrics::Page,
}

impl Opened {
    /// Opens the database, and starts the threads of the hub.
    pub(super) async fn open(config: &ServeConfig) -> anyhow::Result<Self> {
        let page = metrics::start(database::kind_of(&config.store.database.database_url))?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let shutdown = Shutdown::default();
        let host = Arc::default();
        let store = store(config, clock.as_ref()).await?;
        let documents = documents(config).await?;
        let access = access(config, &clock, Arc::clone(&documents)).await?;
        let models = models(config, &store, Arc::clone(&documents)).await?;
        let (hub, hub_threads) = hub(config, &clock, &store, &access, &host, &shutdown);
        let (announced, news) = Announced::before(Arc::new(hub.clone()));
        let webhooks = webhooks(config, &clock, &store, Arc::clone(&documents), news).await?;
        let (writer, queue) = Writer::new(
            &store,
            Arc::new(announced),
            config.score_profile,
            config.store.registry_limits(),
            config.store.queue_readings_max,
            Arc::clone(&clock),
        );
        Ok(Self {
            keeper: Keeper::new(&store, config.store.retention(), Arc::clone(&clock)),
            access,
            documents,
            store,
            writer,
            queue,
            hub,
            hub_threads,
            shutdown,
            clock,
            host,
            models,
            webhooks,
            page,
        })
    }

    /// What handlers are given.
    pub(super) fn parts(
        &self,
        config: &ServeConfig,
        door: Door,
        request_ids: RequestIds,
        measures: Arc<RouteMeasures>,
    ) -> Parts {
        Parts {
            pipeline: pipeline(config, &self.clock, &self.store, &self.queue, &self.access),
            bodies: bodies(config),
            source: source(config, &self.clock, &self.store, &self.hub),
            clock: Arc::clone(&self.clock),
            hub: self.hub.clone(),
            door,
            models: self.models.clone(),
            webhooks: self.webhooks.clone(),
            page: self.page.clone(),
            measures,
            request_ids,
            shutdown: self.shutdown.clone(),
            pages_dir: config.pages_dir.clone(),
        }
    }

    /// What runs beside the server and ends by itself when that is asked to stop.
    pub(super) fn tasks(&self, config: &ServeConfig) -> Vec<LocalBoxFuture<'static, ()>> {
        let (access, webhooks) = (self.access.clone(), self.webhooks.clone());
        let followers: Vec<Box<dyn Follower>> = vec![
            Box::new(access.clone()),
            Box::new(webhooks.clone()),
            Box::new(self.models.clone()),
        ];
        let shutdown = || self.shutdown.clone();
        let documents = Arc::clone(&self.documents);
        let keys = access.published_keys().cloned();
        let keys = keys.map(|keys| access::follow_keys(keys, shutdown()));
        let mut tasks: Vec<LocalBoxFuture<'static, ()>> = vec![
            Box::pin(access::keep(access, self.store.clone(), shutdown())),
            Box::pin(documents::keep(documents, followers, shutdown())),
            Box::pin(webhook::dispatch(webhooks, shutdown())),
            Box::pin(metrics::gather(self.page.clone(), shutdown())),
            Box::pin(announce(
                self.hub.clone(),
                self.queue.clone(),
                Arc::clone(&self.host),
                Arc::clone(&self.clock),
                config.system_interval,
                shutdown(),
            )),
        ];
        if let Some(keys) = keys {
            tasks.push(Box::pin(keys));
        }
        tasks
    }

    /// What the simulated building shows for as long as this process lives.
    pub(super) fn demo_token(&self) -> anyhow::Result<String> {
        demo_token(&self.access, self.clock.now())
    }
}

async fn documents(config: &ServeConfig) -> anyhow::Result<Arc<dyn DocumentDatabase>> {
    database::open_documents(&config.store.database.database_url)
        .await
        .context("DATABASE_URL: the documents cannot be read")
}

async fn models(
    config: &ServeConfig,
    store: &Store,
    documents: Arc<dyn DocumentDatabase>,
) -> anyhow::Result<Models> {
    let file = database::file_of(&config.store.database.database_url)?;
    let folder = config.models.folder(file);
    let (rooms, limits) = (Arc::new(store.clone()), config.models.limits());
    Ok(Models::open(documents, rooms, &folder, limits).await?)
}

async fn access(
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
    let origins = &config.http.allowed_origins;
    let any_page_has = |origin: &String| origin == "null" || origin.starts_with("file:");
    if mode == AuthMode::Off && origins.iter().any(any_page_has) {
        tracing::warn!(
            "nobody has to log in, and any page can get itself an origin that IAQ_ALLOWED_ORIGINS \
             lists (null, file://): set IAQ_AUTH=required"
        );
    }
    Ok(Access::new(AccessParts {
        mode,
        registry,
        tokens: Tokens::new(config.access.jwt_secret.as_ref(), outside.as_ref())?,
        lifetimes: config.access.lifetimes(),
        limits: config.access.limits(config.batch_readings_max),
        clock: Arc::clone(clock),
    }))
}

async fn webhooks(
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

async fn store(config: &ServeConfig, clock: &dyn Clock) -> anyhow::Result<Store> {
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

fn hub(
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

pub(super) fn door(config: &ServeConfig, gate: &Access) -> Door {
    Door {
        access: gate.clone(),
        origins: AllowedOrigins::new(&config.http.allowed_origins),
        trusted_proxies: TrustedProxies::new(&config.trusted_proxies),
    }
}

fn source(config: &ServeConfig, clock: &Arc<dyn Clock>, store: &Store, hub: &Hub) -> Source {
    Source {
        store: store.clone(),
        budget: hub.read_budget().clone(),
        clock: Arc::clone(clock),
        profile: config.score_profile,
        zone: config.timezone.clone(),
    }
}

fn pipeline(
    config: &ServeConfig,
    clock: &Arc<dyn Clock>,
    store: &Store,
    queue: &WriteQueue,
    access: &Access,
) -> Pipeline {
    Pipeline {
        clock: Arc::clone(clock),
        tvoc_unit: config.tvoc_unit,
        profile: config.score_profile,
        readings_max: config.batch_readings_max,
        store: store.clone(),
        queue: queue.clone(),
        measures: Arc::default(),
        access: Some(access.clone()),
    }
}
