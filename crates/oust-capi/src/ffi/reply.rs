//! Answers with a status, header fields and a body; the purge APIs of other CDNs.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Uri};
use oust_api::{Api, MAX_BODY};
use serde_json::Value;

use super::cache::{CacheBox, cache};
use super::head::listed;
use super::raw::{Out, Sized, bytes, entry, fields, free, list, sized, text};
use super::table::{Kind, kind};
use super::types::*;
use crate::error::Fault;

/// What a reply's handle stands for.
pub(crate) struct ReplyBox(pub(crate) Reply);

/// An answer, or a webhook to send.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) url: String,
}

kind!(ReplyBox, oust_reply, 10);

impl Reply {
    /// A JSON document.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let content_type = if status < 400 { "application/json" } else { "application/problem+json" };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { status, headers, body: body.to_string().into(), url: String::new() }
    }
}

/// Hands a reply out.
pub(crate) fn answer(mut out: Out<'_, *mut oust_reply>, reply: Reply) -> Result<oust_code, Fault> {
    out.set(ReplyBox::table().insert(ReplyBox(reply))?);
    Ok(oust_code::OUST_OK)
}

/// Answers a request to the purge API of Azion, Naver Cloud, Medianova, CDNetworks or ImageKit: the path tells whose. Accounts and their credentials are
/// the `[[account]]` tables of the configuration; paths, limits, answers and errors are the vendor's own (`docs/apis.md`). What a request asked for is
/// gone when this returns: as of `oust_purge`, and it blocks as that does.
///
/// A request that is refused is answered too: `OUST_OK`, and the status says so. Errors: `OUST_E_CONFIG` without accounts, `OUST_E_FIELD` where it is no HTTP
/// request, `OUST_E_TOO_LARGE` for a body over 8 MiB (413). Ownership: `*out` is the caller's, to be freed by `oust_reply_free`. Threads: any.
///
/// # Safety
///
/// Duties 1 to 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_api_handle(
    cache: *const oust_cache,
    request: *const oust_api_request,
    out: *mut *mut oust_reply,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: duty 4.
        let api = api(unsafe { self::cache(cache) }?)?;
        // SAFETY: duty 3.
        let given = unsafe { sized(request, "request") }?;
        let field = |what| Fault::new(oust_code::OUST_E_FIELD, what);
        // SAFETY: duty 1.
        let method = unsafe { bytes(given.method.data, given.method.len, "method") }?;
        // SAFETY: duty 1.
        let target = unsafe { bytes(given.target.data, given.target.len, "target") }?;
        // SAFETY: duty 1.
        let body = unsafe { bytes(given.body.data, given.body.len, "body") }?;
        // SAFETY: duty 1.
        let peer = unsafe { text(given.peer, "peer") }?;
        if body.len() > MAX_BODY {
            return Err(Fault::new(oust_code::OUST_E_TOO_LARGE, format!("the body is longer than {MAX_BODY} bytes")));
        }
        let mut request = Request::new(Bytes::copy_from_slice(body));
        *request.method_mut() = Method::from_bytes(method).map_err(|_| field("not a method"))?;
        *request.uri_mut() = Uri::try_from(target).map_err(|_| field("not a target: a path from `/` on"))?;
        // SAFETY: duty 1.
        *request.headers_mut() = unsafe { fields(given.fields, given.field_count) }?;
        if !peer.is_empty() {
            let peer: SocketAddr = peer.parse().map_err(|_| field("`peer` is no address with a port"))?;
            request.extensions_mut().insert(peer);
        }
        let (parts, body) = api.handle(&request).into_parts();
        let reply = Reply { status: parts.status.as_u16(), headers: parts.headers, body, url: String::new() };
        answer(out, reply)
    })
}

