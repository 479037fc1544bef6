//! Medianova: `POST /api/v1/auth/login/token`, and `POST` and `GET /api/v1/cdn/{organization}/job/{resource}/purge`.
//!
//! A purge is of the resource's host, http and https, and invalidates in every layer. Its paths take effect together, and each is a row of the list;
//! what the engine counts is the purge, so that all rows of one have the same state.

mod clients;
pub(crate) mod pattern;
mod request;
mod session;

use std::sync::Arc;

use http::{Method, StatusCode};
use oust::Action;
use oust::purge::{Layers, PurgeErrorKind};
use serde::Serialize;
use serde_json::json as value;

use crate::account::AccountError;
use crate::call::{Call, Reply, json, with_header};
use crate::shared::{Refused, Shared};
use crate::task::{Progress, Task, Tasks, hex, random, weight};
use crate::time::rfc3339;
use clients::Clients;
use request::Page;

const LOGIN: &str = "/api/v1/auth/login/token";

/// The answer to a request that is refused. Boxed, since results are passed about with it.
type Refusal = Box<Reply>;

/// The dialect's state.
#[derive(Debug)]
pub(crate) struct Dialect {
    clients: Clients,
    tasks: Tasks<String, Asked>,
}

/// What was asked.
#[derive(Debug)]
struct Asked {
    resource: String,
    paths: Vec<String>,
}

type Purge = Arc<Task<String, Asked>>;

/// One path of a purge as the vendor shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    #[serde(rename = "opID")]
    op_id: &'a str,
    status: u8,
    url: &'a str,
    message: &'static str,
    created_at: String,
    /// Never an empty text, which clients do not read as a time.
    started_at: Option<String>,
    completed_at: Option<String>,
}

/// A resource as a path names it.
#[derive(Debug, Clone, Copy)]
struct Resource<'a> {
    organization: &'a str,
    uuid: &'a str,
}

impl<'a> Resource<'a> {
    fn of_path(path: &'a str) -> Option<Self> {
        let mut segments = path.strip_prefix("/api/v1/cdn/")?.split('/');
        match (segments.next()?, segments.next()?, segments.next()?, segments.next()?, segments.next()) {
            (organization, "job", uuid, "purge", None) => Some(Self { organization, uuid }),
            _ => None,
        }
    }
}

impl Dialect {
    /// # Errors
    ///
    /// As [`Clients::new`].
    pub(crate) fn new(shared: &Shared, tasks: usize) -> Result<Self, AccountError> {
        Ok(Self { clients: Clients::new(shared)?, tasks: Tasks::new(tasks) })
    }

    /// The answer, if the path is one of this dialect's.
    pub(crate) fn handle(&self, shared: &Shared, call: &Call<'_>) -> Option<Reply> {
        let answer = if call.path == LOGIN {
            self.login(shared, call)
        } else {
            self.purges(shared, call, Resource::of_path(call.path)?)
        };
        Some(answer.unwrap_or_else(|refusal| *refusal))
    }

    fn login(&self, shared: &Shared, call: &Call<'_>) -> Result<Reply, Refusal> {
        if call.method != Method::POST {
            return Err(not_allowed("POST"));
        }
        let (key, secret) = request::login(call.body).map_err(|reason| unprocessable(&reason))?;
        let account = Clients::of_key(shared, &key, &secret)
            .ok_or_else(|| error(StatusCode::UNAUTHORIZED, "api_key and api_secret are of no client"))?;
        let (token, expires_ms) = self.clients.sessions.open(account, call.now_ms).map_err(|_| no_randomness())?;
        let session = uuid().map_err(|_| no_randomness())?;
        let answer = value!({ "status": true, "token": token, "session": session, "expire": expires_ms / 1000 });
        Ok(json(StatusCode::OK, &answer))
    }

    fn purges(&self, shared: &Shared, call: &Call<'_>, resource: Resource<'_>) -> Result<Reply, Refusal> {
        let account = token(call).and_then(|token| self.clients.of_token(shared, token, call.now_ms));
        let account =
            account.ok_or_else(|| error(StatusCode::UNAUTHORIZED, "the token is missing, unknown or expired"))?;
        let client = shared.accounts.get(account).and_then(|member| member.account.medianova.as_ref());
        if !client.is_some_and(|client| client.organization.eq_ignore_ascii_case(resource.organization)) {
            return Err(error(StatusCode::FORBIDDEN, "the token is not of this organization"));
        }
        let host = self.clients.host(account, resource.uuid);
        let host = host.ok_or_else(|| error(StatusCode::NOT_FOUND, "the organization has no such resource"))?;
        match *call.method {
            Method::POST => self.create(shared, call, account, resource, host),
            Method::GET => self.list(shared, call, account, resource),
            _ => Err(not_allowed("GET, POST")),
        }
    }

