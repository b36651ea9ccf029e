//! A connection to a receiver, for one exchange, with a bound on all that it brings.
//!
//! The bound is on the bytes of the connection, not on those of the answer: an HTTP client reads
//! informational answers (1xx) for as long as they come, a TLS client whatever belongs to its handshake.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls_platform_verifier::BuilderVerifierExt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, join};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{InvalidDnsNameError, ServerName};
use tokio_rustls::rustls::{self, ClientConfig};

/// Most bytes that a receiver may send on one connection: certificates, heads and body. After them the
/// connection is as good as closed.
const CONNECTION_BYTES_MAX: u64 = 256 * 1024;
/// Most bytes of an answer's body that are read. Nobody needs them; they are read so that a receiver
/// that is still writing does not see its connection reset.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long they are read. A receiver need not say where its answer ends.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(1);

/// Bytes to and from a receiver, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(super) type Connection = Box<dyn Stream>;

/// Certificates are believed as this machine believes them.
pub(super) fn trust() -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Connects to an address.
pub(super) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Makes a connection of a stream, encrypted for `host` where there is `tls`.
pub(super) async fn secured(
    stream: TcpStream,
    tls: Option<&TlsConnector>,
    host: &str,
) -> io::Result<Connection> {
    let (read, write) = stream.into_split();
    let bounded = join(read.take(CONNECTION_BYTES_MAX), write);
    let Some(tls) = tls else {
        return Ok(Box::new(bounded));
    };
    let host = server_name(host).map_err(io::Error::other)?;
    Ok(Box::new(tls.connect(host, bounded).await?))
}

/// A host as URLs have it, where IPv6 addresses stand in brackets.
fn server_name(host: &str) -> Result<ServerName<'static>, InvalidDnsNameError> {
    let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    ServerName::try_from(bare.unwrap_or(host).to_owned())
}

/// Sends a request and reads its answer, whose status it returns.
pub(super) async fn exchange(
    connection: Connection,
    request: Request<Full<Bytes>>,
) -> hyper::Result<StatusCode> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(connection)).await?;
    let mut answered = pin!(async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        // The status is what counts, also when the body does not end.
        drop(timeout(ANSWER_WAIT_MAX, read_away(response)).await);
        Ok(status)
    });
    tokio::select! {
        status = &mut answered => return status,
        // The answer may have come with the end of the connection, which is then no fault.
        _end = connection => {}
    }
    answered.await
}

/// Reads what an answer has, up to its bound.
async fn read_away(response: Response<Incoming>) {
    let mut body = response.into_body();
    let mut read = 0;
    while read < ANSWER_BYTES_MAX {
        // A body that breaks off changes nothing: the status was there.
        let Some(Ok(frame)) = body.frame().await else {
            return;
        };
        read += frame.data_ref().map_or(0, Bytes::len);
    }
}
