//! An origin that does nothing but what the test says, byte by byte.
//!
//! The test accepts a connection, reads what was asked, writes what it likes and sees the other side end. Nothing runs beside it, so an answer is
//! held for as long as the test does not write it.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use base64::Engine as _;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{PATIENCE, Seen, read_request};

trait Both: Read + Write + Send {}
impl<T: Read + Write + Send> Both for T {}

/// A listening origin.
pub struct Scripted {
    pub addr: SocketAddr,
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
}

/// One connection to it.
pub struct Wire {
    reader: BufReader<Box<dyn Both>>,
    tcp: TcpStream,
}

impl super::Origin {
    /// One that does what the test says.
    pub fn scripted() -> Scripted {
        Scripted::new(None)
    }

    /// The same, over TLS.
    pub fn scripted_tls(config: ServerConfig) -> Scripted {
        Scripted::new(Some(Arc::new(config)))
    }
}

impl Scripted {
    fn new(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self { addr: listener.local_addr().unwrap(), listener, tls }
    }

    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.addr)
    }

    /// The next connection. Waits without a limit: a test that would hang is ended by its runner's.
    pub fn accept(&self) -> Wire {
        self.listener.set_nonblocking(false).unwrap();
        self.wire(self.listener.accept().unwrap().0)
    }

    /// Whether nobody waits to be accepted.
    pub fn is_quiet(&self) -> bool {
        self.listener.set_nonblocking(true).unwrap();
        self.listener.accept().is_err()
    }

    fn wire(&self, tcp: TcpStream) -> Wire {
        tcp.set_nonblocking(false).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let kept = tcp.try_clone().unwrap();
        let stream: Box<dyn Both> = match &self.tls {
            None => Box::new(tcp),
            Some(config) => Box::new(StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), tcp)),
        };
        Wire { reader: BufReader::new(stream), tcp: kept }
    }
}

impl Wire {
    /// The next request on it, `None` if the other side ended it instead.
    pub fn request(&mut self) -> Option<Seen> {
        read_request(&mut self.reader)
    }

    /// Bytes as they are; whether the other side still took them.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        let stream = self.reader.get_mut();
        stream.write_all(bytes).and_then(|()| stream.flush()).is_ok()
    }

    /// A whole answer.
    pub fn reply(&mut self, status: u16, headers: &str, body: &str) -> bool {
        self.write(format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
    }

    /// Waits until the other side ends the connection.
    pub fn ended(mut self) {
        let mut rest = [0; 4096];
        loop {
            match self.reader.read(&mut rest) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => {
                    assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the connection is still open");
                    return;
                }
            }
        }
    }

    /// Ends it, in the middle of whatever was written.
    pub fn end(self) {
        drop(self.tcp.shutdown(Shutdown::Both));
    }

    /// Ends it with a reset: the other side loses what it has not read.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.tcp);
        socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }
}

/// A certificate for these names, with what a server needs to show it.
pub struct Certified {
    pub pem: String,
    pub der: CertificateDer<'static>,
    key: Vec<u8>,
}

pub fn certified(names: &[&str]) -> Certified {
    let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let text = base64::engine::general_purpose::STANDARD.encode(made.cert.der());
    let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    Certified { pem, der: made.cert.der().clone(), key: made.signing_key.serialize_der() }
}

impl Certified {
    /// Its private key (PKCS #8).
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The settings of a server that shows it and offers these protocols.
    pub fn server(&self, protocols: &[&str]) -> ServerConfig {
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.der.clone()], self.key.clone().try_into().unwrap())
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config
    }

    /// A file with the certificate.
    pub fn file(&self, name: &str) -> String {
        let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pem"));
        std::fs::write(&file, &self.pem).unwrap();
        file.to_str().unwrap().to_owned()
    }
}
