//! Naver Cloud Global Edge: `POST /api/v1/purge` and `GET /api/v1/purge/{id}`.
//!
//! A purge is of all hosts of the account, http and https, and deletes from every layer. Its status is that of the sweep: `READY`, `RUNNING`, then
//! `SUCCESS`; a purge that cannot be made is refused at once, so that none ever ends in `FAILURE`.

pub(crate) mod pattern;
mod request;
mod signature;

use std::net::IpAddr;

use http::{Method, StatusCode};
use oust::purge::{Layers, PurgeErrorKind};
use oust::{Action, PurgeError};
use serde::Serialize;
use serde_json::json as value;

use crate::account::{AccountError, Naver};
use crate::call::{Call, Reply, json, with_header};
use crate::shared::Shared;
use crate::task::{Progress, Task, Tasks, random, weight};
use crate::time::rfc3339;
use request::{PurgeType, Request};

const PURGES: &str = "/api/v1/purge";

/// Bits of a request's id: what every JSON reader takes as a whole number.
const ID_BITS: u32 = 53;

/// The answer to a request that is refused. Boxed, since results are passed about with it.
type Refusal = Box<Reply>;

/// The dialect's state.
#[derive(Debug)]
pub(crate) struct Dialect {
    tasks: Tasks<u64, Asked>,
}

/// What was asked.
#[derive(Debug)]
struct Asked {
    kind: PurgeType,
    targets: Vec<String>,
    client: Option<IpAddr>,
}

/// The state of a purge as the vendor shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    purge_id: u64,
    instance_no: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ip: Option<IpAddr>,
    service_domain: &'a str,
    request_date_time: String,
    status: &'static str,
    purge_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_directory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_file_list: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_file_list_string: Option<String>,
    worker_type: &'static str,
    ticket_id: String,
}

impl Dialect {
    /// # Errors
    ///
    /// If a key is empty or an access key is that of two accounts, or an account has no host.
    pub(crate) fn new(shared: &Shared, tasks: usize) -> Result<Self, AccountError> {
        let mut seen: Vec<&str> = Vec::new();
        for member in &shared.accounts {
            let Some(naver) = &member.account.naver else { continue };
            let wrong = if naver.access_key.is_empty() {
                "naver.access_key is empty"
            } else if naver.secret_key.is_empty() {
                "naver.secret_key is empty"
            } else if seen.contains(&naver.access_key.as_str()) {
                "naver.access_key is that of another account too"
            } else if member.hosts.entries().is_empty() {
                "naver: an edge without hosts"
            } else {
                seen.push(&naver.access_key);
                continue;
            };
            return Err(AccountError(format!("account '{}': {wrong}", member.account.name)));
        }
        Ok(Self { tasks: Tasks::new(tasks) })
    }

    /// The answer, if the path is one of this dialect's.
    pub(crate) fn handle(&self, shared: &Shared, call: &Call<'_>) -> Option<Reply> {
        let id = if call.path == PURGES { None } else { Some(call.segment_after("/api/v1/purge/")?) };
        let Some((account, naver)) = signature::signer(shared, call) else {
            return Some(*gateway(StatusCode::UNAUTHORIZED, "200", "Authentication Failed"));
        };
        let answer = match (call.method, id) {
            (&Method::POST, None) => self.create(shared, call, account, naver),
            (&Method::GET, Some(id)) => self.status(shared, id, account, naver),
            (_, id) => {
                let allow = if id.is_some() { "GET" } else { "POST" };
                let refusal = gateway(StatusCode::METHOD_NOT_ALLOWED, "300", "Not Found Exception");
                Err(Box::new(with_header(*refusal, "allow", allow)))
            }
        };
        Some(answer.unwrap_or_else(|refusal| *refusal))
    }

