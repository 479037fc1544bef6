//! Calling webhooks: what is due is sent, a connection each, and the outcome reported.
//!
//! Invariants:
//!
//! 1. Where private addresses are not allowed, every address a name has is checked, and the connection is made to an address that was: a name
//!    that changes its mind in between reaches nothing else.
//! 2. Redirects are answers like any other, that is none a webhook was taken with.
//! 3. No log line holds a URL, a header field or a body: they may hold secrets.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::uri::Authority;
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use oust_api::{Api, Callback};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::address::is_public;

/// How often it is asked what is due.
const POLL: Duration = Duration::from_millis(100);
/// How long one may take, from its name to the status.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends the callbacks of an API.
#[derive(Debug)]
pub(crate) struct Webhooks {
    api: Arc<Api>,
    post: Arc<Post>,
    calls: JoinSet<bool>,
    /// Which callback each of `calls` sends.
    under_way: HashMap<Id, u64>,
}

impl Webhooks {
    pub(super) fn new(api: Arc<Api>) -> Self {
        let post = Arc::new(Post { patience: PATIENCE, tls: OnceLock::new() });
        Self { api, post, calls: JoinSet::new(), under_way: HashMap::new() }
    }

    /// Sends until `stop` turns true, then what is due by then; returns when nothing is under way.
    pub(crate) async fn serve(mut self, mut stop: watch::Receiver<bool>) {
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping = false;
        while !stopping || !self.calls.is_empty() {
            tokio::select! {
                _ = stop.wait_for(|&stop| stop), if !stopping => stopping = true,
                _ = poll.tick(), if !stopping => {}
                Some(ended) = self.calls.join_next_with_id() => {
                    let (id, delivered) = ended.unwrap_or_else(|error| (error.id(), false));
                    if let Some(callback) = self.under_way.remove(&id) {
                        self.api.callback_done(callback, delivered);
                    }
                }
            }
            self.begin();
        }
    }

    /// Begins with all that is due. How many that may be is the API's business: what it has handed out must not wait here until it counts as lost.
    fn begin(&mut self) {
        for callback in self.api.due_callbacks() {
            let (id, post) = (callback.id, self.post.clone());
            let task = self.calls.spawn(async move {
                let sent = post.send(&callback).await;
                match &sent {
                    Ok(()) => tracing::debug!(id = callback.id, "webhook called"),
                    Err(error) => tracing::warn!(id = callback.id, %error, "webhook not called"),
                }
                sent.is_ok()
            });
            self.under_way.insert(task.id(), id);
        }
    }
}

/// Why a webhook was not called.
#[derive(Debug)]
enum Failure {
    /// Its URL is none that can be called.
    Url,
    /// Its name resolves to an address it may not call.
    Private,
    /// No trust store of the system can be read.
    NoRoots,
    Io(io::Error),
    Http(hyper::Error),
    /// It did not take the callback.
    Status(StatusCode),
    Timeout,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str("its URL is not http(s)://host"),
            Self::Private => f.write_str("its host has an address that is not public"),
            Self::NoRoots => f.write_str("this system has no certificates to trust"),
            Self::Io(error) => error.fmt(f),
            Self::Http(error) => error.fmt(f),
            Self::Status(status) => write!(f, "it answered {status}"),
            Self::Timeout => f.write_str("no answer in time"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<hyper::Error> for Failure {
    fn from(error: hyper::Error) -> Self {
        Self::Http(error)
    }
}

/// Sends one POST.
struct Post {
    patience: Duration,
    /// Made for the first `https` URL: most servers never call one.
    tls: OnceLock<Option<TlsConnector>>,
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl Post {
    async fn send(&self, callback: &Callback) -> Result<(), Failure> {
        match tokio::time::timeout(self.patience, self.try_send(callback)).await {
            Ok(sent) => sent,
            Err(_) => Err(Failure::Timeout),
        }
    }

    async fn try_send(&self, callback: &Callback) -> Result<(), Failure> {
        let url: Uri = callback.url.parse().map_err(|_| Failure::Url)?;
        let authority = url.authority().ok_or(Failure::Url)?;
        let default_port = match url.scheme_str() {
            Some("http") => 80,
            Some("https") => 443,
            _ => return Err(Failure::Url),
        };
        let bare = authority.host().trim_start_matches('[').trim_end_matches(']');
        let request = request(callback, &url, authority)?;
        let stream = connect(bare, authority.port_u16().unwrap_or(default_port), callback.private).await?;
        let status = if default_port == 80 {
            exchange(stream, request).await?
        } else {
            let name = ServerName::try_from(bare.to_owned()).map_err(|_| Failure::Url)?;
            let tls = self.tls.get_or_init(system_roots).as_ref().ok_or(Failure::NoRoots)?;
            exchange(tls.connect(name, stream).await?, request).await?
        };
        if status.is_success() { Ok(()) } else { Err(Failure::Status(status)) }
    }
}

fn request(callback: &Callback, url: &Uri, authority: &Authority) -> Result<Request<Full<bytes::Bytes>>, Failure> {
    let mut request = Request::new(Full::from(callback.body.clone()));
    *request.method_mut() = http::Method::POST;
    let target = url.path_and_query().map_or("/", |target| target.as_str());
    *request.uri_mut() = target.parse().map_err(|_| Failure::Url)?;
    *request.headers_mut() = callback.headers.clone();
    // What a URL says before `@` is for nobody but who wrote it.
    let host = authority.as_str().rsplit('@').next().unwrap_or_default();
    request.headers_mut().insert(header::HOST, HeaderValue::from_str(host).map_err(|_| Failure::Url)?);
    request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

/// A connection to a host, if every address it has may be called.
async fn connect(host: &str, port: u16, private: bool) -> Result<TcpStream, Failure> {
    let addrs: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
    if !private && !addrs.iter().all(|addr| is_public(addr.ip())) {
        return Err(Failure::Private);
    }
    // Tries each of them, and resolves nothing: they are addresses.
    Ok(TcpStream::connect(&addrs[..]).await?)
}

/// Sends the request; the status of the answer is all that counts.
async fn exchange<S>(stream: S, request: Request<Full<bytes::Bytes>>) -> Result<StatusCode, Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let asking = sender.send_request(request);
    tokio::pin!(connection, asking);
    tokio::select! {
        response = &mut asking => Ok(response?.status()),
        ended = &mut connection => {
            ended?;
            Ok(asking.await?.status())
        }
    }
}

/// TLS with what the system trusts.
fn system_roots() -> Option<TlsConnector> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "certificates to trust");
    }
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() { None } else { trusting(roots) }
}

