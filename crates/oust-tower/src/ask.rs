//! A GET or HEAD that has a key, and the answers it gets from what is stored or in flight.

use std::time::SystemTime;

use http::header::{self, HeaderValue};
use http::{Extensions, HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use oust::cache::{FillReader, Head, Hit};
use oust::freshness::{RequestDirectives, conditional};
use oust::{Key, Reason};

use super::body::Body;
use super::cut::Cut;
use super::error::Failure;
use super::fields::{self, Seen};
use super::key::parts_of;
use super::options::Options;
use super::ranges::{self, Answered};
use super::small;
use super::status::{CACHE_STATUS, CacheStatus};

/// Among the extensions of a response whose body is a view of a mapped file: what the body is of.
///
/// Whoever copies from such a body asks [`Hit::is_intact`] after copying, before the copy is used: a page that the device did not give back reads as
/// zeros where a handler of SIGBUS is installed. What the kernel takes from it by itself, as in a write to a socket, fails instead.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "it is nothing but the hit")]
pub struct FromMap(pub Hit);

/// What is known of the request.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) key: Key,
    /// As the origin would see it, but for conditions and `Via`: what a variant is selected by.
    pub(crate) headers: HeaderMap,
    pub(crate) wants: RequestDirectives,
    pub(crate) head_only: bool,
    /// What else of the fields is asked about, known from one walk over them.
    pub(crate) seen: Seen,
    pub(crate) version: Version,
    pub(crate) uri: Uri,
    pub(crate) extensions: Extensions,
}

impl Ask {
    /// Serves a stored response; with a [`FromMap`] if its body is a view of a mapped file.
    pub(crate) fn serve<B>(&self, options: &Options, hit: &Hit, status: CacheStatus) -> Response<Body<B>> {
        self.serve_in(HeaderMap::new(), options, hit, status)
    }

    /// The same, and nothing else after it: the request's fields make room for the response's.
    pub(crate) fn serve_last<B>(mut self, options: &Options, hit: &Hit, status: CacheStatus) -> Response<Body<B>> {
        let needed = self.seen.conditional || self.seen.range;
        let mut room = if needed { HeaderMap::new() } else { std::mem::take(&mut self.headers) };
        room.clear();
        self.serve_in(room, options, hit, status)
    }

    fn serve_in<B>(&self, room: HeaderMap, options: &Options, hit: &Hit, status: CacheStatus) -> Response<Body<B>> {
        let mut response = self.stored(room, options, hit, status);
        if hit.is_mapped() {
            response.extensions_mut().insert(FromMap(hit.clone()));
        }
        response
    }

    fn stored<B>(
        &self,
        mut headers: HeaderMap,
        options: &Options,
        hit: &Hit,
        status: CacheStatus,
    ) -> Response<Body<B>> {
        let code = hit.status();
        // Beside them: `Age`, `Via`, `Cache-Status`, and now and then `Content-Length`.
        let chunks = hit.open(&mut headers, 4, |name| !options.hides(name));
        headers.insert(header::AGE, small::number(hit.age().as_secs()));
        if status.detail.as_deref() == Some(Reason::PurgedSoft.as_str()) {
            // A cache behind a client of ours that does not say it is one would take it for good (H7).
            headers.insert(fields::CDN_CACHE_CONTROL, HeaderValue::from_static("max-age=0"));
        }
        sign(options, &mut headers, Version::HTTP_11, &status, Some(&self.key));
        if self.seen.conditional && conditional::not_modified(&self.headers, code, &headers, SystemTime::now()) {
            return not_modified(headers);
        }
        let len = hit.body_len();
        let Some(answered) = self.ranges(code, &headers, len) else {
            if code != StatusCode::NO_CONTENT && fields::content_length(&headers) != Some(len) {
                headers.insert(header::CONTENT_LENGTH, small::number(len));
            }
            let body = if self.head_only { Body::empty() } else { Body::stored(chunks, len) };
            return respond(code, headers, body);
        };
        match answered {
            Answered::Cut(pieces) => partial(headers, pieces, |pieces| Cut::stored(pieces, chunks.collect())),
            Answered::Outside(range) => unsatisfiable(headers, range),
        }
    }

    /// Hands a fill on as it comes.
    pub(crate) fn relay<B>(
        &self,
        options: &Options,
        answer: &Head,
        reader: FillReader,
        mut status: CacheStatus,
    ) -> Response<Body<B>> {
        status.fwd_status = Some(answer.status);
        let mut headers = answer.headers.clone();
        let len = fields::content_length(&headers);
        self.dress(options, &mut headers, &status);
        if conditional::not_modified(&self.headers, answer.status, &headers, SystemTime::now()) {
            return not_modified(headers);
        }
        // Without a length there is nothing to count from the end, and nothing to say in `Content-Range`: the whole is an answer too.
        match len.and_then(|len| Some((len, self.ranges(answer.status, &headers, len)?))) {
            Some((_, Answered::Outside(range))) => unsatisfiable(headers, range),
            Some((_, Answered::Cut(pieces))) if pieces.ascends() => {
                partial(headers, pieces, |pieces| Cut::fill(pieces, reader))
            }
            _ => {
                let body = if self.head_only { Body::empty() } else { Body::fill(reader, len) };
                respond(answer.status, headers, body)
            }
        }
    }

