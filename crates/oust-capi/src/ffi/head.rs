//! Status and header fields of responses, and what RFC 9111 says of them.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, Method, StatusCode};
use oust::Head;
use oust::freshness::{Assessment, Exchange, Freshness, Skip, conditional, strip_unstorable};

use super::cache::cache;
use super::lookup::HitBox;
use super::raw::{Out, Sized, bytes, entry, fields, free, list, sized};
use super::table::{Kind, kind};
use super::types::*;
use crate::error::Fault;

/// What a head's handle stands for.
pub(crate) struct HeadBox(pub(crate) Arc<Head>);

kind!(HeadBox, oust_head, 5);

/// Status and header fields of a response of the origin, copied. Fields that must not be stored (RFC 9111 3.1: those of the connection, and those that
/// `no-cache="..."` and `private="..."` name) are left out; so do not send this head to a client whose response is not stored.
///
/// Errors: `OUST_E_FIELD`. Ownership: `*out` is the caller's, to be freed by `oust_head_free`. Threads: any; a head may be used by many at once.
///
/// # Safety
///
/// Duties 1 and 2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_head_new(
    status: u32,
    response: *const oust_field,
    field_count: usize,
    out: *mut *mut oust_head,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: duty 1.
        let mut headers = unsafe { fields(response, field_count) }?;
        strip_unstorable(&mut headers);
        out.set(made(Head::new(status_of(status)?, headers))?);
        Ok(oust_code::OUST_OK)
    })
}

/// The head of a hit. Values share the stored memory, which the head keeps as the hit does. Ownership and threads as `oust_head_new`.
///
/// # Safety
///
/// Duties 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_hit_head(hit: *const oust_hit, out: *mut *mut oust_head) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: duty 4.
        let HitBox(hit) = unsafe { HitBox::table().get(hit) }?;
        out.set(made(hit.head())?);
        Ok(oust_code::OUST_OK)
    })
}

/// The head of a stored response as a 304 with these fields updates it (RFC 9111 3.2): for `oust_ticket_not_modified`. Ownership and threads as
/// `oust_head_new`.
///
/// # Safety
///
/// Duties 1, 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_hit_merge(
    hit: *const oust_hit,
    not_modified: *const oust_field,
    field_count: usize,
    out: *mut *mut oust_head,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: duty 4.
        let HitBox(hit) = unsafe { HitBox::table().get(hit) }?;
        // SAFETY: duty 1.
        let update = unsafe { fields(not_modified, field_count) }?;
        let stored = hit.head();
        out.set(made(Head::new(stored.status, conditional::merge(&stored.headers, &update)))?);
        Ok(oust_code::OUST_OK)
    })
}

/// Whether a 304 with these fields is about this stored response (RFC 9111 4.3.4): 1 or 0. If not, fetch without validators.
///
/// # Safety
///
/// Duties 1, 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_hit_validates(
    hit: *const oust_hit,
    not_modified: *const oust_field,
    field_count: usize,
    yes: *mut u32,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut yes = unsafe { Out::new(yes, "yes") }?;
        // SAFETY: duty 4.
        let HitBox(hit) = unsafe { HitBox::table().get(hit) }?;
        // SAFETY: duty 1.
        let update = unsafe { fields(not_modified, field_count) }?;
        yes.set(u32::from(conditional::validates(&hit.head().headers, &update)));
        Ok(oust_code::OUST_OK)
    })
}

/// These fields of a request with the validators of a stored response in place of any of their own (RFC 9111 4.3.1): what to send to the origin. Its
/// status is 0 in meaning and 200 in number. Without a validator they are as given, less the conditions. Ownership and threads as `oust_head_new`.
///
/// # Safety
///
/// Duties 1, 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_hit_conditional(
    hit: *const oust_hit,
    request: *const oust_field,
    field_count: usize,
    out: *mut *mut oust_head,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: duty 4.
        let HitBox(hit) = unsafe { HitBox::table().get(hit) }?;
        // SAFETY: duty 1.
        let mut request = unsafe { fields(request, field_count) }?;
        conditional::make_conditional(&mut request, &hit.head().headers);
        out.set(made(Head::new(StatusCode::OK, request))?);
        Ok(oust_code::OUST_OK)
    })
}