    fn create(
        &self,
        shared: &Shared,
        call: &Call<'_>,
        account: usize,
        resource: Resource<'_>,
        host: &str,
    ) -> Result<Reply, Refusal> {
        let paths = request::paths(call.body, resource.uuid).map_err(|reason| unprocessable(&reason))?;
        let mut selectors = Vec::with_capacity(paths.len());
        for (index, path) in paths.iter().enumerate() {
            let wrong = |reason: String| unprocessable(&format!("file_path[{index}]: {reason}"));
            selectors.extend(pattern::file_path(path, host).map_err(wrong)?);
        }
        // Before the purge, so that there is none without an id.
        let id = uuid().map_err(|_| no_randomness())?;
        let layers = Layers { edge: true, l2: true };
        let purged = shared.purge(account, selectors, Action::Invalidate, layers);
        let record = purged.map_err(|refused| refusal(&refused, host))?;
        let size = weight(&paths);
        let asked = Asked { resource: resource.uuid.to_ascii_lowercase(), paths };
        let task = Task { id: id.clone(), account, purge: Some(record.id), created_ms: call.now_ms, asked };
        self.tasks.add_weighed(task, size);
        let message = "Purge request successfully created";
        Ok(json(StatusCode::OK, &value!({ "status": true, "opID": id, "message": message })))
    }

    fn list(&self, shared: &Shared, call: &Call<'_>, account: usize, resource: Resource<'_>) -> Result<Reply, Refusal> {
        let page = Page::read(call).map_err(|reason| unprocessable(&reason))?;
        let mut purges: Vec<Purge> = match &page.op_id {
            Some(id) => self.tasks.of_account(&id.to_ascii_lowercase(), account).into_iter().collect(),
            None => self.tasks.list(account),
        };
        purges.retain(|purge| purge.asked.resource.eq_ignore_ascii_case(resource.uuid));
        let total: usize = purges.iter().map(|purge| purge.asked.paths.len()).sum();
        let all = purges.iter().flat_map(|purge| purge.asked.paths.iter().map(move |path| (purge, path)));
        let rows: Vec<Row<'_>> =
            all.skip(page.skip()).take(page.limit).map(|(purge, path)| row(shared, purge, path)).collect();
        let data = value!({ "page": page.page, "total": total, "limit": page.limit, "search": "", "requests": rows });
        Ok(json(StatusCode::OK, &value!({ "status": true, "data": data })))
    }
}

fn row<'a>(shared: &Shared, purge: &'a Purge, path: &'a str) -> Row<'a> {
    // Of a purge that has left the history it is not known what it ended.
    let counted = purge.purge.is_some_and(|id| shared.cache.purge_record(id).is_some());
    let (status, message, started, completed) = match purge.progress(&shared.cache) {
        (Progress::Waiting, _) => (2, "Waiting", None, None),
        (Progress::Running(started), _) => (2, "Running", Some(started), None),
        (Progress::Done(started, swept), ended) if counted && ended.objects == 0 => {
            (0, "No such file in the cache", Some(started), Some(swept))
        }
        (Progress::Done(started, swept), _) => (1, "Successful", Some(started), Some(swept)),
    };
    Row {
        op_id: &purge.id,
        status,
        url: path,
        message,
        created_at: rfc3339(purge.created_ms),
        started_at: started.map(rfc3339),
        completed_at: completed.map(rfc3339),
    }
}

/// The token of a request, by either header.
fn token<'a>(call: &Call<'a>) -> Option<&'a str> {
    let bearer = call.header("authorization").and_then(|value| value.split_once(' '));
    let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    bearer.map(|(_, token)| token.trim()).or_else(|| call.header("org-token"))
}

/// A random UUID (RFC 9562, version 4).
fn uuid() -> Result<String, getrandom::Error> {
    let [a0, a1, a2, a3, b0, b1, c0, c1, d0, d1, e @ ..] = random::<16>()?;
    let (c0, d0) = (0x40 | c0 & 0x0f, 0x80 | d0 & 0x3f);
    let parts: [&[u8]; 5] = [&[a0, a1, a2, a3], &[b0, b1], &[c0, c1], &[d0, d1], &e];
    Ok(parts.map(hex).join("-"))
}

/// Why a purge of paths of a host is not made.
fn refusal(refused: &Refused, host: &str) -> Refusal {
    let at = |index: usize, reason: &dyn std::fmt::Display| {
        unprocessable(&format!("file_path[{index}] behind 'any://{host}': {reason}"))
    };
    match refused {
        Refused::Selector(index, reason) => at(*index, reason),
        Refused::Host(index, host) => {
            error(StatusCode::FORBIDDEN, &format!("file_path[{index}]: host '{host}' is not the account's"))
        }
        Refused::Engine(reason) if reason.kind() == PurgeErrorKind::TooManyRules => {
            Box::new(with_header(*error(StatusCode::TOO_MANY_REQUESTS, &reason.to_string()), "retry-after", "1"))
        }
        Refused::Engine(reason) if reason.kind() == PurgeErrorKind::NotDurable => {
            Box::new(with_header(*error(StatusCode::SERVICE_UNAVAILABLE, &reason.to_string()), "retry-after", "1"))
        }
        Refused::Engine(reason) => match reason.selector() {
            Some(index) => at(index, reason),
            None => unprocessable(&reason.to_string()),
        },
    }
}

fn not_allowed(methods: &str) -> Refusal {
    Box::new(with_header(*error(StatusCode::METHOD_NOT_ALLOWED, "the method is not allowed"), "allow", methods))
}

fn unprocessable(reason: &str) -> Refusal {
    error(StatusCode::UNPROCESSABLE_ENTITY, reason)
}

fn no_randomness() -> Refusal {
    error(StatusCode::INTERNAL_SERVER_ERROR, "no random bytes for an id")
}

fn error(status: StatusCode, message: &str) -> Refusal {
    Box::new(json(status, &value!({ "status": false, "message": message })))
}
