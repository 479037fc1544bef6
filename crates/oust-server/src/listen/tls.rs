//! TLS: which certificate a client is shown, and taking new ones while connections go on.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

use crate::config::Certificate;

/// Names of the protocols offered, the best first.
pub(super) const H2: &[u8] = b"h2";
const HTTP_11: &[u8] = b"http/1.1";

/// The certificates of a server.
pub(crate) struct Certificates(ArcSwap<Chosen>);

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificates").field(&self.0.load().by_name.len()).finish()
    }
}

/// Certificates by the names they are for, all in lower case.
#[derive(Default)]
struct Chosen {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    /// Of `*.name`, by `name`.
    by_parent: HashMap<String, Arc<CertifiedKey>>,
    /// For a client that asks for none of them, or for no name.
    default: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Reads the files.
    pub(crate) fn load(entries: &[Certificate]) -> Result<Self, String> {
        Ok(Self(ArcSwap::from_pointee(read_all(entries)?)))
    }

    /// Shows those of `other` to clients from now on.
    pub(crate) fn take(&self, other: &Self) {
        self.0.store(other.0.load_full());
    }

    /// What greets clients with them: HTTP/2 or HTTP/1.1, with session tickets whose keys are this process's own.
    pub(crate) fn acceptor(self: Arc<Self>) -> Result<TlsAcceptor, String> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS: {error}"))?
            .with_no_client_auth()
            .with_cert_resolver(self);
        config.alpn_protocols = vec![H2.to_vec(), HTTP_11.to_vec()];
        config.ticketer = ring::Ticketer::new().map_err(|error| format!("TLS: {error}"))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load().choose(hello.server_name())
    }
}

impl fmt::Debug for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chosen").finish_non_exhaustive()
    }
}

impl Chosen {
    /// A certificate for the very name, else one whose wildcard takes it (one label, RFC 9525 6.3), else the default.
    fn choose(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let found = name.and_then(|name| {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let parent = name.split_once('.').map(|(_, parent)| parent);
            self.by_name.get(&name).or_else(|| self.by_parent.get(parent?)).cloned()
        });
        found.or_else(|| self.default.clone())
    }

    fn add(&mut self, key: CertifiedKey) -> Result<(), String> {
        let leaf = key.cert.first().cloned().ok_or("it holds no certificate")?;
        let parsed = EndEntityCert::try_from(&leaf).map_err(|error| format!("its certificate is none: {error}"))?;
        let key = Arc::new(key);
        for name in parsed.valid_dns_names() {
            let name = name.to_ascii_lowercase();
            // Of two for one name the first counts, as of all the default does.
            match name.strip_prefix("*.") {
                Some(parent) => self.by_parent.entry(parent.to_owned()).or_insert_with(|| key.clone()),
                None => self.by_name.entry(name).or_insert_with(|| key.clone()),
            };
        }
        self.default.get_or_insert(key);
        Ok(())
    }
}

/// What is wrong with the files of an entry.
pub(crate) fn check(entry: &Certificate) -> Result<(), String> {
    read_all(std::slice::from_ref(entry)).map(drop)
}

fn read_all(entries: &[Certificate]) -> Result<Chosen, String> {
    let provider = ring::default_provider();
    let mut chosen = Chosen::default();
    for entry in entries {
        chosen.add(read(entry, &provider)?).map_err(|error| format!("{}: {error}", entry.cert.display()))?;
    }
    Ok(chosen)
}

fn read(entry: &Certificate, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let (cert, key) = (entry.cert.display(), entry.key.display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&entry.cert)
        .and_then(Iterator::collect)
        .map_err(|error| format!("{cert}: {error}"))?;
    if chain.is_empty() {
        return Err(format!("{cert}: it holds no certificate"));
    }
    let private = PrivateKeyDer::from_pem_file(&entry.key).map_err(|error| format!("{key}: {error}"))?;
    // Checks that they belong together.
    CertifiedKey::from_der(chain, private, provider).map_err(|error| format!("{cert}, {key}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(names: &[&str]) -> CertifiedKey {
        let made = rcgen::generate_simple_self_signed(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
            .expect("a certificate");
        let private = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        CertifiedKey::from_der(vec![made.cert.der().clone()], private, &ring::default_provider()).expect("a key")
    }

    #[test]
    fn the_nearest_name_decides_and_the_first_is_for_all_others() {
        let mut chosen = Chosen::default();
        for names in [&["a.test"][..], &["*.b.test", "B.test"], &["www.b.test"], &["a.test", "c.test"]] {
            chosen.add(key(names)).expect("added");
        }
        let shown = |name| chosen.choose(name).map(|key| key.cert[0].clone());
        let first = shown(None);
        assert!(first.is_some());
        for (name, like, same) in [
            ("a.test", None, true),
            ("A.TEST.", None, true),
            ("other.test", None, true),
            ("img.b.test", Some("b.test"), true),
            ("b.test", None, false),
            ("www.b.test", Some("b.test"), false),
            ("x.www.b.test", None, true),
            ("test", None, true),
            ("c.test", None, false),
        ] {
            assert_eq!(shown(Some(name)) == shown(like), same, "{name}");
        }
    }
}
