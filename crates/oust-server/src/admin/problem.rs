//! Refusals as `application/problem+json` (RFC 9457).

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use oust::purge::{PurgeError, PurgeErrorKind};
use serde_json::{Map, Value, json};

/// A refusal and what a client can do with it.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
    selector: Option<usize>,
    position: Option<usize>,
    limit: Option<Value>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), selector: None, position: None, limit: None, header: None }
    }

    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn selector(mut self, index: usize) -> Self {
        self.selector = Some(index);
        self
    }

    pub(super) fn limit(mut self, name: &str, value: u64) -> Self {
        self.limit = Some(json!({ "name": name, "value": value }));
        self
    }

    pub(super) fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, HeaderValue::from_static(value)));
        self
    }
}

impl From<PurgeError> for Problem {
    fn from(error: PurgeError) -> Self {
        let status = match error.kind() {
            PurgeErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            PurgeErrorKind::OverBudget => StatusCode::UNPROCESSABLE_ENTITY,
            PurgeErrorKind::TooManyRules => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::BAD_REQUEST,
        };
        let mut problem = Self::new(status, error.to_string());
        problem.selector = error.selector;
        problem.position = error.position;
        if let Some((name, value)) = error.limit {
            problem = problem.limit(name, value);
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            // Rules are retired as they are swept, which takes milliseconds to seconds.
            problem = problem.header(header::RETRY_AFTER, "1");
        }
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = Map::new();
        body.insert("status".to_owned(), json!(self.status.as_u16()));
        body.insert("title".to_owned(), json!(self.status.canonical_reason().unwrap_or("Error")));
        body.insert("detail".to_owned(), json!(self.detail));
        for (name, value) in [
            ("selector", self.selector.map(|index| json!(index))),
            ("position", self.position.map(|at| json!(at))),
            ("limit", self.limit),
        ] {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        }
        let mut response = Response::new(Body::from(Value::Object(body).to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some((name, value)) = self.header {
            headers.insert(name, value);
        }
        response
    }
}
