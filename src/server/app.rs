//! The server as one thing that is built, runs and stops.

use super::http_server::{http_server, listen};
use super::open::{self, Opened};
use crate::broadcast::{Hub, HubThreads, Upgrade};
use crate::config::ServeConfig;
use crate::database::DocumentDatabase;
use crate::http::{RequestIds, RouteMeasures};
use crate::shutdown::{Shutdown, Signals};
use crate::simulate;
use crate::store::{Keeper, Store, WriteQueue, Writer};
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
        let opened = Opened::open(&config).await?;
        let listener = listen(config.bind)
            .with_context(|| format!("IAQ_BIND: cannot listen on {}", config.bind))?;
        let address = listener.local_addr()?;
        let door = open::door(&config, &opened.access);
        let request_ids = RequestIds::default();
        let measures = Arc::<RouteMeasures>::default();
        let (ids, routes) = (request_ids.clone(), Arc::clone(&measures));
        let parts = opened.parts(&config, door.clone(), ids, routes);
        let upgrade = Upgrade {
            hub: opened.hub.clone(),
            door,
            request_ids,
            measures,
        };
        let server = http_server(&config, listener, parts, upgrade)?;
        let demo = config.demo.then(|| opened.demo_token()).transpose()?;
        let others = opened.tasks(&config);
        Ok(Self {
            address,
            server,
            tasks: Tasks {
                writer: opened.writer,
                keeper: opened.keeper,
                others,
            },
            stopping: Stopping {
                queue: opened.queue,
                hub: opened.hub,
                hub_threads: opened.hub_threads,
                documents: opened.documents,
                store: opened.store,
                timeout: config.shutdown_timeout,
            },
            shutdown: opened.shutdown,
            demo,
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
