//! Keys, lookups and hits.

use std::ffi::c_void;
use std::task::Poll;

use http::HeaderMap;
use oust::freshness::{Demand, RequestDirectives, conditional};
use oust::{Deferred, Hit, Key, Lookup};

use super::cache::cache;
use super::raw::{Out, Sized, bytes, entry, fields, free, list};
use super::table::{Kind, kind};
use super::types::*;
use super::wake::{self, Pending};
use crate::error::Fault;

/// What a key's handle stands for.
pub(crate) struct KeyBox(pub(crate) Key);
/// What a request's handle stands for.
pub(crate) struct RequestBox(pub(crate) HeaderMap);
/// What a hit's handle stands for.
pub(crate) struct HitBox(pub(crate) Hit);
/// What the handle of a deferred lookup stands for. The registration is called after the lookup was given up.
pub(crate) struct DeferredBox {
    lookup: Deferred,
    outcome: Option<Lookup>,
    pending: Pending,
}

kind!(KeyBox, oust_key, 2);
kind!(RequestBox, oust_request, 3);
kind!(HitBox, oust_hit, 4);
kind!(DeferredBox, oust_deferred, 6);

/// The key of a client's URL, `http://` or `https://` with a host, in canonical form (RFC 3986 6.2.2, 6.2.3). An `@@` in it is part of the URL.
///
/// Errors: `OUST_E_KEY` and `OUST_E_TOO_LARGE`, with the position. Ownership: `*out` is the caller's, to be freed by `oust_key_free`. Threads: any; a key may
/// be used by many at once.
///
/// # Safety
///
/// Duties 1 and 2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_key_from_url(url: *const u8, len: usize, out: *mut *mut oust_key) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: duty 1.
        let url = unsafe { bytes(url, len, "url") }?;
        out.set(KeyBox::table().insert(KeyBox(Key::from_url(url)?))?);
        Ok(oust_code::OUST_OK)
    })
}

/// The key that a text `url[@@variation]` stands for. Otherwise as `oust_key_from_url`.
///
/// # Safety
///
/// Duties 1 and 2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_key_parse(text: *const u8, len: usize, out: *mut *mut oust_key) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: duty 1.
        let text = unsafe { bytes(text, len, "text") }?;
        out.set(KeyBox::table().insert(KeyBox(Key::parse(text)?))?);
        Ok(oust_code::OUST_OK)
    })
}

/// The key of a request by the cache's sites: aliases, merged schemes and key policies applied. `scheme` is the one it came by, `authority` its
/// `:authority` or `Host`, `target` its path and query; `request` fields matter where a policy names them.
///
/// Errors: `OUST_E_HOST` where no site has the host (421), `OUST_E_KEY`, `OUST_E_TOO_LARGE`. Ownership and threads as `oust_key_from_url`.
///
/// # Safety
///
/// Duties 1, 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_key_of_request(
    cache: *const oust_cache,
    scheme: oust_slice,
    authority: oust_slice,
    target: oust_slice,
    request: *const oust_field,
    field_count: usize,
    out: *mut *mut oust_key,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: duty 4.
        let of = unsafe { self::cache(cache) }?;
        // SAFETY: duty 1.
        let scheme = unsafe { bytes(scheme.data, scheme.len, "scheme") }?;
        // SAFETY: duty 1.
        let authority = unsafe { bytes(authority.data, authority.len, "authority") }?;
        // SAFETY: duty 1.
        let target = unsafe { bytes(target.data, target.len, "target") }?;
        // SAFETY: duty 1.
        let request = unsafe { fields(request, field_count) }?;
        let key =
            of.cache.sites().key(scheme, authority, target, &request).map_err(|error| match error.malformed() {
                None => Fault::new(oust_code::OUST_E_HOST, error.to_string()),
                Some(malformed) => malformed.clone().into(),
            })?;
        out.set(KeyBox::table().insert(KeyBox(key))?);
        Ok(oust_code::OUST_OK)
    })
}

/// The canonical text of a key; valid as long as the key.
///
/// # Safety
///
/// Duties 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_key_text(key: *const oust_key, out: *mut oust_slice) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut out = unsafe { Out::new(out, "out") }?;
        // SAFETY: duty 4.
        let key = unsafe { KeyBox::table().get(key) }?;
        out.set(oust_slice::of(key.0.text()));
        Ok(oust_code::OUST_OK)
    })
}

