//! Refusals as `application/problem+json` (RFC 9457).

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use oust::purge::{PurgeError, PurgeErrorKind};
use serde_json::{Map, Value, json};

/// A refusal and what a client can do with it. Boxed, since it is the rare half of a result.
#[derive(Debug)]
pub(crate) struct Problem(Box<Told>);

#[derive(Debug)]
struct Told {
    status: StatusCode,
    detail: String,
    selector: Option<usize>,
    position: Option<usize>,
    limit: Option<Value>,
    header: Option<(HeaderName, HeaderValue)>,
    errors: Vec<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let (selector, position, limit, header, errors) = (None, None, None, None, Vec::new());
        Self(Box::new(Told { status, detail, selector, position, limit, header, errors }))
    }

    pub(crate) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn selector(mut self, index: usize) -> Self {
        self.0.selector = Some(index);
        self
    }

    pub(super) fn limit(mut self, name: &str, value: u64) -> Self {
        self.0.limit = Some(json!({ "name": name, "value": value }));
        self
    }

    /// All that is wrong, where that is a list.
    pub(super) fn errors(mut self, errors: Vec<String>) -> Self {
        self.0.errors = errors;
        self
    }

    /// Status, fields and body of the answer.
    pub(crate) fn into_parts(self) -> (StatusCode, HeaderMap, String) {
        let told = *self.0;
        let mut body = Map::new();
        body.insert("status".to_owned(), json!(told.status.as_u16()));
        body.insert("title".to_owned(), json!(told.status.canonical_reason().unwrap_or("Error")));
        body.insert("detail".to_owned(), json!(told.detail));
        for (name, value) in [
            ("selector", told.selector.map(|index| json!(index))),
            ("position", told.position.map(|at| json!(at))),
            ("limit", told.limit),
            ("errors", (!told.errors.is_empty()).then(|| json!(told.errors))),
        ] {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some((name, value)) = told.header {
            headers.insert(name, value);
        }
        (told.status, headers, Value::Object(body).to_string())
    }

    pub(super) fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.0.header = Some((name, HeaderValue::from_static(value)));
        self
    }
}

impl From<PurgeError> for Problem {
    fn from(error: PurgeError) -> Self {
        let status = match error.kind() {
            PurgeErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            PurgeErrorKind::OverBudget => StatusCode::UNPROCESSABLE_ENTITY,
            PurgeErrorKind::TooManyRules => StatusCode::TOO_MANY_REQUESTS,
            PurgeErrorKind::NotDurable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        let mut problem = Self::new(status, error.to_string());
        problem.0.selector = error.selector();
        problem.0.position = error.position();
        if let Some((name, value)) = error.limit() {
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
        let (status, headers, body) = self.into_parts();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}
