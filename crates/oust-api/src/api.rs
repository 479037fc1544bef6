//! The service: which dialect a request is of, and what all dialects share.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use oust::clock::{Clock, SystemClock};
use oust::purge::{Layers, Matcher, PurgeRecord, SelectorError};
use oust::{Action, Cache, Purge, PurgeError, Selector};

use crate::account::{Account, AccountError, Hosts};
use crate::call::{Call, Reply, json};
use crate::{azion, cdnetworks, imagekit, medianova, naver};

/// Longest body a request may have, in bytes: a hundred thousand URLs of a hundred bytes.
pub const MAX_BODY: usize = 8 << 20;

/// Tasks each dialect keeps.
const TASKS: usize = 100_000;

/// The purge APIs of one cache. Share it by [`Arc`].
#[derive(Debug)]
pub struct Api {
    shared: Shared,
    azion: azion::Dialect,
    naver: naver::Dialect,
    medianova: medianova::Dialect,
    cdnetworks: cdnetworks::Dialect,
    imagekit: imagekit::Dialect,
}

/// What all dialects use.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) cache: Cache,
    /// In the order given; their index is their identity.
    pub(crate) accounts: Vec<Member>,
    clock: Arc<dyn Clock>,
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

/// A callback to be sent: a POST to `url`. Report the outcome with [`Api::callback_done`].
#[derive(Debug, Clone)]
pub struct Callback {
    /// Identity, for [`Api::callback_done`].
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

impl Api {
    /// The APIs of `cache` for these accounts. Time is the system's; see [`Api::with_clock`].
    ///
    /// # Errors
    ///
    /// Names the account and the field that is wrong: a host that is none, a credential that two accounts share, a Medianova resource whose
    /// host is not among the account's.
    pub fn new(cache: Cache, accounts: impl IntoIterator<Item = Account>) -> Result<Self, AccountError> {
        Self::with_clock(cache, accounts, Arc::new(SystemClock))
    }

    /// As [`Api::new`], with another clock for signatures, rates and times shown.
    ///
    /// # Errors
    ///
    /// As [`Api::new`].
    pub fn with_clock(
        cache: Cache,
        accounts: impl IntoIterator<Item = Account>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AccountError> {
        let mut members = Vec::new();
        for account in accounts {
            let named = |error: AccountError| AccountError(format!("account '{}': {error}", account.name));
            let hosts = Hosts::new(&account.hosts, cache.sites()).map_err(named)?;
            members.push(Member { account, hosts });
        }
        let shared = Shared { cache, accounts: members, clock, l2: false };
        Ok(Self {
            azion: azion::Dialect::new(&shared)?,
            naver: naver::Dialect::new(&shared, TASKS)?,
            medianova: medianova::Dialect::new(&shared, TASKS)?,
            cdnetworks: cdnetworks::Dialect::new(&shared, TASKS)?,
            imagekit: imagekit::Dialect::new(&shared, TASKS)?,
            shared,
        })
    }

    /// Answers a request. Never blocks on I/O; a purge costs what [`Cache::purge`] does, and has taken effect when this returns.
    ///
    /// The path picks the dialect; what is no path of any is 404. The target must be as the client sent it: signatures cover it. A
    /// [`SocketAddr`](std::net::SocketAddr) among the request's extensions is the client's address.
    pub fn handle(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let call = Call::new(request, self.shared.clock.now_ms());
        let shared = &self.shared;
        let reply = self
            .azion
            .handle(shared, &call)
            .or_else(|| self.naver.handle(shared, &call))
            .or_else(|| self.medianova.handle(shared, &call))
            .or_else(|| self.cdnetworks.handle(shared, &call))
            .or_else(|| self.imagekit.handle(shared, &call));
        reply.unwrap_or_else(not_found)
    }

    /// Callbacks that are due now. Each is handed out once until [`Api::callback_done`] is called for it. To be
    /// asked for several times a second.
    pub fn due_callbacks(&self) -> Vec<Callback> {
        self.cdnetworks.due(&self.shared, self.shared.clock.now_ms())
    }

    /// Reports whether a callback was taken (any 2xx). One that was not is due again after 1, 5 and 25 seconds, then given up.
    pub fn callback_done(&self, id: u64, delivered: bool) {
        self.cdnetworks.done(id, delivered, self.shared.clock.now_ms());
    }
}

impl Shared {
    /// The account of which this is so. All are asked, so that the time taken does not tell which.
    pub(crate) fn whose(&self, is: impl Fn(&Account) -> bool) -> Option<usize> {
        let members = self.accounts.iter().enumerate();
        members.fold(None, |found, (index, member)| if is(&member.account) { Some(index) } else { found })
    }

    /// Checks that every selector is well formed and takes hosts of the account alone.
    pub(crate) fn check(&self, account: usize, selectors: &[Selector]) -> Result<(), Refused> {
        for (index, selector) in selectors.iter().enumerate() {
            let matcher = Matcher::new(selector, self.cache.sites())
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

fn not_found() -> Reply {
    json(StatusCode::NOT_FOUND, &serde_json::json!({ "message": "no such resource" }))
}