/// Frees a key. NULL is nothing to free.
///
/// # Safety
///
/// Duty 4: no other call uses the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_key_free(key: *mut oust_key) -> oust_code {
    free::<KeyBox>(key)
}

/// Reads the header fields of a request once, for several lookups. Errors: `OUST_E_FIELD`. Ownership: `*out` is the caller's, to be freed by
/// `oust_request_free`. Threads: any; a request may be used by many at once.
///
/// # Safety
///
/// Duties 1 and 2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_request_new(
    request: *const oust_field,
    field_count: usize,
    out: *mut *mut oust_request,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: duty 1.
        let request = unsafe { fields(request, field_count) }?;
        out.set(RequestBox::table().insert(RequestBox(request))?);
        Ok(oust_code::OUST_OK)
    })
}

/// Frees a request. NULL is nothing to free.
///
/// # Safety
///
/// Duty 4: no other call uses the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_request_free(request: *mut oust_request) -> oust_code {
    free::<RequestBox>(request)
}

/// What a request for `key` with these header fields gets. Only the fields that responses may vary on matter: each is read and copied, so pass no
/// others, or use `oust_lookup_request`.
///
/// A lookup that begins after a purge has returned does not return what the purge took. Never waits for a purge, a fill or the disk. Nothing is copied:
/// the hit keeps the stored memory.
///
/// Ownership: what is set in `*out` is the caller's; a fault sets nothing. Threads: any.
///
/// # Safety
///
/// Duties 1, 3 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_lookup(
    cache: *const oust_cache,
    key: *const oust_key,
    request: *const oust_field,
    field_count: usize,
    out: *mut oust_found,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 3.
        let out = unsafe { Sized::new(out, "out") }?;
        // SAFETY: duty 4.
        let of = unsafe { self::cache(cache) }?;
        // SAFETY: duty 4.
        let key = unsafe { KeyBox::table().get(key) }?;
        // SAFETY: duty 1.
        let request = unsafe { fields(request, field_count) }?;
        found(of.cache.lookup(&key.0, &request), out)
    })
}

/// As `oust_lookup`, with header fields that were read before: the cheapest lookup there is.
///
/// # Safety
///
/// Duties 3 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_lookup_request(
    cache: *const oust_cache,
    key: *const oust_key,
    request: *const oust_request,
    out: *mut oust_found,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 3.
        let out = unsafe { Sized::new(out, "out") }?;
        // SAFETY: duty 4.
        let of = unsafe { self::cache(cache) }?;
        // SAFETY: duty 4.
        let key = unsafe { KeyBox::table().get(key) }?;
        // SAFETY: duty 4.
        let request = unsafe { RequestBox::table().get(request) }?;
        found(of.cache.lookup(&key.0, &request.0), out)
    })
}

#[inline(always)]
fn found(lookup: Lookup, mut out: Sized<'_, oust_found>) -> Result<oust_code, Fault> {
    let (outcome, reason, hit) = match lookup {
        Lookup::Hit(hit) => (oust_outcome::OUST_HIT, 0, Some(hit)),
        Lookup::Stale(hit, why) => (oust_outcome::OUST_STALE, reason(why), Some(hit)),
        Lookup::MustValidate(hit, why) => (oust_outcome::OUST_MUST_VALIDATE, reason(why), Some(hit)),
        Lookup::Miss(why) => (oust_outcome::OUST_MISS, reason(why), None),
        Lookup::Deferred(lookup) => {
            let waits = DeferredBox { lookup, outcome: None, pending: Pending::default() };
            let deferred = DeferredBox::table().insert(waits)?;
            out.set(oust_found { deferred, outcome: oust_outcome::OUST_DEFERRED as u32, ..NOTHING });
            return Ok(oust_code::OUST_OK);
        }
        _ => (oust_outcome::OUST_MISS, oust_reason::OUST_REASON_OTHER as u32, None),
    };
    let mut told = oust_found { outcome: outcome as u32, reason, ..NOTHING };
    if let Some(hit) = hit {
        told.status = u32::from(hit.status().as_u16());
        told.body_len = hit.body_len();
        // Of the entry, which does not move with the hit.
        told.body = hit.body_slice().map_or(oust_slice::EMPTY, oust_slice::of);
        told.hit = HitBox::table().insert(HitBox(hit))?;
    }
    out.set(told);
    Ok(oust_code::OUST_OK)
}

