//! ImageKit.
//!
//! Invariants: a purge is effective when its id is told; `Completed` is told once it is swept. Only purges that are made count against the
//! quota. The password of the Basic scheme is never read: clients send an empty one or a placeholder.

pub(crate) mod pattern;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use oust::Action;
use oust::purge::{Layers, PurgeErrorKind};
use serde_json::json;

use crate::account::{AccountError, ImageKit, same_secret};
use crate::body::members;
use crate::call::{Call, Reply, json, with_header};
use crate::rate::{Limiter, Quota, Rate};
use crate::shared::{Refused, Shared};
use crate::task::{Progress, Task, Tasks, hex, random};

const PATH: &str = "/v1/files/purge";

/// Seconds of the window purges are counted in: 30 days.
const WINDOW: u64 = 30 * 24 * 3600;

/// The dialect's state.
#[derive(Debug)]
pub(crate) struct Dialect {
    tasks: Tasks<String, ()>,
    /// By account, of those that have credentials here.
    quotas: Vec<Option<Limiter>>,
}

/// An answer that is no success.
struct Problem {
    status: StatusCode,
    message: String,
}

impl Problem {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    fn reply(&self) -> Reply {
        let help = "For support, ask the operator of this cache.";
        json(self.status, &json!({ "message": self.message, "help": help }))
    }
}

impl Dialect {
    /// # Errors
    ///
    /// Names the account whose private key is empty or another's.
    pub(crate) fn new(shared: &Shared, tasks: usize) -> Result<Self, AccountError> {
        let accounts = || shared.accounts.iter().map(|member| &member.account);
        for (index, account) in accounts().enumerate() {
            let Some(imagekit) = &account.imagekit else { continue };
            let wrong =
                |what: String| Err(AccountError(format!("account '{}': imagekit.private_key {what}", account.name)));
            if imagekit.private_key.is_empty() {
                return wrong("is empty".to_owned());
            }
            let has = |other: &ImageKit| other.private_key == imagekit.private_key;
            if let Some(other) = accounts().take(index).find(|other| other.imagekit.as_ref().is_some_and(has)) {
                return wrong(format!("is that of account '{}' too", other.name));
            }
        }
        let quota = |imagekit: &ImageKit| Limiter::new(Rate::new(imagekit.monthly, WINDOW));
        let quotas = accounts().map(|account| account.imagekit.as_ref().map(quota)).collect();
        Ok(Self { tasks: Tasks::new(tasks), quotas })
    }

    /// The answer, if the path is one of this dialect's.
    pub(crate) fn handle(&self, shared: &Shared, call: &Call<'_>) -> Option<Reply> {
        let asked_after = call.segment_after("/v1/files/purge/");
        if call.path != PATH && asked_after.is_none() {
            return None;
        }
        let Some((account, limiter)) = self.authenticate(shared, call) else {
            let message = "Your request has no private API key of an account as the user name of Basic authentication.";
            let reply = Problem::new(StatusCode::UNAUTHORIZED, message).reply();
            return Some(with_header(reply, "www-authenticate", "Basic realm=\"purge\""));
        };
        let answer = match (asked_after, call.method) {
            (None, &Method::POST) => self.purge(shared, call, account, limiter),
            (Some(id), &Method::GET) => self.status(shared, id, account),
            (None, _) => return Some(with_quota(not_allowed("POST"), limiter.peek(call.now_ms), call.now_ms)),
            (Some(_), _) => return Some(with_quota(not_allowed("GET"), limiter.peek(call.now_ms), call.now_ms)),
        };
        let reply = answer.unwrap_or_else(|problem| problem.reply());
        Some(with_quota(reply, limiter.peek(call.now_ms), call.now_ms))
    }

    fn purge(&self, shared: &Shared, call: &Call<'_>, account: usize, limiter: &Limiter) -> Result<Reply, Problem> {
        let url = members(call.body, ["url"]).ok().and_then(|[url]| url.text()).filter(|url| !url.is_empty());
        let url = url.ok_or_else(|| Problem::bad("Your request is missing URL parameter."))?;
        let imagekit = shared.accounts.get(account).and_then(|member| member.account.imagekit.as_ref());
        let selectors = pattern::url(&url, imagekit.is_some_and(|imagekit| imagekit.wildcard)).map_err(Problem::bad)?;
        shared.check(account, &selectors).map_err(problem)?;
        let id = random::<12>().map(|bytes| hex(&bytes));
        let id = id.map_err(|error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
        if !limiter.take(call.now_ms).admitted {
            let message = "The purge requests of this month are used up.";
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, message));
        }
        let layers = Layers { edge: true, l2: true };
        let record = shared.purge(account, selectors, Action::Delete, layers).map_err(|refused| {
            limiter.give_back();
            problem(refused)
        })?;
        self.tasks.add(Task {
            id: id.clone(),
            account,
            purge: Some(record.id),
            created_ms: record.created_ms,
            asked: (),
        });
        Ok(json(StatusCode::CREATED, &json!({ "requestId": id })))
    }

    fn status(&self, shared: &Shared, id: &str, account: usize) -> Result<Reply, Problem> {
        let task = self.tasks.of_account(&id.to_owned(), account);
        let task = task.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "There is no purge request of this id."))?;
        let status = match task.progress(&shared.cache).0 {
            Progress::Done(..) => "Completed",
            Progress::Waiting | Progress::Running(_) => "Pending",
        };
        Ok(json(StatusCode::OK, &json!({ "status": status })))
    }

    /// The account a private key is of.
    fn authenticate(&self, shared: &Shared, call: &Call<'_>) -> Option<(usize, &Limiter)> {
        let (scheme, credentials) = call.header("authorization")?.split_once(' ')?;
        let credentials = STANDARD.decode(credentials.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        let user = credentials.split(|&byte| byte == b':').next()?;
        let account = shared.whose(|account| {
            account.imagekit.as_ref().is_some_and(|imagekit| same_secret(user, imagekit.private_key.as_bytes()))
        })?;
        Some((account, self.quotas.get(account)?.as_ref()?))
    }
}

fn not_allowed(allowed: &'static str) -> Reply {
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("The only method here is {allowed}."));
    with_header(problem.reply(), "allow", allowed)
}

fn problem(refused: Refused) -> Problem {
    match refused {
        Refused::Selector(_, error) => Problem::bad(format!("The URL cannot be purged: {error}.")),
        Refused::Host(..) => Problem::new(StatusCode::FORBIDDEN, "The URL is of no host of your account."),
        Refused::Engine(error) => match error.kind() {
            PurgeErrorKind::Malformed | PurgeErrorKind::TooLarge => Problem::bad(error.to_string()),
            _ => Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        },
    }
}

/// With the quota: its times are in milliseconds.
fn with_quota(reply: Reply, quota: Quota, now_ms: u64) -> Reply {
    let left = quota.reset_ms.saturating_sub(now_ms);
    let mut reply = with_header(reply, "x-ratelimit-limit", &quota.limit.to_string());
    reply = with_header(reply, "x-ratelimit-reset", &left.to_string());
    reply = with_header(reply, "x-ratelimit-interval", &(WINDOW * 1000).to_string());
    if reply.status() == StatusCode::TOO_MANY_REQUESTS {
        // Clients retry a 429 within seconds unless they are told not to.
        reply = with_header(reply, "x-should-retry", "false");
        reply = with_header(reply, "retry-after", &left.div_ceil(1000).to_string());
    }
    reply
}
