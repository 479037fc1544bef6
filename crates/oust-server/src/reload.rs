//! Taking a new configuration while connections go on.
//!
//! Invariants:
//!
//! 1. Everything that can fail is tried before anything changes: a configuration is taken as a whole or not at all.
//! 2. One reload at a time.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use oust::Cache;
use oust::purge::{Purge, Selector};
use oust::site::Sites;
use tokio::runtime::Handle;

use crate::admin::Guards;
use crate::api::{PurgeApis, Serving};
use crate::config::{Config, Site};
use crate::engine;
use crate::front::Front;
use crate::listen::tls::Certificates;
use crate::listen::{Figures, Limits};
use crate::proxy::Proxy;

/// Reads the configuration anew, flags on top; or tells all that is wrong with it.
pub(crate) struct Source(Box<dyn Fn() -> Result<Config, Vec<String>> + Send + Sync>);

impl Source {
    pub(crate) fn new(read: impl Fn() -> Result<Config, Vec<String>> + Send + Sync + 'static) -> Self {
        Self(Box::new(read))
    }

    /// Of a server that was not started from files or flags.
    pub(crate) fn none() -> Self {
        Self::new(|| Err(vec!["this server has no configuration to reload".to_owned()]))
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

/// What a reload changes.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) cache: Cache,
    pub(crate) front: Arc<Front>,
    pub(crate) guards: Arc<Guards>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) figures: Arc<Figures>,
    pub(crate) certificates: Option<Arc<Certificates>>,
    /// The purge APIs with their limits, if they are served.
    pub(crate) apis: Option<(Arc<Serving>, Arc<Limits>)>,
    /// Where the webhooks of new accounts run.
    pub(crate) runtime: Handle,
}

/// Reloads a running server.
#[derive(Debug)]
pub(crate) struct Reload {
    source: Source,
    parts: Parts,
    now: Mutex<Config>,
}

impl Reload {
    pub(crate) fn new(source: Source, now: Config, parts: Parts) -> Self {
        Self { source, parts, now: Mutex::new(now) }
    }

    /// Takes the configuration as it is now. Tells which changes only a restart brings about. Blocks: it reads files.
    ///
    /// # Errors
    ///
    /// All that is wrong with it; everything stays as it was, but for a log file, which is opened anew.
    pub(crate) fn reload(&self) -> Result<Vec<&'static str>, Vec<String>> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.take(&mut now);
        match &result {
            Ok(restart) => {
                self.parts.figures.reloads.add(1);
                tracing::info!(?restart, "configuration reloaded");
            }
            Err(errors) => {
                self.parts.figures.reloads_failed.add(1);
                for error in errors {
                    tracing::error!(error, "configuration not reloaded");
                }
                // Whoever rotates the log must not have to wait for a good configuration.
                if let Err(error) = self.parts.front.log.reopen(&now.server.access_log) {
                    tracing::error!(%error, "the access log cannot be opened");
                }
            }
        }
        result
    }

    fn take(&self, now: &mut Config) -> Result<Vec<&'static str>, Vec<String>> {
        let parts = &self.parts;
        let one = |error: String| vec![error];
        let mut new = (self.source.0)()?;
        let restart = keep_what_needs_a_restart(now, &mut new);

        let sites = engine::sites(&new.sites).map_err(|(_, message)| one(message))?;
        let certificates = match &parts.certificates {
            Some(_) => Some(Certificates::load(&new.certificates).map_err(one)?),
            None => None,
        };
        let same_keys = same_keys(&now.sites, &new.sites);
        let renewed = parts.apis.as_ref().filter(|_| !same_keys || accounts_differ(now, &new));
        if renewed.is_some() {
            // With the new sites, in which accounts' hosts are looked up.
            let wrong: Vec<String> = crate::api::check(&new).into_iter().map(|(_, message)| message).collect();
            if !wrong.is_empty() {
                return Err(wrong);
            }
        }
        let to = &new.server.access_log;
        parts.front.log.reopen(to).map_err(|error| one(format!("access_log: {error}")))?;

        // Keys first, then selectors, then the hosts of accounts, which are read by the cache's sites.
        let before = parts.front.renew(&new, sites.clone());
        if !same_keys {
            apply_sites(&parts.cache, sites, before);
        }
        if let Some((serving, _)) = renewed {
            match PurgeApis::new(&new, parts.cache.clone()) {
                Ok(apis) => serving.set(apis, &parts.runtime),
                Err(error) => tracing::error!(%error, "the accounts stay as they were"),
            }
        }
        parts.guards.set(new.server.admin_tokens.clone());
        parts.limits.set(&new.server);
        if let (Some(shown), Some(new)) = (&parts.certificates, &certificates) {
            shown.take(new);
        }
        if let Some((_, limits)) = &parts.apis {
            limits.set(&new.server);
        }
        *now = new;
        Ok(restart)
    }
}