/// The status code of a head.
///
/// # Safety
///
/// Duties 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_head_status(head: *const oust_head, status: *mut u32) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut status = unsafe { Out::new(status, "status") }?;
        // SAFETY: duty 4.
        let HeadBox(head) = unsafe { HeadBox::table().get(head) }?;
        status.set(u32::from(head.status.as_u16()));
        Ok(oust_code::OUST_OK)
    })
}

/// The header fields of a head, repeated ones next to each other: `room` of them from number `first` on are written to `out`, and `*count` is how many were;
/// 0 behind the last. Valid as long as the head.
///
/// # Safety
///
/// Duties 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_head_fields(
    head: *const oust_head,
    first: usize,
    out: *mut oust_field,
    room: usize,
    count: *mut usize,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut count = unsafe { Out::new(count, "count") }?;
        // SAFETY: duty 4.
        let HeadBox(head) = unsafe { HeadBox::table().get(head) }?;
        // SAFETY: duty 2.
        count.set(unsafe { list(out, room, first, listed(&head.headers)) }?);
        Ok(oust_code::OUST_OK)
    })
}

/// The value of the first field of a name, in any case. `OUST_END`: there is none, and `*value` is empty. Valid as long as the head.
///
/// # Safety
///
/// Duties 1, 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_head_get(head: *const oust_head, name: oust_slice, value: *mut oust_slice) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut out = unsafe { Out::new(value, "value") }?;
        // SAFETY: duty 4.
        let HeadBox(head) = unsafe { HeadBox::table().get(head) }?;
        // SAFETY: duty 1.
        let name = HeaderName::from_bytes(unsafe { bytes(name.data, name.len, "name") }?)?;
        let value = head.headers.get(name);
        out.set(value.map_or(oust_slice::EMPTY, |value| oust_slice::of(value.as_bytes())));
        Ok(if value.is_some() { oust_code::OUST_OK } else { oust_code::OUST_END })
    })
}

/// Frees a head. NULL is nothing to free.
///
/// # Safety
///
/// Duty 4: no other call uses the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_head_free(head: *mut oust_head) -> oust_code {
    free::<HeadBox>(head)
}

/// Whether a response may be stored by a shared cache, and how fresh it then is (RFC 9111 3 and 4.2, by the `[ttl]` of the cache's configuration).
///
/// `*skip` is an `oust_skip`: `OUST_SKIP_NONE` where it may, and only then `*freshness` is set. Give that to `oust_ticket_respond`; where it may not, give
/// NULL there. For a 304: the head of `oust_hit_merge`. Callers with a policy of their own fill in an `oust_freshness` themselves. Threads: any.
///
/// # Safety
///
/// Duties 1 to 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_assess(
    cache: *const oust_cache,
    exchange: *const oust_exchange,
    head: *const oust_head,
    freshness: *mut oust_freshness,
    skip: *mut u32,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 3.
        let mut out = unsafe { Sized::new(freshness, "freshness") }?;
        // SAFETY: duty 2.
        let mut skip = unsafe { Out::new(skip, "skip") }?;
        // SAFETY: duty 4.
        let of = unsafe { self::cache(cache) }?;
        // SAFETY: duty 3.
        let exchange = unsafe { sized(exchange, "exchange") }?;
        // SAFETY: duty 4.
        let HeadBox(head) = unsafe { HeadBox::table().get(head) }?;
        // SAFETY: duty 1.
        let method = unsafe { bytes(exchange.method.data, exchange.method.len, "method") }?;
        let method = if method.is_empty() { Ok(Method::GET) } else { Method::from_bytes(method) };
        let method = method.map_err(|_| Fault::new(oust_code::OUST_E_FIELD, "not a method"))?;
        // SAFETY: duty 1.
        let request = unsafe { fields(exchange.fields, exchange.field_count) }?;
        let assessed = of.policy.assess(&Exchange {
            method: &method,
            request: &request,
            status: head.status,
            response: &head.headers,
            received: time(exchange.received_ms),
            delay: Duration::from_millis(exchange.delay_ms),
        });
        skip.set(match assessed {
            Assessment::Store(fresh) => {
                out.set(written(&fresh));
                oust_skip::OUST_SKIP_NONE as u32
            }
            Assessment::Skip(why) => skipped(why),
        });
        Ok(oust_code::OUST_OK)
    })
}

