//! Purges, and questions about them.

use std::time::Duration;

use oust::purge::{Action, Durability, Layers, PurgeId, PurgeRecord, PurgeState};
use oust::{Purge, Selector};

use super::cache::cache;
use super::raw::{Out, Sized, array, bytes, entry, pairs, sized, text};
use super::reply::{Reply, answer};
use super::types::*;
use crate::error::Fault;
use crate::wire;

/// Purges what these selectors take, all together or, after an error, none of it. `options` may be NULL: delete, from every tier, durable. `out` may be
/// NULL.
///
/// After this returns, no lookup that begins later returns what the purge takes, no fill or revalidation that began before is stored, and no request joins
/// one. With a second tier it returns only when the purge is on disk: it blocks for that long, and lookups never wait for it. It costs the same however much
/// is stored.
///
/// Errors: `OUST_E_SELECTOR`, `OUST_E_OVER_BUDGET`, `OUST_E_TOO_LARGE`, `OUST_E_TOO_MANY_RULES`, `OUST_E_NO_LAYER`, with selector, position and limit in
/// `oust_last_error_info`. After `OUST_E_NOT_DURABLE` the purge is in force, but a restart would undo it: repeat it. Threads: any.
///
/// # Safety
///
/// Duties 1, 3 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_purge(
    cache: *const oust_cache,
    options: *const oust_purge_options,
    selectors: *const oust_selector,
    selector_count: usize,
    out: *mut oust_purged,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 4.
        let of = unsafe { self::cache(cache) }?;
        let out = if out.is_null() {
            None
        } else {
            // SAFETY: duty 3.
            Some(unsafe { Sized::new(out, "out") }?)
        };
        // SAFETY: duties 1 and 3.
        let purge = unsafe { read(options, selectors, selector_count) }?;
        let record = of.cache.purge(&purge)?;
        if let Some(mut out) = out {
            out.set(purged(&record));
        }
        Ok(oust_code::OUST_OK)
    })
}

/// The same by the JSON of the server's `POST /v1/purges`: `{"selectors":[{"url":"http://h/p"}],"action":"soft","layers":["edge"]}`. `by`: who asked, for the
/// history; UTF-8, may be empty.
///
/// A purge that is refused is answered too: `OUST_OK`, and `*out` has the status that the server would answer (400, 413, 422, 429, 503) with a problem of RFC
/// 9457; else 200, and the purge is in force. Ownership: `*out` is the caller's, to be freed by `oust_reply_free`. Threads: any.
///
/// # Safety
///
/// Duties 1, 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_purge_json(
    cache: *const oust_cache,
    body: *const u8,
    len: usize,
    by: oust_slice,
    out: *mut *mut oust_reply,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: duty 4.
        let of = unsafe { self::cache(cache) }?;
        // SAFETY: duty 1.
        let body = unsafe { bytes(body, len, "body") }?;
        // SAFETY: duty 1.
        let by = unsafe { text(by, "by") }?;
        let purge = wire::purge(body, by.to_owned(), of.max_batch, of.cache.has_l2());
        let record = purge.and_then(|purge| Ok(of.cache.purge(&purge)?));
        answer(out, record.map_or_else(wire::Problem::into_reply, |record| Reply::json(200, &wire::ack(&record))))
    })
}

/// What a purge would take now; changes nothing. Stops after `budget_ms` and says so. May wait for the disk. Errors as `oust_purge`. Threads: any.
///
/// # Safety
///
/// Duties 1, 3 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_explain(
    cache: *const oust_cache,
    options: *const oust_purge_options,
    selectors: *const oust_selector,
    selector_count: usize,
    budget_ms: u64,
    out: *mut oust_explained,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 3.
        let mut out = unsafe { Sized::new(out, "out") }?;
        // SAFETY: duty 4.
        let of = unsafe { self::cache(cache) }?;
        // SAFETY: duties 1 and 3.
        let purge = unsafe { read(options, selectors, selector_count) }?;
        let explained = of.cache.explain(&purge, Duration::from_millis(budget_ms))?;
        out.set(oust_explained {
            size: 0,
            edge_objects: explained.edge.objects,
            edge_bytes: explained.edge.bytes,
            l2_objects: explained.l2.objects,
            l2_bytes: explained.l2.bytes,
            partial: u32::from(explained.partial),
            reserved: 0,
        });
        Ok(oust_code::OUST_OK)
    })
}

/// The same by the JSON of the server's `POST /v1/explain`, with samples and costs; answered as `oust_purge_json` is.
///
/// # Safety
///
/// Duties 1, 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_explain_json(
    cache: *const oust_cache,
    body: *const u8,
    len: usize,
    budget_ms: u64,
    out: *mut *mut oust_reply,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: duty 4.
        let of = unsafe { self::cache(cache) }?;
        // SAFETY: duty 1.
        let body = unsafe { bytes(body, len, "body") }?;
        let l2 = of.cache.has_l2();
        let purge = wire::purge(body, String::new(), of.max_batch, l2);
        let budget = Duration::from_millis(budget_ms);
        let explained = purge.and_then(|purge| Ok(of.cache.explain(&purge, budget)?));
        let reply = |explained| Reply::json(200, &wire::explained(&explained, l2));
        answer(out, explained.map_or_else(wire::Problem::into_reply, reply))
    })
}