    fn create(&self, shared: &Shared, call: &Call<'_>, account: usize, naver: &Naver) -> Result<Reply, Refusal> {
        let invalid = |reason: String| result(StatusCode::BAD_REQUEST, "0040", &reason);
        let request = Request::read(call.body).map_err(invalid)?;
        if request.edge_id != naver.edge_id {
            return Err(not_permitted());
        }
        let hosts = shared.accounts.get(account).map_or(&[][..], |member| member.hosts.entries());
        let selectors = request.selectors(hosts).map_err(invalid)?;
        // Before the purge, so that there is none without an id.
        let id = self.fresh_id().map_err(|_| result(StatusCode::INTERNAL_SERVER_ERROR, "9999", "unknown error"))?;
        let layers = Layers { edge: true, l2: true };
        let record = shared
            .purge_own(account, selectors, Action::Delete, layers)
            .map_err(|error| refused(&error, request.targets.len(), hosts))?;
        let size = weight(&request.targets);
        let asked = Asked { kind: request.kind, targets: request.targets, client: call.peer };
        let task = Task { id, account, purge: Some(record.id), created_ms: call.now_ms, asked };
        self.tasks.add_weighed(task, size);
        Ok(json(StatusCode::OK, &value!({ "code": "0000", "message": "Success", "result": [id] })))
    }

    fn status(&self, shared: &Shared, id: &str, account: usize, naver: &Naver) -> Result<Reply, Refusal> {
        let invalid = |_| result(StatusCode::BAD_REQUEST, "0040", "purgeRequestId is a number (Long)");
        let id: u64 = id.parse().map_err(invalid)?;
        let task = self.tasks.of_account(&id, account).ok_or_else(not_permitted)?;
        let Asked { kind, targets, client } = &task.asked;
        let hosts = shared.accounts.get(account).map_or(&[][..], |member| member.hosts.entries());
        let joined = || targets.join(",");
        let files = matches!(kind, PurgeType::Pattern | PurgeType::Url);
        let status = Status {
            purge_id: id,
            instance_no: naver.edge_id,
            client_ip: *client,
            service_domain: hosts.first().map_or("", String::as_str),
            request_date_time: rfc3339(task.created_ms),
            status: match task.progress(&shared.cache).0 {
                Progress::Waiting => "READY",
                Progress::Running(_) => "RUNNING",
                Progress::Done(..) => "SUCCESS",
            },
            purge_type: kind.name(),
            target_directory: (*kind == PurgeType::Directory).then(joined),
            target_file_list: files.then_some(targets.as_slice()),
            target_file_list_string: files.then(joined),
            worker_type: "ACCOUNT",
            ticket_id: id.to_string(),
        };
        Ok(json(StatusCode::OK, &value!({ "code": "0000", "message": "Success", "result": status })))
    }

    /// An id that no task has: positive, and nobody's to guess.
    fn fresh_id(&self) -> Result<u64, getrandom::Error> {
        loop {
            let id = u64::from_le_bytes(random()?) >> (u64::BITS - ID_BITS);
            if id != 0 && !self.tasks.has(&id) {
                return Ok(id);
            }
        }
    }
}

/// Why the engine does not make a purge of so many targets of each of these hosts.
fn refused(error: &PurgeError, targets: usize, hosts: &[String]) -> Refusal {
    if error.kind() == PurgeErrorKind::TooManyRules {
        let refusal = gateway(StatusCode::TOO_MANY_REQUESTS, "410", "Throttle Limited");
        return Box::new(with_header(*refusal, "retry-after", "1"));
    }
    if error.kind() == PurgeErrorKind::NotDurable {
        return result(StatusCode::INTERNAL_SERVER_ERROR, "9999", "unknown error");
    }
    let place = error.selector().and_then(|index| Some((index.checked_rem(targets)?, index.checked_div(targets)?)));
    let message = match place.and_then(|(target, host)| Some((target, hosts.get(host)?))) {
        Some((target, host)) => format!("purgeTarget[{target}] behind 'any://{host}': {error}"),
        None => error.to_string(),
    };
    result(StatusCode::BAD_REQUEST, "0040", &message)
}

fn not_permitted() -> Refusal {
    result(StatusCode::FORBIDDEN, "0032", "request not permitted")
}

/// An error as the service itself words it.
fn result(status: StatusCode, code: &str, message: &str) -> Refusal {
    Box::new(json(status, &value!({ "code": code, "message": message })))
}

/// An error as the gateway before it words it.
fn gateway(status: StatusCode, code: &str, message: &str) -> Refusal {
    Box::new(json(status, &value!({ "error": { "errorCode": code, "message": message } })))
}
