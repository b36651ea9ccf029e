//! The socket and the HTTP server on it.

use super::routes::{Parts, routes};
use crate::access;
use crate::broadcast::Upgrade;
use crate::config::ServeConfig;
use crate::http::{self, GuardedStream, IdleConnections, request_context};
use actix_http::{HttpService, KeepAlive, Protocol};
use actix_server::Server;
use actix_service::{ServiceFactoryExt, fn_service, map_config};
use actix_web::App;
use actix_web::dev::AppConfig;
use actix_web::middleware::from_fn;
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// A peer that acknowledges nothing for this long is gone, or does not read.
const PEER_SILENCE_MAX: Duration = Duration::from_secs(30);

/// Listens on an address.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// The HTTP server. It is put together from its parts, not from the library's usual wrapper, because
/// only so a WebSocket leaves it with its raw socket.
pub(super) fn http_server(
    config: &ServeConfig,
    listener: TcpListener,
    parts: Parts,
    upgrade: Upgrade,
) -> io::Result<Server> {
    let patience = config.http.patience(config.head_timeout);
    let idle_max = config.http.idle_connections_max / config.worker_count();
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
            let idle = Rc::new(IdleConnections::new(idle_max));
            let guard = fn_service(move |stream: TcpStream| {
                let (request_ids, idle) = (request_ids.clone(), Rc::clone(&idle));
                async move {
                    let peer = stream.peer_addr().ok();
                    let socket = socket2::SockRef::from(&stream);
                    if let Err(error) = socket.set_tcp_user_timeout(Some(PEER_SILENCE_MAX)) {
                        tracing::debug!(%error, "TCP_USER_TIMEOUT not set");
                    }
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "TCP_NODELAY not set");
                    }
                    let address = peer.map(|peer| access::customer(peer.ip()));
                    let stream = GuardedStream::new(stream, address, patience, idle, request_ids);
                    Ok((stream, Protocol::Http1, peer))
                }
            });
            let http = HttpService::build()
                // The stream knows when an idle connection has to end.
                .keep_alive(KeepAlive::Os)
                .client_request_timeout(patience.head)
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