/// A new handle of a head.
pub(crate) fn made(head: Head) -> Result<*mut oust_head, Fault> {
    HeadBox::table().insert(HeadBox(Arc::new(head)))
}

/// Fields as C has them.
pub(crate) fn listed(headers: &HeaderMap) -> impl Iterator<Item = oust_field> {
    headers.iter().map(|(name, value)| oust_field {
        name: oust_slice::of(name.as_str().as_bytes()),
        value: oust_slice::of(value.as_bytes()),
    })
}

/// Milliseconds since the Unix epoch; 0 is now.
pub(crate) fn time(ms: u64) -> SystemTime {
    let given = (ms != 0).then(|| UNIX_EPOCH.checked_add(Duration::from_millis(ms))).flatten();
    given.unwrap_or_else(SystemTime::now)
}

fn status_of(status: u32) -> Result<StatusCode, Fault> {
    let code = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    code.ok_or_else(|| Fault::new(oust_code::OUST_E_FIELD, format!("{status} is no status code")))
}

fn written(fresh: &Freshness) -> oust_freshness {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    oust_freshness {
        size: 0,
        lifetime_ms: ms(fresh.lifetime),
        age_ms: ms(fresh.age),
        stale_while_revalidate_ms: ms(fresh.stale_while_revalidate),
        stale_if_error_ms: ms(fresh.stale_if_error),
        must_revalidate: u8::from(fresh.must_revalidate),
        no_cache: u8::from(fresh.no_cache),
        reserved: [0; 6],
    }
}

/// Deadlines of the caller's; NULL is none.
///
/// # Safety
///
/// Duty 3.
pub(crate) unsafe fn read_freshness(data: *const oust_freshness) -> Result<Option<Freshness>, Fault> {
    if data.is_null() {
        return Ok(None);
    }
    // SAFETY: duty 3.
    let given = unsafe { sized(data, "freshness") }?;
    let mut fresh = Freshness::fresh_for(Duration::from_millis(given.lifetime_ms));
    fresh.age = Duration::from_millis(given.age_ms);
    fresh.stale_while_revalidate = Duration::from_millis(given.stale_while_revalidate_ms);
    fresh.stale_if_error = Duration::from_millis(given.stale_if_error_ms);
    fresh.must_revalidate = given.must_revalidate != 0;
    fresh.no_cache = given.no_cache != 0;
    Ok(Some(fresh))
}

fn skipped(why: Skip) -> u32 {
    let of = match why {
        Skip::Method => oust_skip::OUST_SKIP_METHOD,
        Skip::Status => oust_skip::OUST_SKIP_STATUS,
        Skip::RequestNoStore => oust_skip::OUST_SKIP_REQUEST_NO_STORE,
        Skip::NoStore => oust_skip::OUST_SKIP_NO_STORE,
        Skip::Private => oust_skip::OUST_SKIP_PRIVATE,
        Skip::Authorization => oust_skip::OUST_SKIP_AUTHORIZATION,
        Skip::VaryAny => oust_skip::OUST_SKIP_VARY_ANY,
        Skip::SetCookie => oust_skip::OUST_SKIP_SET_COOKIE,
        Skip::NoFreshness => oust_skip::OUST_SKIP_NO_FRESHNESS,
        _ => oust_skip::OUST_SKIP_OTHER,
    };
    of as u32
}
