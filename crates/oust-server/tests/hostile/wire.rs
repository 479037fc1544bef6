//! Bytes as they are on a connection, plain or by TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned, crypto,
};

use super::common::scripted::{Certified, certified};
use super::common::{Oust, PATIENCE};

pub trait Both: Read + Write {}
impl<T: Read + Write> Both for T {}

pub fn plain(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// All that a server says to `bytes` until it closes.
pub fn all(mut stream: impl Read + Write, bytes: &[u8]) -> Vec<u8> {
    // A server may refuse before it has read everything.
    drop(stream.write_all(bytes));
    drop(stream.flush());
    rest(stream)
}

/// All that comes until the end.
pub fn rest(mut stream: impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    let mut part = [0; 16 << 10];
    loop {
        match stream.read(&mut part) {
            Ok(0) => return all,
            Ok(read) => all.extend_from_slice(&part[..read]),
            Err(error) => {
                assert_ne!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock,
                    "still open: {}",
                    String::from_utf8_lossy(&all)
                );
                // A reset after the answer is an end too.
                return all;
            }
        }
    }
}

/// The statuses of the answers in a text of HTTP/1.
pub fn statuses(said: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(said);
    let parts: Vec<_> = text.split("HTTP/1.").skip(1).collect();
    parts.iter().filter_map(|part| part.get(2..5)?.parse().ok()).filter(|&status| status >= 200).collect()
}

// ===== TLS =====

/// A file of a certificate for `names` with its key, as a `[[certificate]]`.
pub fn certificate(name: &str, names: &[&str]) -> (String, Certified) {
    use base64::Engine;
    let made = certified(names);
    let cert = made.file(&format!("hostile_{name}"));
    let key = cert.replace(".pem", ".key.pem");
    let text = base64::engine::general_purpose::STANDARD.encode(made.key());
    std::fs::write(&key, format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")).unwrap();
    (format!("[[certificate]]\ncert = {cert:?}\nkey = {key:?}\n"), made)
}

pub fn tls_addr(oust: &Oust) -> SocketAddr {
    let log = oust.log();
    log.split_once(" tls addr=").and_then(|(_, rest)| rest.lines().next()).unwrap().trim().parse().unwrap()
}

/// A connection by TLS that names `name`, or, if that is an address, nobody, and trusts whoever answers.
pub fn tls(addr: SocketAddr, name: &str, alpn: &[&str]) -> StreamOwned<ClientConnection, TcpStream> {
    let provider = Arc::new(crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), plain(addr))
}

/// Who it is does not matter here.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