const NOTHING: oust_found = oust_found {
    size: 0,
    outcome: 0,
    reason: 0,
    hit: std::ptr::null_mut(),
    deferred: std::ptr::null_mut(),
    status: 0,
    reserved: 0,
    body_len: 0,
    body: oust_slice::EMPTY,
};

/// Asks to be told when a deferred lookup may be taken.
///
/// `OUST_OK`: it may now, and `call` is not called. `OUST_PENDING`: `call` is called with `data` exactly once, from any thread: when it may be taken, or when
/// the lookup is freed or this is called again before. It may call `oust_deferred_take`.
///
/// Errors: `OUST_E_BUSY`, `OUST_E_HANDLE`; then `call` is not called. Threads: any, one at a time.
///
/// # Safety
///
/// Duty 5.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_deferred_notify(
    deferred: *mut oust_deferred,
    call: oust_callback,
    data: *mut c_void,
) -> oust_code {
    let mut before = Pending::default();
    let code = entry(|| {
        let mut of = DeferredBox::table().hold(deferred)?;
        if of.outcome.is_some() {
            return Ok(oust_code::OUST_OK);
        }
        let DeferredBox { lookup, pending, outcome } = &mut *of;
        let polled;
        (polled, before) = wake::poll(pending, (call, data), |cx| lookup.poll(cx));
        match polled {
            Poll::Ready(lookup) => *outcome = Some(lookup),
            Poll::Pending => return Ok(oust_code::OUST_PENDING),
        }
        Ok(oust_code::OUST_OK)
    });
    drop(before);
    code
}

/// Takes the outcome of a deferred lookup, which frees its handle; never `OUST_DEFERRED` again. `OUST_PENDING`: not yet, and the handle stays.
///
/// What it says is as of now: a purge that returned before this call is obeyed if it also returned before the object was read; otherwise as of any lookup
/// that had begun before the purge. Ownership as `oust_lookup`. Threads: any, one at a time.
///
/// # Safety
///
/// Duty 3.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_deferred_take(deferred: *mut oust_deferred, out: *mut oust_found) -> oust_code {
    let mut ended = Pending::default();
    let code = entry(|| {
        // SAFETY: duty 3.
        let out = unsafe { Sized::new(out, "out") }?;
        let mut of = DeferredBox::table().hold(deferred)?;
        if of.outcome.is_none() {
            let DeferredBox { lookup, pending, .. } = &mut *of;
            let polled;
            (polled, ended) = wake::poll(pending, (None, std::ptr::null_mut()), |cx| lookup.poll(cx));
            let Poll::Ready(lookup) = polled else { return Ok(oust_code::OUST_PENDING) };
            of.outcome = Some(lookup);
        }
        let of = of.take()?;
        found(of.outcome.unwrap_or(Lookup::Miss(oust::Reason::Failed)), out)
    });
    drop(ended);
    code
}

/// Blocks until the outcome of a deferred lookup is there and takes it, which frees its handle. Otherwise as `oust_deferred_take`. Not for callbacks.
///
/// # Safety
///
/// Duty 3.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_deferred_wait(deferred: *mut oust_deferred, out: *mut oust_found) -> oust_code {
    entry(|| {
        // SAFETY: duty 3.
        let out = unsafe { Sized::new(out, "out") }?;
        let of = DeferredBox::table().hold(deferred)?.take()?;
        let DeferredBox { lookup, outcome, pending } = of;
        let outcome = outcome.unwrap_or_else(|| lookup.wait());
        drop(pending);
        found(outcome, out)
    })
}

/// Gives a deferred lookup up. A callback that was to be called is called before this returns, unless another thread is calling it right now. NULL is
/// nothing to free.
///
/// # Safety
///
/// Duty 5.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_deferred_free(deferred: *mut oust_deferred) -> oust_code {
    free::<DeferredBox>(deferred)
}

