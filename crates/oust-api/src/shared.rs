//! What all dialects use: the cache, the accounts, and purging in the name of one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use oust::clock::Clock;
use oust::purge::{Layers, Matcher, PurgeRecord, SelectorError};
use oust::{Action, Cache, Purge, PurgeError, Selector};

use crate::account::{Account, Hosts};

/// What all dialects use.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) cache: Cache,
    /// In the order given; their index is their identity.
    pub(crate) accounts: Vec<Member>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether this cache has an L2 tier.
    pub(crate) l2: bool,
}

/// An account with its hosts checked.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) account: Account,
    pub(crate) hosts: Hosts,
}

/// Why a purge is not made.
#[derive(Debug)]
pub(crate) enum Refused {
    /// A selector, by index, is malformed or over a budget.
    Selector(usize, Box<SelectorError>),
    /// A selector, by index, names a host (canonical) that is not the account's.
    Host(usize, String),
    /// The engine refuses.
    Engine(PurgeError),
}

/// A callback to be sent: a POST to `url`. Report the outcome with [`Api::callback_done`](crate::Api::callback_done).
#[derive(Debug, Clone)]
pub struct Callback {
    /// Identity, for [`Api::callback_done`](crate::Api::callback_done).
    pub id: u64,
    /// Where to.
    pub url: String,
    /// Header fields to send, `Content-Type` among them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Whether it may be sent to a private, loopback or link-local address. If not, every address the name resolves to is to be checked, and
    /// redirects are not followed.
    pub private: bool,
}

impl Shared {
    /// The account of which this is so. All are asked, so that the time taken does not tell which.
    pub(crate) fn whose(&self, is: impl Fn(&Account) -> bool) -> Option<usize> {
        let members = self.accounts.iter().enumerate();
        members.fold(None, |found, (index, member)| if is(&member.account) { Some(index) } else { found })
    }

    /// Checks that every selector is well formed and takes hosts of the account alone.
    pub(crate) fn check(&self, account: usize, selectors: &[Selector]) -> Result<(), Refused> {
        if selectors.len() > self.cache.max_batch() {
            // The engine's own refusal, which it gives before it compiles any of them.
            let long = Purge::batch(selectors.to_vec());
            drop(self.cache.explain(&long, Duration::ZERO).map_err(Refused::Engine)?);
        }
        for (index, selector) in selectors.iter().enumerate() {
            let matcher = Matcher::new(selector, &self.cache.sites())
                .map_err(|error| Refused::Selector(index, Box::new(error)))?;
            let Some(member) = self.accounts.get(account) else {
                return Err(Refused::Host(index, String::new()));
            };
            let Some(hosts) = matcher.hosts() else { return Err(Refused::Host(index, "*".to_owned())) };
            if let Some(host) = hosts.into_iter().find(|host| !member.hosts.contains(host)) {
                return Err(Refused::Host(index, host.to_owned()));
            }
        }
        Ok(())
    }

    /// Purges in the name of an account, after [`Shared::check`]. All or nothing; effective when this returns.
    pub(crate) fn purge(
        &self,
        account: usize,
        selectors: Vec<Selector>,
        action: Action,
        layers: Layers,
    ) -> Result<PurgeRecord, Refused> {
        self.check(account, &selectors)?;
        self.purge_own(account, selectors, action, layers).map_err(Refused::Engine)
    }

    /// As [`Shared::purge`], for selectors that a dialect made from [`Hosts::entries`] of the account: whose their hosts are is not asked again.
    pub(crate) fn purge_own(
        &self,
        account: usize,
        selectors: Vec<Selector>,
        action: Action,
        layers: Layers,
    ) -> Result<PurgeRecord, PurgeError> {
        let by = self.accounts.get(account).map_or("", |member| member.account.name.as_str());
        self.cache.purge(&Purge::batch(selectors).action(action).layers(layers).by(by))
    }
}
