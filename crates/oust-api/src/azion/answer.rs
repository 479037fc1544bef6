//! Answers, in the shape of the version a client speaks.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::request::{Asked, Kind, Version};
use crate::call::{Reply, json, with_header};
use crate::rate::Quota;
use crate::time::instant;

const CREATED: &str = "Purge request successfully created";
const FOREIGN: &str = "Unauthorized domain for your account";
const NOT_A_KEY: &str = "The URI is not a valid cachekey.";

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    /// The member of the body that is at fault, and which of its items.
    field: Option<(&'static str, Option<usize>)>,
    /// What the member is not, in the vendor's words.
    summary: Option<&'static str>,
    /// The header field that is at fault.
    header: Option<&'static str>,
    retry_after: Option<u64>,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), field: None, summary: None, header: None, retry_after: None }
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn field(field: &'static str, item: Option<usize>, detail: impl Into<String>) -> Self {
        Self { field: Some((field, item)), ..Self::invalid(detail) }
    }

    /// An item that cannot be purged as what it is given for.
    pub(super) fn item(asked: &Asked, item: usize, kind: Kind, detail: String) -> Self {
        let summary = (kind == Kind::Cachekey).then_some(NOT_A_KEY);
        Self { summary, ..Self::field(asked.field, Some(item), detail) }
    }

    pub(super) fn unauthenticated() -> Self {
        let detail = "No token of an account was given.";
        Self { header: Some("Authorization"), ..Self::new(StatusCode::UNAUTHORIZED, detail) }
    }

    pub(super) fn foreign(asked: &Asked, item: usize) -> Self {
        Self { field: Some((asked.field, Some(item))), ..Self::new(StatusCode::FORBIDDEN, FOREIGN) }
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "There are purges of url, cachekey and wildcard.")
    }

    pub(super) fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "The only method is POST.")
    }

    pub(super) fn not_acceptable(detail: &str) -> Self {
        Self { header: Some("Accept"), ..Self::new(StatusCode::NOT_ACCEPTABLE, detail) }
    }

    pub(super) fn throttled(what: &str, quota: Quota, now_ms: u64) -> Self {
        let wait = quota.reset_ms.saturating_sub(now_ms).div_ceil(1000);
        let detail = format!("The limit of {} {what} is reached; it is lifted in {wait} seconds.", quota.limit);
        Self { retry_after: Some(wait), ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    pub(super) fn unavailable(detail: String) -> Self {
        Self { retry_after: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    pub(super) fn reply(&self, version: Version) -> Reply {
        let body = if version == Version::V4 { self.v4() } else { self.v3() };
        let mut reply = json(self.status, &body);
        if self.status == StatusCode::UNAUTHORIZED {
            reply = with_header(reply, "www-authenticate", "Token");
        }
        match self.retry_after {
            Some(seconds) => with_header(reply, "retry-after", &seconds.to_string()),
            None => reply,
        }
    }

    fn v3(&self) -> Value {
        match self.field {
            Some((field, _)) if self.status == StatusCode::BAD_REQUEST => {
                let mut body = Map::new();
                body.insert(field.to_owned(), json!([self.detail]));
                if let Some(summary) = self.summary {
                    body.insert("detail".to_owned(), json!(summary));
                }
                Value::Object(body)
            }
            _ => json!({ "detail": self.detail }),
        }
    }

    fn v4(&self) -> Value {
        let (code, title) = match self.status.as_u16() {
            400 => ("10000", "Invalid request"),
            401 => ("10001", "Not authenticated"),
            403 => ("10003", "Not permitted"),
            404 => ("10004", "Not found"),
            405 => ("10007", "Method not allowed"),
            406 => ("10005", "Not acceptable"),
            429 => ("10010", "Too many requests"),
            // The vendor documents no code for what is not the client's fault.
            _ => (self.status.as_str(), "Not available"),
        };
        let detail = match self.summary {
            Some(summary) => format!("{summary} {}", self.detail),
            None => self.detail.clone(),
        };
        let mut error = json!({ "status": self.status.as_str(), "code": code, "title": title, "detail": detail });
        let source = match (self.field, self.header) {
            (Some((field, None)), _) => json!({ "pointer": format!("/{field}") }),
            (Some((field, Some(item))), _) => json!({ "pointer": format!("/{field}/{item}") }),
            (None, Some(header)) => json!({ "header": header }),
            (None, None) => return json!({ "errors": [error] }),
        };
        if let Some(error) = error.as_object_mut() {
            error.insert("source".to_owned(), source);
        }
        json!({ "errors": [error] })
    }
}

/// What became of a request's items, by index.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) accepted: Vec<usize>,
    pub(super) foreign: Vec<usize>,
}

impl Outcome {
    pub(super) fn reply(&self, asked: &Asked, kind: Kind, version: Version) -> Reply {
        let partial = !self.accepted.is_empty() && !self.foreign.is_empty();
        match (version, kind) {
            (Version::V4, _) => {
                let data = json!({ "items": asked.items, "layer": asked.layer });
                json(StatusCode::CREATED, &json!({ "state": "executed", "data": data }))
            }
            (version, Kind::Url) if version == Version::V2 || partial => {
                let accepted = group("HTTP/1.1 201 CREATED", &self.accepted, CREATED, asked);
                let foreign = group("HTTP/1.1 403 FORBIDDEN", &self.foreign, FOREIGN, asked);
                json(StatusCode::MULTI_STATUS, &accepted.into_iter().chain(foreign).collect::<Vec<_>>())
            }
            _ if self.accepted.is_empty() => json(StatusCode::FORBIDDEN, &json!({ "detail": FOREIGN })),
            // The documentation prints one or the other, by page; clients read one of them.
            _ => json(StatusCode::CREATED, &json!({ "detail": CREATED, "details": CREATED })),
        }
    }
}

fn group(status: &str, items: &[usize], details: &str, asked: &Asked) -> Option<Value> {
    let urls: Vec<&String> = items.iter().filter_map(|&item| asked.items.get(item)).collect();
    (!urls.is_empty()).then(|| json!({ "status": status, "urls": urls, "details": details }))
}

/// With the fields every answer has, and those of the quota once an account is known.
pub(super) fn with_fields(reply: Reply, quota: Option<Quota>) -> Reply {
    let reply = with_header(reply, "allow", "POST, OPTIONS");
    let reply = with_header(reply, "vary", "Accept-Language, Cookie");
    let Some(quota) = quota else { return reply };
    let reset = humantime::format_rfc3339_micros(instant(quota.reset_ms)).to_string();
    let reply = with_header(reply, "x-ratelimit-limit", &quota.limit.to_string());
    let reply = with_header(reply, "x-ratelimit-remaining", &quota.remaining.to_string());
    // The vendor's times are of UTC and do not say so.
    with_header(reply, "x-ratelimit-reset", reset.trim_end_matches('Z'))
}