fn trusting(roots: RootCertStore) -> Option<TlsConnector> {
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    Some(TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth())))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use bytes::Bytes;
    use http::HeaderMap;
    use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

    use super::*;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
    }

    fn callback(url: String, private: bool) -> Callback {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        Callback { id: 1, url, headers, body: Bytes::from_static(b"{\"a\":1}"), private }
    }

    fn post(patience: Duration) -> Post {
        Post { patience, tls: OnceLock::new() }
    }

    const LONG: Duration = Duration::from_secs(20);

    /// Answers one connection; what it was sent.
    fn receive(listener: TcpListener, answer: &'static str) -> thread::JoinHandle<String> {
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            talk(&mut stream, answer)
        })
    }

    fn talk(stream: &mut (impl Read + Write), answer: &str) -> String {
        let mut seen = Vec::new();
        let mut buf = [0; 1024];
        while !seen.ends_with(b"{\"a\":1}") {
            match stream.read(&mut buf) {
                Ok(read) if read > 0 => seen.extend_from_slice(&buf[..read]),
                _ => return String::new(),
            }
        }
        stream.write_all(answer.as_bytes()).and_then(|()| stream.flush()).expect("it reads the answer");
        String::from_utf8(seen).expect("text")
    }

    fn listener() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        (listener, port)
    }

    #[test]
    fn any_2xx_and_nothing_else_is_taken() {
        for (answer, taken) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
            ("HTTP/1.1 204 No Content\r\n\r\n", true),
            ("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", false),
            ("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", false),
            ("SSH-2.0-x\r\n", false),
        ] {
            let (listener, port) = listener();
            let receiver = receive(listener, answer);
            let callback = callback(format!("http://user@127.0.0.1:{port}/hook?a=b"), true);
            assert_eq!(run(post(LONG).send(&callback)).is_ok(), taken, "{answer}");
            let seen = receiver.join().expect("it was called");
            assert!(seen.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{seen}");
            let fields = seen.to_ascii_lowercase();
            for field in ["content-type: application/json\r\n", &format!("host: 127.0.0.1:{port}\r\n")] {
                assert!(fields.contains(field), "{field} in {seen}");
            }
            assert!(!seen.contains("user"), "{seen}");
        }
    }

    #[test]
    fn private_addresses_are_not_connected_to() {
        for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"] {
            let (listener, port) = listener();
            let sent = run(post(LONG).send(&callback(format!("http://{host}:{port}/"), false)));
            assert!(matches!(sent, Err(Failure::Private)), "{host}: {sent:?}");
            listener.set_nonblocking(true).expect("set");
            assert!(listener.accept().is_err(), "{host} was connected to");
        }
    }

    #[test]
    fn what_is_no_url_and_what_does_not_answer() {
        for url in ["", "/path", "ftp://h/", "http:///", "http://h h/"] {
            assert!(run(post(LONG).send(&callback(url.to_owned(), true))).is_err(), "{url}");
        }
        let (listener, port) = listener();
        let sent = run(post(Duration::from_millis(50)).send(&callback(format!("http://127.0.0.1:{port}/"), true)));
        assert!(matches!(sent, Err(Failure::Timeout)), "{sent:?}");
        drop(listener);
    }

    #[test]
    fn https_is_to_whom_the_name_is_certified() {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let key = made.signing_key.serialize_der().try_into().expect("a key");
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key))
            .map(Arc::new)
            .expect("a server");
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("a root");
        for (host, trusted, taken) in
            [("localhost", true, true), ("127.0.0.1", true, false), ("localhost", false, false)]
        {
            let (listener, port) = listener();
            let server = server.clone();
            let receiver = thread::spawn(move || {
                let (stream, _) = listener.accept().expect("a connection");
                let connection = ServerConnection::new(server).expect("a session");
                talk(&mut StreamOwned::new(connection, stream), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            });
            let post = post(LONG);
            let roots = if trusted { roots.clone() } else { RootCertStore::empty() };
            assert!(post.tls.set(trusting(roots)).is_ok());
            let sent = run(post.send(&callback(format!("https://{host}:{port}/hook"), true)));
            assert_eq!(sent.is_ok(), taken, "{host}: {sent:?}");
            assert_eq!(receiver.join().expect("it was called").starts_with("POST /hook "), taken);
        }
    }
}