    /// The request that a fill sends: unconditional, or as `headers` say.
    pub(crate) fn request<B: Default>(&self, method: Method, headers: HeaderMap) -> Request<B> {
        let mut request = Request::new(B::default());
        *request.method_mut() = method;
        *request.version_mut() = self.version;
        *request.uri_mut() = canonical(&self.uri, &self.key);
        *request.headers_mut() = headers;
        *request.extensions_mut() = self.extensions.clone();
        request.extensions_mut().insert(self.key.clone());
        request
    }

    /// What the request's ranges are of a body of this length, if it is answered by ranges at all.
    fn ranges(&self, code: StatusCode, headers: &HeaderMap, len: u64) -> Option<Answered> {
        let asked = !self.head_only && self.seen.range;
        if asked { ranges::answer(&self.headers, code, headers, len) } else { None }
    }

    /// The fields every answer from or through the store carries.
    fn dress(&self, options: &Options, headers: &mut HeaderMap, status: &CacheStatus) {
        dress(options, headers, Version::HTTP_11, status, Some(&self.key));
    }
}

/// The fields every answer carries; `received`: the version it came to us by.
pub(crate) fn dress(
    options: &Options,
    headers: &mut HeaderMap,
    received: Version,
    status: &CacheStatus,
    key: Option<&Key>,
) {
    if !options.keeps_tags {
        for name in &options.tag_headers {
            headers.remove(name);
        }
    }
    sign(options, headers, received, status, key);
}

/// Says that this cache had the answer, and why.
fn sign(options: &Options, headers: &mut HeaderMap, received: Version, status: &CacheStatus, key: Option<&Key>) {
    headers.append(header::VIA, options.via(received).clone());
    let key = key.filter(|_| options.cache_status_key).map(Key::text);
    // Appended: caches on the way before us have their own members (RFC 9211 2).
    headers.append(CACHE_STATUS, status.value(&options.name, key));
}

/// An answer of ours: nothing to keep, and it says so.
pub(crate) fn own<B>(
    options: &Options,
    code: StatusCode,
    status: &CacheStatus,
    key: Option<&Key>,
) -> Response<Body<B>> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    dress(options, &mut headers, Version::HTTP_11, status, key);
    if code == StatusCode::NO_CONTENT {
        return respond(code, headers, Body::empty());
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    let reason = code.canonical_reason().unwrap_or("error");
    respond(code, headers, Body::text(format!("{} {reason}\n", code.as_u16())))
}

/// The answer to a request that the inner service has failed to answer, by `code`.
pub(crate) fn failed<B>(
    options: &Options,
    code: StatusCode,
    failure: Failure,
    status: CacheStatus,
    key: Option<&Key>,
) -> Response<Body<B>> {
    let status = CacheStatus { detail: Some(failure.detail().into()), ..status };
    let mut response = own(options, code, &status, key);
    if let Some(seconds) = failure.comes_back_in() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn respond<B>(status: StatusCode, headers: HeaderMap, body: Body<B>) -> Response<Body<B>> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn not_modified<B>(mut headers: HeaderMap) -> Response<Body<B>> {
    conditional::strip_for_not_modified(&mut headers);
    respond(StatusCode::NOT_MODIFIED, headers, Body::empty())
}

fn partial<B>(
    mut headers: HeaderMap,
    pieces: ranges::Pieces,
    cut: impl FnOnce(Vec<super::cut::Piece>) -> Cut,
) -> Response<Body<B>> {
    let (name, value) = pieces.field;
    headers.insert(name, value);
    let cut = cut(pieces.pieces);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(cut.left()));
    respond(StatusCode::PARTIAL_CONTENT, headers, Body::cut(cut))
}

fn unsatisfiable<B>(mut headers: HeaderMap, range: HeaderValue) -> Response<Body<B>> {
    conditional::strip_for_unsatisfiable(&mut headers);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    headers.insert(header::CONTENT_RANGE, range);
    respond(StatusCode::RANGE_NOT_SATISFIABLE, headers, Body::empty())
}

/// The canonical URL of `key` in the form the client used.
fn canonical(uri: &Uri, key: &Key) -> Uri {
    let (scheme, authority, path_and_query) = parts_of(key);
    let mut builder = Uri::builder().path_and_query(path_and_query);
    if uri.authority().is_some() {
        builder = builder.scheme(scheme).authority(authority);
    }
    // A key holds nothing that a URI may not; should a parser think otherwise, the client's own spelling has the same key.
    builder.build().unwrap_or_else(|_| uri.clone())
}