/// Gives the engine other sites, and purges the hosts whose requests have other keys from now on.
///
/// A request that took its key before may still be on its way to the store, so that once all of those have been answered the same hosts are purged
/// again.
fn apply_sites(cache: &Cache, sites: Sites, before: Weak<Proxy>) {
    let purged = match cache.set_sites(sites) {
        Ok(None) => return,
        Ok(Some(record)) => record.selectors.to_vec(),
        Err(error) => {
            // In force all the same, but for a restart; that one compares the sites it finds with its own.
            tracing::warn!(%error, "the purge of changed sites");
            vec![Selector::All]
        }
    };
    if before.strong_count() == 0 {
        return;
    }
    let cache = cache.clone();
    let again = move || {
        while before.strong_count() > 0 {
            std::thread::sleep(LOOK_AGAIN);
        }
        if let Err(error) = cache.purge(&Purge::batch(purged).by("sites")) {
            tracing::warn!(%error, "the purge of changed sites");
        }
    };
    if let Err(error) = std::thread::Builder::new().name("oust-sites".into()).spawn(again) {
        tracing::warn!(%error, "no thread for the purge of changed sites");
    }
}

/// How often it is looked whether requests of an old configuration are still there.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

fn same_keys(now: &[Site], new: &[Site]) -> bool {
    now.len() == new.len() && now.iter().zip(new).all(|(now, new)| now.same_keys(new))
}

fn accounts_differ(now: &Config, new: &Config) -> bool {
    !now.accounts.iter().map(|entry| &entry.account).eq(new.accounts.iter().map(|entry| &entry.account))
}

/// Puts back what cannot change in a running process, and names it.
fn keep_what_needs_a_restart(now: &Config, new: &mut Config) -> Vec<&'static str> {
    let mut changed = Vec::new();
    let mut keep = |name, differs: bool| {
        if differs {
            changed.push(name);
        }
    };
    keep("server.listen", now.server.listen != new.server.listen);
    keep("server.tls_listen", now.server.tls_listen != new.server.tls_listen);
    keep("server.admin", now.server.admin != new.server.admin);
    keep("server.api", now.server.api != new.server.api);
    keep("server.threads", now.server.threads != new.server.threads);
    keep("edge", now.edge != new.edge);
    keep("purge", now.purge != new.purge);
    keep("l2", now.l2 != new.l2);
    keep("server.drain_timeout", now.server.drain_timeout != new.server.drain_timeout);
    let (server, old) = (&mut new.server, &now.server);
    server.listen.clone_from(&old.listen);
    server.tls_listen.clone_from(&old.tls_listen);
    (server.admin, server.api, server.threads, server.drain_timeout) =
        (old.admin, old.api, old.threads, old.drain_timeout);
    new.edge.clone_from(&now.edge);
    new.purge.clone_from(&now.purge);
    new.l2.clone_from(&now.l2);
    changed
}
