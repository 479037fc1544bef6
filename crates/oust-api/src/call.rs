//! A request as dialects see it, and their answers.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use serde::Serialize;

/// The answer to a call.
pub(crate) type Reply = Response<Bytes>;

/// One request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a Method,
    /// The path as sent: not normalised, escapes as they are.
    pub(crate) path: &'a str,
    /// The query as sent, without `?`.
    pub(crate) query: Option<&'a str>,
    /// The target as sent: with scheme and authority only if the client wrote them there, as it does over HTTP/2.
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    /// Milliseconds since the Unix epoch.
    pub(crate) now_ms: u64,
    /// The client's address, where the server says it.
    pub(crate) peer: Option<IpAddr>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(request: &'a Request<Bytes>, now_ms: u64) -> Self {
        Self {
            method: request.method(),
            path: request.uri().path(),
            query: request.uri().query(),
            uri: request.uri(),
            headers: request.headers(),
            body: request.body(),
            now_ms,
            peer: request.extensions().get().map(SocketAddr::ip),
        }
    }

    /// Path and query as sent, which signatures cover.
    pub(crate) fn target(&self) -> String {
        match self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.to_owned(),
        }
    }

    /// The host the client speaks to, as it wrote it.
    pub(crate) fn host(&self) -> Option<&'a str> {
        self.header("host").or_else(|| self.uri.authority().map(http::uri::Authority::as_str))
    }

    /// A header field that is text, and there once.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    }

    /// A parameter of the query, decoded; the first of that name.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        self.query?.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key) == name).then(|| decode(value))
        })
    }

    /// What follows `prefix` in the path, if that is one whole segment.
    pub(crate) fn segment_after(&self, prefix: &str) -> Option<&'a str> {
        self.path.strip_prefix(prefix).filter(|rest| !rest.is_empty() && !rest.contains('/'))
    }
}

fn decode(text: &str) -> String {
    let text = text.replace('+', " ");
    percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

/// An answer with a JSON body.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Reply {
    // Values made here have text keys only, so that they always serialise.
    let body = serde_json::to_vec(body).unwrap_or_else(|_| b"null".to_vec());
    let mut reply = Response::new(Bytes::from(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Bytes::new());
    *reply.status_mut() = status;
    reply
}

/// With a header field whose value is made here and so is always valid; an invalid one is left out.
pub(crate) fn with_header(mut reply: Reply, name: &'static str, value: &str) -> Reply {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(HeaderName::from_static(name), value);
    }
    reply
}