/// The next webhook that is to be called (CDNetworks' callbacks), or `OUST_END`. To be asked for several times a second where accounts use them; nothing is
/// sent by the library itself. Each is handed out once until `oust_webhook_done` is called for it.
///
/// Ownership: `out->message` is the caller's. Threads: any.
///
/// # Safety
///
/// Duties 3 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_webhook_next(cache: *const oust_cache, out: *mut oust_webhook) -> oust_code {
    entry(|| {
        // SAFETY: duty 3.
        let mut out = unsafe { Sized::new(out, "out") }?;
        // SAFETY: duty 4.
        let of = unsafe { self::cache(cache) }?;
        let api = api(of)?;
        let mut due = of.due.lock();
        if due.is_empty() {
            due.extend(api.due_callbacks());
        }
        let next = due.pop_front();
        drop(due);
        let Some(next) = next else { return Ok(oust_code::OUST_END) };
        let message = Reply { status: 0, headers: next.headers, body: next.body, url: next.url };
        out.set(oust_webhook {
            size: 0,
            id: next.id,
            message: ReplyBox::table().insert(ReplyBox(message))?,
            may_be_private: u32::from(next.private),
            reserved: 0,
        });
        Ok(oust_code::OUST_OK)
    })
}

/// Tells whether a webhook was taken: `delivered` is not 0 after any 2xx. One that was not is due again after 1, 5 and 25 seconds, then given up.
///
/// # Safety
///
/// Duty 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_webhook_done(cache: *const oust_cache, id: u64, delivered: u32) -> oust_code {
    entry(|| {
        // SAFETY: duty 4.
        api(unsafe { self::cache(cache) }?)?.callback_done(id, delivered != 0);
        Ok(oust_code::OUST_OK)
    })
}

/// The status of a reply; 0 for a webhook.
///
/// # Safety
///
/// Duties 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_reply_status(reply: *const oust_reply, status: *mut u32) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut status = unsafe { Out::new(status, "status") }?;
        // SAFETY: duty 4.
        status.set(u32::from(unsafe { ReplyBox::table().get(reply) }?.0.status));
        Ok(oust_code::OUST_OK)
    })
}

/// The header fields of a reply, as `oust_head_fields`; valid as long as the reply.
///
/// # Safety
///
/// Duties 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_reply_fields(
    reply: *const oust_reply,
    first: usize,
    out: *mut oust_field,
    room: usize,
    count: *mut usize,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut count = unsafe { Out::new(count, "count") }?;
        // SAFETY: duty 4.
        let ReplyBox(reply) = unsafe { ReplyBox::table().get(reply) }?;
        // SAFETY: duty 2.
        count.set(unsafe { list(out, room, first, listed(&reply.headers)) }?);
        Ok(oust_code::OUST_OK)
    })
}

/// The body of a reply; valid as long as the reply.
///
/// # Safety
///
/// Duties 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_reply_body(reply: *const oust_reply, out: *mut oust_slice) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut out = unsafe { Out::new(out, "out") }?;
        // SAFETY: duty 4.
        out.set(oust_slice::of(&unsafe { ReplyBox::table().get(reply) }?.0.body));
        Ok(oust_code::OUST_OK)
    })
}

/// Where a webhook is to be sent; empty for other replies. Valid as long as the reply.
///
/// # Safety
///
/// Duties 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_reply_url(reply: *const oust_reply, out: *mut oust_slice) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut out = unsafe { Out::new(out, "out") }?;
        // SAFETY: duty 4.
        out.set(oust_slice::of(unsafe { ReplyBox::table().get(reply) }?.0.url.as_bytes()));
        Ok(oust_code::OUST_OK)
    })
}

/// Frees a reply. NULL is nothing to free.
///
/// # Safety
///
/// Duty 4: no other call uses the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_reply_free(reply: *mut oust_reply) -> oust_code {
    free::<ReplyBox>(reply)
}

fn api(of: &CacheBox) -> Result<&Api, Fault> {
    let none = || Fault::new(oust_code::OUST_E_CONFIG, "the configuration has no [[account]]");
    of.api.as_ref().ok_or_else(none)
}
