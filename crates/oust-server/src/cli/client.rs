//! A client of the admin API.

use std::time::Duration;

use bytes::Bytes;
use http::header;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::Exit;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Speaks to one server.
#[derive(Debug)]
pub(super) struct AdminClient {
    base: Uri,
    token: Option<String>,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl AdminClient {
    pub(super) fn new(base: &str, token: Option<String>) -> Result<Self, Exit> {
        let base: Uri = base.parse().map_err(|error| Exit::usage(format!("--admin {base}: {error}")))?;
        if base.scheme_str() != Some("http") || base.authority().is_none() || base.path() != "/" {
            return Err(Exit::usage("--admin is a URL such as http://127.0.0.1:8081"));
        }
        Ok(Self { base, token, client: Client::builder(TokioExecutor::new()).build_http() })
    }

    /// One request; the answer is JSON, or it is an error.
    pub(super) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Exit> {
        let authority = self.base.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::builder().method(method).uri(format!("http://{authority}{path}"));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::from(body)).map_err(Exit::failed)?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| {
                let mut message = format!("{authority}: {error}");
                let mut source = std::error::Error::source(&error);
                while let Some(cause) = source {
                    message = format!("{message}: {cause}");
                    source = cause.source();
                }
                Exit::failed(message)
            })?;
            let status = response.status();
            let body = response.into_body().collect().await.map_err(Exit::failed)?.to_bytes();
            Ok((status, body))
        };
        let (status, body) = tokio::time::timeout(PATIENCE, exchange)
            .await
            .map_err(|_| Exit::failed(format!("{authority} did not answer in time")))??;
        let value: Value = serde_json::from_slice(&body)
            .map_err(|_| Exit::failed(format!("{authority} answered {status} with something that is not JSON")))?;
        if status == StatusCode::OK { Ok(value) } else { Err(Exit::failed(refusal(status, &value))) }
    }
}

/// A problem document in a line.
fn refusal(status: StatusCode, problem: &Value) -> String {
    let mut text = status.to_string();
    if let Some(detail) = problem.get("detail").and_then(Value::as_str) {
        text = format!("{text}: {detail}");
    }
    for member in ["selector", "position", "limit"] {
        if let Some(value) = problem.get(member) {
            text = format!("{text} ({member} {value})");
        }
    }
    text
}
