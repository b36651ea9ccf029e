//! What a server is made of, as its settings want it.

use crate::access::{Access, AccessParts, AuthMode, Door, Registry, Role, Tokens, Verified};
use crate::broadcast::{Hub, HubParts, HubThreads};
use crate::clock::Clock;
use crate::config::ServeConfig;
use crate::database::{self, DocumentDatabase, OpenMode};
use crate::domain::{Sites, Timestamp};
use crate::host::Host;
use crate::http::{AllowedOrigins, BodyReader, TrustedProxies};
use crate::models::Models;
use crate::pipeline::Pipeline;
use crate::query::Source;
use crate::read_budget::ReadBudget;
use crate::shutdown::Shutdown;
use crate::store::{Store, WriteQueue};
use crate::webhook::{News, WebhookParts, Webhooks};
use anyhow::Context;
use std::sync::Arc;
use std::time::Duration;

pub(super) async fn documents(config: &ServeConfig) -> anyhow::Result<Arc<dyn DocumentDatabase>> {
    database::open_documents(&config.store.database.database_url)
        .await
        .context("DATABASE_URL: the documents cannot be read")
}

pub(super) async fn models(
    config: &ServeConfig,
    store: &Store,
    documents: Arc<dyn DocumentDatabase>,
) -> anyhow::Result<Models> {
    let file = database::file_of(&config.store.database.database_url)?;
    let folder = config.models.folder(file);
    let (rooms, limits) = (Arc::new(store.clone()), config.models.limits());
    Ok(Models::open(documents, rooms, &folder, limits).await?)
}

pub(super) async fn access(
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

pub(super) async fn webhooks(
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
pub(super) fn demo_token(gate: &Access, now: Timestamp) -> anyhow::Result<String> {
    const FOR_EVER: Duration = Duration::from_hours(10 * 365 * 24);
    gate.issue(&Verified {
        subject: "demo".to_owned(),
        session: None,
        role: Some(Role::Operator),
        sites: Sites::ALL,
        expires_at: now.plus(FOR_EVER),
    })
}

pub(super) async fn store(config: &ServeConfig, clock: &dyn Clock) -> anyhow::Result<Store> {
    let database = database::open(&config.store.database.database_url, OpenMode::Owner)
        .await
        .context("DATABASE_URL: the database cannot be opened")?;
    let (profile, limits) = (config.score_profile, config.store.replay_limits());
    Store::open(database, profile, clock.now(), limits)
        .await
        .context("DATABASE_URL: the database cannot be read")
}

pub(super) fn bodies(config: &ServeConfig) -> BodyReader {
    BodyReader::new(
        config.body_bytes_max,
        config.body_expanded_bytes_max,
        config.body_timeout,
    )
}

pub(super) fn hub(
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
        origins: AllowedOrigins::new(&config.allowed_origins),
        trusted_proxies: TrustedProxies::new(&config.trusted_proxies),
    }
}

pub(super) fn source(
    config: &ServeConfig,
    clock: &Arc<dyn Clock>,
    store: &Store,
    hub: &Hub,
) -> Source {
    Source {
        store: store.clone(),
        budget: hub.read_budget().clone(),
        clock: Arc::clone(clock),
        profile: config.score_profile,
    }
}

pub(super) fn pipeline(
    config: &ServeConfig,
    clock: &Arc<dyn Clock>,
    queue: &WriteQueue,
) -> Pipeline {
    Pipeline {
        clock: Arc::clone(clock),
        tvoc_unit: config.tvoc_unit,
        profile: config.score_profile,
        readings_max: config.batch_readings_max,
        queue: queue.clone(),
    }
}
