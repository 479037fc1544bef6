//! New connections: address, TCP, TLS, HTTP.
//!
//! 1. A connection is driven by a task of the runtime that dialled it.
//! 2. That task ends when the last sender of the connection and the last body on it are gone, or the origin ends it.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::TcpKeepalive;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::failure::{Cause, Failure};

/// The body of a request to an origin.
pub(super) type Outgoing = UnsyncBoxBody<Bytes, Cause>;

/// How long one address may keep the next from being tried (RFC 8305 5).
const STAGGER: Duration = Duration::from_millis(250);
/// How long nothing is heard of an origin before the kernel asks whether it is still there.
const PROBE_AFTER: Duration = Duration::from_secs(60);
/// Bytes of the head of an answer.
const MAX_HEAD: usize = 64 << 10;
/// An HTTP/2 connection with a request on it is asked for a sign of life this often, and given up after as long again.
const PING: Duration = Duration::from_secs(15);

/// A connection that requests can be sent on.
#[derive(Debug)]
pub(super) enum Sender {
    /// One request at a time.
    One(http1::SendRequest<Outgoing>),
    /// Many; a clone is the same connection.
    Many(http2::SendRequest<Outgoing>),
}

/// Where an origin is, and how it is spoken to.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Option<Tls>,
    /// HTTP/2 without TLS to agree on it, or else none at all.
    pub(super) http2_only: bool,
}

/// TLS to one origin.
pub(super) struct Tls {
    /// None if the settings are such that no handshake is possible.
    pub(super) connector: Option<TlsConnector>,
    pub(super) name: Option<ServerName<'static>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// A new connection. `limit` is for finding and reaching an address, and again for the handshakes.
    pub(super) async fn dial(&self, limit: Duration) -> Result<Sender, (Failure, Cause)> {
        let stream = match timeout(limit, self.connect()).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err((Failure::Down, error.into())),
            Err(_) => return Err((Failure::ConnectTimeout, "no connection in time".into())),
        };
        match timeout(limit, self.greet(stream)).await {
            Ok(greeted) => greeted,
            Err(_) => Err((Failure::ConnectTimeout, "no handshake in time".into())),
        }
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let stream = match self.host.parse::<IpAddr>() {
            Ok(address) => TcpStream::connect((address, self.port)).await?,
            // Asked each time: what a name stands for changes, and the system's resolver has its own cache.
            Err(_) => race(tokio::net::lookup_host((self.host.as_str(), self.port)).await?.collect()).await?,
        };
        stream.set_nodelay(true)?;
        // What became a tunnel has no time limit: an origin that is gone without a word must not hold it for ever.
        socket2::SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_AFTER))?;
        Ok(stream)
    }

    async fn greet(&self, stream: TcpStream) -> Result<Sender, (Failure, Cause)> {
        let Some(tls) = &self.tls else {
            return speak(stream, self.http2_only).await;
        };
        let (Some(connector), Some(name)) = (&tls.connector, &tls.name) else {
            return Err((Failure::Tls, "no TLS by these settings".into()));
        };
        let stream = connector.connect(name.clone(), stream).await.map_err(|error| (Failure::Tls, error.into()))?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2".as_slice());
        if self.http2_only && !http2 {
            return Err((Failure::Tls, "it does not agree on HTTP/2".into()));
        }
        speak(stream, http2).await
    }
}

/// Connects to the first of several addresses that answers; each gets a short lead on the next (RFC 8305).
pub(super) async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut rest = interleaved(addresses).into_iter();
    let mut attempts = JoinSet::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        match rest.next() {
            Some(address) => drop(attempts.spawn(TcpStream::connect(address))),
            None if attempts.is_empty() => return Err(last),
            None => {}
        }
        let more = rest.len() > 0;
        tokio::select! {
            Some(ended) = attempts.join_next() => match ended {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(error) => last = io::Error::other(error),
            },
            () = sleep(STAGGER), if more => {}
        }
    }
}

/// Families in turn, beginning with that of the first address.
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut all = Vec::new();
    loop {
        let before = all.len();
        all.extend(one.next());
        all.extend(other.next());
        if all.len() == before {
            return all;
        }
    }
}

async fn speak<S>(stream: S, http2: bool) -> Result<Sender, (Failure, Cause)>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let io = TokioIo::new(stream);
    if http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .max_header_list_size(MAX_HEAD as u32);
        let (sender, connection) = builder.handshake(io).await.map_err(|error| (Failure::Reset, error.into()))?;
        drop(tokio::spawn(async move { ended(connection.await) }));
        Ok(Sender::Many(sender))
    } else {
        let mut builder = http1::Builder::new();
        // Of a head that came in one read, the size of the buffer says nothing.
        builder.max_buf_size(MAX_HEAD).max_header_size(MAX_HEAD);
        let (sender, connection) = builder.handshake(io).await.map_err(|error| (Failure::Reset, error.into()))?;
        drop(tokio::spawn(async move { ended(connection.with_upgrades().await) }));
        Ok(Sender::One(sender))
    }
}

fn ended(result: Result<(), hyper::Error>) {
    if let Err(error) = result {
        tracing::debug!(error = %super::failure::Chain(&error as &(dyn Error + 'static)), "origin connection ended");
    }
}

/// TLS by these settings to an origin of this name.
pub(super) fn tls(
    settings: &crate::config::OriginTls,
    http2: crate::config::OriginHttp2,
    host: &str,
    system: &super::roots::SystemRoots,
) -> Tls {
    use crate::config::OriginHttp2;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    let roots = match &settings.ca {
        None => system.get(),
        Some(trusted) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(trusted.iter().cloned());
            Arc::new(roots)
        }
    };
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok().map(|made| {
        let mut config = made.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = match http2 {
            OriginHttp2::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            OriginHttp2::Always => vec![b"h2".to_vec()],
            OriginHttp2::Never => vec![b"http/1.1".to_vec()],
        };
        config
    });
    let name = settings.sni.as_deref().unwrap_or(host);
    Tls {
        connector: config.map(|config| TlsConnector::from(Arc::new(config))),
        name: ServerName::try_from(name.to_owned()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn families_take_turns() {
        let v6 = |port| SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port));
        let mixed = interleaved(vec![v6(1), v6(2), v6(3), v4(1)]);
        assert_eq!(mixed, [v6(1), v4(1), v6(2), v6(3)]);
    }

    #[tokio::test]
    async fn the_kernel_asks_after_origins_that_say_nothing() {
        let live = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = live.local_addr().expect("bound").port();
        let origin = Endpoint { host: "127.0.0.1".to_owned(), port, tls: None, http2_only: false };
        let stream = origin.connect().await.expect("it listens");
        assert!(socket2::SockRef::from(&stream).keepalive().expect("a socket"));
    }

    #[tokio::test]
    async fn every_address_of_a_name_is_tried() {
        let live = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let dead = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (live_at, dead_at) = (live.local_addr().expect("bound"), dead.local_addr().expect("bound"));
        drop(dead);
        let stream = race(vec![dead_at, dead_at, live_at]).await.expect("the last one is there");
        assert_eq!(stream.peer_addr().expect("connected"), live_at);
        let error = race(vec![dead_at, dead_at]).await.expect_err("nobody is there");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(race(Vec::new()).await.expect_err("no address").kind(), io::ErrorKind::NotFound);
    }
}
