//! A cache: opened, closed, written out, counted.

use std::collections::VecDeque;
use std::ffi::c_char;

use oust::Cache;
use oust::disk::media;
use oust::freshness::Policy;
use oust_api::{Api, Callback};
use parking_lot::Mutex;

use super::lookup::{HitBox, KeyBox, RequestBox};
use super::raw::{Out, Sized, array, entry, free, text};
use super::reply::{Reply, answer};
use super::table::{Kind, kind};
use super::types::{
    OUST_ABI_VERSION, oust_cache, oust_code, oust_error_info, oust_figures, oust_key, oust_reply, oust_slice,
};
use crate::config::Configuration;
use crate::error::{Fault, last_info, last_message};
use crate::wire;

/// What a cache's handle stands for.
pub(crate) struct CacheBox {
    pub(crate) cache: Cache,
    pub(crate) policy: Policy,
    pub(crate) api: Option<Api>,
    pub(crate) max_batch: usize,
    /// Webhooks that were handed out by the API and not yet to C.
    pub(crate) due: Mutex<VecDeque<Callback>>,
}

kind!(CacheBox, oust_cache, 1);

/// The cache of a handle.
///
/// # Safety
///
/// Duty 4.
#[inline]
pub(crate) unsafe fn cache<'a>(handle: *const oust_cache) -> Result<&'a CacheBox, Fault> {
    // SAFETY: duty 4, passed on.
    unsafe { CacheBox::table().get(handle) }
}

/// The ABI version of the library that is running: compare it with `OUST_ABI_VERSION`, that of the header a program was built with. The library's must
/// not be less.
#[unsafe(no_mangle)]
pub extern "C" fn oust_abi_version() -> u32 {
    OUST_ABI_VERSION
}

/// The version of the library as text.
#[unsafe(no_mangle)]
pub extern "C" fn oust_version() -> *const c_char {
    const TEXT: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    TEXT.as_ptr().cast()
}

/// The message of the calling thread's last failed call; empty if none failed. Valid until the next failed call of the thread. A call that succeeds leaves
/// it as it is.
#[unsafe(no_mangle)]
pub extern "C" fn oust_last_error() -> *const c_char {
    last_message()
}

/// The same with the code, and where it applies the selector at fault, the position in its text and the limit. Its texts are valid as the message is.
///
/// # Safety
///
/// Duty 3.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_last_error_info(out: *mut oust_error_info) -> oust_code {
    entry(|| {
        // SAFETY: duty 3.
        unsafe { Sized::new(out, "out") }?.set(last_info());
        Ok(oust_code::OUST_OK)
    })
}

/// Opens a cache by a configuration in TOML, `len` bytes of UTF-8; see the crate's documentation for its fields. Empty: 256 MiB of memory, no second tier.
///
/// Starts the sweeper thread, and with a second tier a few more. Blocks while the journal is read. After this returns, purges of an earlier run are in
/// force; what is stored is read in meanwhile.
///
/// Errors: `OUST_E_CONFIG` with line and field in the message, never a secret; `OUST_E_STORAGE`.
///
/// Ownership: `*out` is the caller's, to be closed by `oust_close`. Threads: any.
///
/// # Safety
///
/// Duties 1 and 2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_open(config: *const c_char, len: usize, out: *mut *mut oust_cache) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: duty 1.
        let config = unsafe { text(oust_slice { data: config.cast(), len }, "config") }?;
        let opened = Configuration::read(config)?.open()?;
        out.set(CacheBox::table().insert(opened)?);
        Ok(oust_code::OUST_OK)
    })
}

/// Closes a cache. NULL is nothing to close; a second close is `OUST_E_HANDLE`.
///
/// Hits, tickets, writers and readers of it stay usable and keep its memory until they are freed; its threads end now. Lookups that wait for the disk end
/// with a miss, and their callbacks are called. What is written to the second tier is durable afterwards; what only the memory tier has is lost. Blocks for
/// that long. Must not be called from a callback.
///
/// # Safety
///
/// Duty 4: no other call uses the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_close(cache: *mut oust_cache) -> oust_code {
    free::<CacheBox>(cache)
}

/// Writes what waits for the second tier, and makes all it holds durable. Blocks. Without a second tier it does nothing.
///
/// Errors: `OUST_E_STORAGE`, those of the disk since the last call. Threads: any.
///
/// # Safety
///
/// Duty 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_flush(cache: *const oust_cache) -> oust_code {
    entry(|| {
        // SAFETY: duty 4.
        let of = unsafe { self::cache(cache) }?;
        of.cache.flush().map_err(|error| Fault::new(oust_code::OUST_E_STORAGE, error.to_string()))?;
        Ok(oust_code::OUST_OK)
    })
}

/// Reclaims what all published purges take, then retires their rules. The cache's own thread does this within milliseconds of a purge, unless the
/// configuration says `purge.background_sweep = false`. Blocks. Threads: any.
///
/// # Safety
///
/// Duty 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_sweep(cache: *const oust_cache) -> oust_code {
    entry(|| {
        // SAFETY: duty 4.
        unsafe { self::cache(cache) }?.cache.sweep();
        Ok(oust_code::OUST_OK)
    })
}