/// What is known of a hit, as of its lookup. Threads: any; a hit may be used by many at once.
///
/// # Safety
///
/// Duties 3 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_hit_describe(hit: *const oust_hit, out: *mut oust_hit_info) -> oust_code {
    entry(|| {
        // SAFETY: duty 3.
        let mut out = unsafe { Sized::new(out, "out") }?;
        // SAFETY: duty 4.
        let HitBox(hit) = unsafe { HitBox::table().get(hit) }?;
        let flag = |yes: bool, flag: u32| if yes { flag } else { 0 };
        out.set(oust_hit_info {
            size: 0,
            status: u32::from(hit.status().as_u16()),
            flags: flag(hit.may_serve_on_error(), OUST_HIT_ON_ERROR)
                | flag(hit.may_serve_stale(), OUST_HIT_MAY_BE_STALE)
                | flag(hit.is_mapped(), OUST_HIT_MAPPED),
            body_len: hit.body_len(),
            slices: hit.body().len(),
            age_ms: u64::try_from(hit.age().as_millis()).unwrap_or(u64::MAX),
            ttl: hit.ttl(),
            key: oust_slice::of(hit.key_text()),
        });
        Ok(oust_code::OUST_OK)
    })
}

/// The body of a hit, in slices as for `writev`: `room` of them from number `first` on are written to `out`, and `*count` is how many were. None is empty.
/// `oust_hit_info.slices` is how many there are in all. They are valid as long as the hit; nothing is copied.
///
/// # Safety
///
/// Duties 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_hit_body(
    hit: *const oust_hit,
    first: usize,
    out: *mut oust_slice,
    room: usize,
    count: *mut usize,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut count = unsafe { Out::new(count, "count") }?;
        // SAFETY: duty 4.
        let HitBox(hit) = unsafe { HitBox::table().get(hit) }?;
        // A chunk is a view of memory that the hit holds as well, so the slice outlives this view.
        let slices = hit.body().map(|chunk| oust_slice::of(&chunk));
        // SAFETY: duty 2.
        count.set(unsafe { list(out, room, first, slices) }?);
        Ok(oust_code::OUST_OK)
    })
}

/// Whether what was read of its body so far is what was stored: 1 or 0. To be asked after copying from a body that is `OUST_HIT_MAPPED`, before the copy is
/// used; see `oust_install_sigbus_handler`.
///
/// # Safety
///
/// Duties 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_hit_is_intact(hit: *const oust_hit, yes: *mut u32) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut yes = unsafe { Out::new(yes, "yes") }?;
        // SAFETY: duty 4.
        yes.set(u32::from(unsafe { HitBox::table().get(hit) }?.0.is_intact()));
        Ok(oust_code::OUST_OK)
    })
}

/// Whether the client has this response already, by its own validators, so that 304 answers it (RFC 9110 13.2.2): 1 or 0. `now_ms`: milliseconds since the
/// Unix epoch, 0 is now.
///
/// # Safety
///
/// Duties 1, 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_hit_not_modified(
    hit: *const oust_hit,
    request: *const oust_field,
    field_count: usize,
    now_ms: u64,
    yes: *mut u32,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut yes = unsafe { Out::new(yes, "yes") }?;
        // SAFETY: duty 4.
        let HitBox(hit) = unsafe { HitBox::table().get(hit) }?;
        // SAFETY: duty 1.
        let request = unsafe { fields(request, field_count) }?;
        let now = super::head::time(now_ms);
        yes.set(u32::from(conditional::not_modified(&request, hit.status(), &hit.head().headers, now)));
        Ok(oust_code::OUST_OK)
    })
}

/// Whether the request's own directives (`no-cache`, `max-age`, `min-fresh`, `max-stale`) want this stored response validated before it is used, though the
/// cache would not: 1 or 0.
///
/// # Safety
///
/// Duties 1, 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_hit_demands_validation(
    hit: *const oust_hit,
    request: *const oust_field,
    field_count: usize,
    yes: *mut u32,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut yes = unsafe { Out::new(yes, "yes") }?;
        // SAFETY: duty 4.
        let HitBox(hit) = unsafe { HitBox::table().get(hit) }?;
        // SAFETY: duty 1.
        let request = unsafe { fields(request, field_count) }?;
        let demand = RequestDirectives::parse(&request).demand(hit.age(), hit.ttl());
        yes.set(u32::from(demand == Demand::Validate));
        Ok(oust_code::OUST_OK)
    })
}

/// Frees a hit; its slices are no longer valid. NULL is nothing to free. Threads: any.
///
/// # Safety
///
/// Duty 4: no other call uses the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_hit_free(hit: *mut oust_hit) -> oust_code {
    free::<HitBox>(hit)
}
