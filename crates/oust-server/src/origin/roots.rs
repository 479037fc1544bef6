//! The certificates the system trusts, read once.

use std::sync::{Arc, OnceLock};

use tokio_rustls::rustls::RootCertStore;

/// What the system trusts, read when the first https origin without a `origin_ca` needs it.
#[derive(Debug, Clone, Default)]
pub(super) struct SystemRoots(Arc<OnceLock<Arc<RootCertStore>>>);

impl SystemRoots {
    /// The store; empty if the system has none, so that every handshake fails rather than any succeeds.
    pub(super) fn get(&self) -> Arc<RootCertStore> {
        self.0.get_or_init(read).clone()
    }
}

fn read() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "certificates to trust");
    }
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!("the system trusts no certificates: https origins need `origin_ca`");
    }
    Arc::new(roots)
}