/// Why what was on disk was discarded when the cache was opened, in UTF-8; `*out` is empty if nothing was. Valid until the cache is closed.
///
/// # Safety
///
/// Duties 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_notice(cache: *const oust_cache, out: *mut oust_slice) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let mut out = unsafe { Out::new(out, "out") }?;
        // SAFETY: duty 4.
        let of = unsafe { self::cache(cache) }?;
        out.set(of.cache.l2_notice().map_or(oust_slice::EMPTY, |notice| oust_slice::of(notice.as_bytes())));
        Ok(oust_code::OUST_OK)
    })
}

/// Ends everything stored under the URL of `key`, all variations and variants, and keeps fills of it in flight from being stored or joined: what an unsafe
/// method does to its target (RFC 9111 4.4). `ended`, which may be NULL, is how many objects that were.
///
/// After this returns, no later lookup finds what was fetched before it. It publishes no rule and is not durable by itself. Threads: any.
///
/// # Safety
///
/// Duties 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_end_url(cache: *const oust_cache, key: *const oust_key, ended: *mut u64) -> oust_code {
    entry(|| {
        // SAFETY: duty 4.
        let of = unsafe { self::cache(cache) }?;
        // SAFETY: duty 4.
        let key = unsafe { KeyBox::table().get(key) }?;
        let count = of.cache.end_url(&key.0);
        if !ended.is_null() {
            // SAFETY: duty 2.
            unsafe { Out::new(ended, "ended") }?.set(count as u64);
        }
        Ok(oust_code::OUST_OK)
    })
}

/// Figures. Costs a pass over shards and threads. Threads: any.
///
/// # Safety
///
/// Duties 3 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_stats(cache: *const oust_cache, out: *mut oust_figures) -> oust_code {
    entry(|| {
        // SAFETY: duty 3.
        let mut out = unsafe { Sized::new(out, "out") }?;
        // SAFETY: duty 4.
        let stats = unsafe { self::cache(cache) }?.cache.stats();
        let l2 = stats.l2.as_ref();
        out.set(oust_figures {
            size: 0,
            objects: stats.objects,
            bytes: stats.bytes,
            capacity: stats.capacity,
            hits: stats.hits,
            stale: stats.stale,
            must_validate: stats.must_validate,
            misses: stats.misses.iter().map(|(_, count)| count).sum(),
            stored: stats.stored,
            evicted: stats.evicted,
            fills: stats.fills,
            pinned_bytes: stats.pinned_bytes,
            live_rules: stats.live_rules,
            l2_objects: l2.map_or(0, |l2| l2.objects),
            l2_bytes: l2.map_or(0, |l2| l2.bytes),
            l2_deferred: l2.map_or(0, |l2| l2.deferred),
            handles: oust_open_handles(),
        });
        Ok(oust_code::OUST_OK)
    })
}

/// All figures as JSON: the parts `lookups`, `fills`, `edge`, `l2` and `purges` of what `GET /v1/stats` of the server answers.
///
/// Ownership: `*out` is the caller's, to be freed by `oust_reply_free`. Threads: any.
///
/// # Safety
///
/// Duties 2 and 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn oust_stats_json(cache: *const oust_cache, out: *mut *mut oust_reply) -> oust_code {
    entry(|| {
        // SAFETY: duty 2.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: duty 4.
        let of = unsafe { self::cache(cache) }?;
        answer(out, Reply::json(200, &wire::stats(&of.cache.stats())))
    })
}

/// How many handles of this process are open, of all types: 0 when everything was freed. Costs a pass over all that were ever open at once. Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn oust_open_handles() -> u64 {
    use super::{fill, head, lookup, reader, reply};
    CacheBox::table().open()
        + KeyBox::table().open()
        + RequestBox::table().open()
        + HitBox::table().open()
        + lookup::DeferredBox::table().open()
        + head::HeadBox::table().open()
        + fill::TicketBox::table().open()
        + fill::WriterBox::table().open()
        + reader::ReaderBox::table().open()
        + reply::ReplyBox::table().open()
}

/// Answers SIGBUS for files of a second tier that are mapped: a page that the disk cannot bring back reads as zeros, and `oust_hit_is_intact` says so.
/// Without it such a page ends the process. For programs, once, early; a second call does nothing.
///
/// Errors: `OUST_E_STORAGE` where the system refuses. Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn oust_install_sigbus_handler() -> oust_code {
    entry(|| {
        media::install_sigbus_handler().map_err(|error| Fault::new(oust_code::OUST_E_STORAGE, error.to_string()))?;
        Ok(oust_code::OUST_OK)
    })
}

/// Tags or other slices of the caller's.
///
/// # Safety
///
/// Duty 1, of the array and of all slices in it.
pub(crate) unsafe fn slices<'a>(
    data: *const oust_slice,
    len: usize,
    what: &'static str,
) -> Result<Vec<&'a [u8]>, Fault> {
    // SAFETY: duty 1, passed on.
    let list = unsafe { array(data, len, what) }?;
    list.iter()
        .map(|slice| {
            // SAFETY: duty 1, passed on.
            unsafe { super::raw::bytes(slice.data, slice.len, what) }
        })
        .collect()
}