/// How a purge stands. Errors: `OUST_E_UNKNOWN`. Threads: any.
///
/// # Safety
///
/// Duties 3 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_purge_state(
    cache: *const oust_cache,
    epoch: u64,
    seq: u64,
    out: *mut oust_purged,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 3.
        let mut out = unsafe { Sized::new(out, "out") }?;
        // SAFETY: duty 4.
        let of = unsafe { self::cache(cache) }?;
        let unknown = || Fault::new(oust_code::OUST_E_UNKNOWN, "no such purge, or it has left the history");
        out.set(purged(&of.cache.purge_record(PurgeId { epoch, seq }).ok_or_else(unknown)?));
        Ok(oust_code::OUST_OK)
    })
}

/// The newest purges of the history, newest first, at most `limit`, as JSON: `{"purges":[...]}` with the members of the server's `GET /v1/purges`.
/// `*out` is the caller's. Threads: any.
///
/// # Safety
///
/// Duties 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_history_json(
    cache: *const oust_cache,
    limit: usize,
    out: *mut *mut oust_reply,
) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: duty 4.
        let of = unsafe { self::cache(cache) }?;
        answer(out, Reply::json(200, &wire::history(&of.cache.purge_records(None, limit))))
    })
}

/// A purge as C gave it.
///
/// # Safety
///
/// Duties 1 and 3.
unsafe fn read(
    options: *const oust_purge_options,
    selectors: *const oust_selector,
    selector_count: usize,
) -> Result<Purge, Fault> {
    // SAFETY: duty 1.
    let list = unsafe { array(selectors, selector_count, "selectors") }?;
    let mut read = Vec::with_capacity(list.len());
    for selector in list {
        // SAFETY: duty 1.
        read.push(unsafe { self::selector(selector) }?);
    }
    let purge = Purge::batch(read);
    if options.is_null() {
        return Ok(purge);
    }
    // SAFETY: duty 3.
    let options = unsafe { sized(options, "options") }?;
    let action = match options.action {
        a if a == oust_action::OUST_DELETE as u32 => Action::Delete,
        a if a == oust_action::OUST_INVALIDATE as u32 => Action::Invalidate,
        a if a == oust_action::OUST_SOFT as u32 => Action::Soft,
        other => return Err(Fault::argument(format!("{other} is no action"))),
    };
    let durability = match options.durability {
        d if d == oust_durability::OUST_DURABLE as u32 => Durability::Disk,
        d if d == oust_durability::OUST_IN_MEMORY as u32 => Durability::Memory,
        other => return Err(Fault::argument(format!("{other} is no durability"))),
    };
    let layers = match options.layers {
        0 => Layers { edge: true, l2: true },
        l if l & !(OUST_LAYER_EDGE | OUST_LAYER_L2) == 0 => {
            Layers { edge: l & OUST_LAYER_EDGE != 0, l2: l & OUST_LAYER_L2 != 0 }
        }
        other => return Err(Fault::argument(format!("{other} are no layers"))),
    };
    // SAFETY: duty 1.
    let by = unsafe { text(options.by, "by") }?;
    Ok(purge.action(action).durability(durability).layers(layers).by(by))
}

/// # Safety
///
/// Duty 1, of all that the selector points to.
unsafe fn selector(given: &oust_selector) -> Result<Selector, Fault> {
    use oust_selector_kind as kind;
    if given.kind == kind::OUST_BY_ALL as u32 {
        return Ok(Selector::All);
    }
    // SAFETY: duty 1.
    let text = unsafe { text(given.text, "text") }?.to_owned();
    Ok(match given.kind {
        k if k == kind::OUST_BY_URL as u32 => Selector::Url(text),
        k if k == kind::OUST_BY_KEY as u32 => Selector::Key(text),
        k if k == kind::OUST_BY_VARIANT as u32 => {
            // SAFETY: duty 1.
            let headers = unsafe { pairs(given.fields, given.field_count) }?;
            Selector::Variant { key: text, headers }
        }
        k if k == kind::OUST_BY_PATTERN as u32 => Selector::Pattern(text),
        k if k == kind::OUST_BY_GLOB as u32 => Selector::Glob(text),
        k if k == kind::OUST_BY_LAST_WILDCARD as u32 => Selector::LastWildcard(text),
        k if k == kind::OUST_BY_REGEX as u32 => Selector::Regex(text),
        k if k == kind::OUST_BY_HOST as u32 => Selector::Host(text),
        k if k == kind::OUST_BY_TAG as u32 => Selector::Tag(text),
        other => return Err(Fault::argument(format!("{other} is no kind of selector"))),
    })
}

fn purged(record: &PurgeRecord) -> oust_purged {
    oust_purged {
        size: 0,
        epoch: record.id.epoch,
        seq: record.id.seq,
        rules: record.rules as u64,
        durable: u8::from(record.durable),
        swept: u8::from(record.state == PurgeState::Swept),
        reserved: [0; 6],
        edge_objects: record.edge.objects,
        l2_objects: record.l2.objects,
    }
}
