//! The service: which dialect a request is of.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use oust::Cache;
use oust::clock::{Clock, SystemClock};

use crate::account::{Account, AccountError, Hosts};
use crate::call::{Call, Reply, json};
use crate::shared::{Callback, Member, Shared};
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
            let hosts = Hosts::new(&account.hosts, &cache.sites()).map_err(named)?;
            members.push(Member { account, hosts });
        }
        let shared = Shared { l2: cache.has_l2(), cache, accounts: members, clock };
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

fn not_found() -> Reply {
    json(StatusCode::NOT_FOUND, &serde_json::json!({ "message": "no such resource" }))
}
