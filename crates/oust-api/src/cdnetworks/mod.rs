//! CDNetworks CDN Pro: `/cdn/purges` and `/cdn/webhooks`.
//!
//! Invariants:
//!
//! 1. Nothing is read or changed before the request is authenticated, and nothing of another account ever.
//! 2. A purge request is one purge of the engine: all of it takes effect or nothing.
//! 3. Every answer carries `x-cnc-request-id`; every error is `{code,message}`.

mod auth;
mod delivery;
mod list;
pub(crate) mod pattern;
mod purge;
mod quota;
mod refusal;
mod webhook;

use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use serde::Serialize;

use self::auth::Auth;
use self::purge::Purges;
use self::refusal::Refusal;
use self::webhook::Webhooks;
use crate::account::AccountError;
use crate::call::{Call, Reply, empty, json, with_header};
use crate::shared::{Callback, Shared};
use crate::task::{hex, random};

/// The dialect's state.
#[derive(Debug)]
pub(crate) struct Dialect {
    auth: Auth,
    purges: Purges,
    webhooks: Webhooks,
}

/// What a path names.
#[derive(Debug, Clone, Copy)]
enum Resource<'a> {
    Purges,
    PurgeSummary,
    PurgeTokens,
    Purge(&'a str),
    Webhooks,
    Webhook(&'a str),
    Nothing,
}

impl<'a> Resource<'a> {
    /// `None` if the path is not this dialect's.
    fn of(call: &Call<'a>) -> Option<Self> {
        let rest = call.path.strip_prefix("/cdn/")?;
        let (collection, id) = rest.split_once('/').map_or((rest, None), |(collection, id)| (collection, Some(id)));
        let id = id.map(|id| (!id.is_empty() && !id.contains('/')).then_some(id));
        Some(match (collection, id) {
            ("purges", None) => Self::Purges,
            ("purges", Some(Some("purgeSummary"))) => Self::PurgeSummary,
            ("purges", Some(Some("purgeTokens"))) => Self::PurgeTokens,
            ("purges", Some(Some(id))) => Self::Purge(id),
            ("webhooks", None) => Self::Webhooks,
            ("webhooks", Some(Some(id))) => Self::Webhook(id),
            ("purges" | "webhooks", Some(None)) => Self::Nothing,
            _ => return None,
        })
    }

    /// The methods it has, as `Allow` lists them.
    fn allow(self) -> &'static str {
        match self {
            Self::Purges | Self::Webhooks => "GET, POST",
            Self::PurgeSummary | Self::PurgeTokens | Self::Purge(_) => "GET",
            Self::Webhook(_) => "GET, PATCH, DELETE",
            Self::Nothing => "",
        }
    }
}

impl Dialect {
    pub(crate) fn new(shared: &Shared, tasks: usize) -> Result<Self, AccountError> {
        Ok(Self { auth: Auth::new(shared)?, purges: Purges::new(shared, tasks), webhooks: Webhooks::default() })
    }

    /// The answer, if the path is one of this dialect's.
    pub(crate) fn handle(&self, shared: &Shared, call: &Call<'_>) -> Option<Reply> {
        let resource = Resource::of(call)?;
        let id = random::<16>().map(|bytes| hex(&bytes));
        let reply = match &id {
            Ok(id) => self.answer(shared, call, resource, id),
            Err(_) => Err(Refusal::no_random()),
        };
        let reply = reply.unwrap_or_else(Refusal::reply);
        Some(with_header(reply, "x-cnc-request-id", id.as_deref().unwrap_or("none")))
    }

    fn answer(
        &self,
        shared: &Shared,
        call: &Call<'_>,
        resource: Resource<'_>,
        request: &str,
    ) -> Result<Reply, Refusal> {
        let account = self.auth.check(shared, call)?;
        match (resource, call.method) {
            (Resource::Nothing, _) => Err(Refusal::not_found("There is nothing at this path.")),
            (Resource::Purges, &Method::POST) => self.purges.create(shared, call, account, request, &self.webhooks),
            (Resource::Purges, &Method::GET) => self.purges.list(shared, call, account),
            (Resource::PurgeSummary, &Method::GET) => self.purges.summary(call, account),
            (Resource::PurgeTokens, &Method::GET) => self.purges.tokens(call, account),
            (Resource::Purge(id), &Method::GET) => self.purges.status(shared, account, id),
            (Resource::Webhooks, &Method::POST) => self.webhooks.create(call, account),
            (Resource::Webhooks, &Method::GET) => self.webhooks.list(call, account),
            (Resource::Webhook(id), &Method::GET) => self.webhooks.get(account, id),
            (Resource::Webhook(id), &Method::PATCH) => self.webhooks.update(call, account, id),
            (Resource::Webhook(id), &Method::DELETE) => self.webhooks.delete(account, id),
            _ => {
                let mut reply = Refusal::method(call.method, resource.allow()).reply();
                reply.headers_mut().insert(ALLOW, HeaderValue::from_static(resource.allow()));
                Ok(reply)
            }
        }
    }

    /// Callbacks that are due.
    pub(crate) fn due(&self, shared: &Shared, now_ms: u64) -> Vec<Callback> {
        self.webhooks.due(shared, now_ms)
    }

    /// The outcome of a callback.
    pub(crate) fn done(&self, id: u64, delivered: bool, now_ms: u64) {
        self.webhooks.done(id, delivered, now_ms);
    }
}

/// An answer with a JSON body, typed as the vendor types it.
fn typed(status: StatusCode, body: &impl Serialize) -> Reply {
    let mut reply = json(status, body);
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json;charset=utf-8"));
    reply
}

/// 201 without a body, whose `Location` is the path on the host the client spoke to.
fn created(call: &Call<'_>, path: &str) -> Reply {
    let mut reply = empty(StatusCode::CREATED);
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json;charset=utf-8"));
    let forwarded = call.header("x-forwarded-proto");
    let scheme = if call.uri.scheme_str().or(forwarded) == Some("https") { "https" } else { "http" };
    let location = call.host().map_or_else(|| path.to_owned(), |host| format!("{scheme}://{host}{path}"));
    with_header(reply, "location", &location)
}

/// A number of a list's query within limits; `default` where it is not given.
fn number(call: &Call<'_>, name: &str, default: usize, least: usize, most: usize) -> Result<usize, Refusal> {
    let Some(text) = call.parameter(name).filter(|text| !text.is_empty()) else { return Ok(default) };
    text.parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(|| {
        let range = if most == usize::MAX { format!("at least {least}") } else { format!("{least} to {most}") };
        Refusal::parameter(format!("{name} is a number, {range}."))
    })
}

/// The page a list's query asks for: how many to skip, how many to show.
fn page(call: &Call<'_>) -> Result<(usize, usize), Refusal> {
    Ok((number(call, "offset", 0, 0, usize::MAX)?, number(call, "limit", 100, 1, 200)?))
}
