//! What C sees: codes, enumerations, structures and the names of handles.
//!
//! 1. Numbers of enumerations and places of members are part of the ABI: new ones go to the end, none changes, none leaves.
//! 2. An enumeration that comes *from* C is taken as a `uint32_t` and checked; no value of C becomes a Rust enum unchecked.

use std::ffi::{c_char, c_void};

use oust::Reason;

/// What a function returns: 0 and above went well, below 0 did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum oust_code {
    /// Done.
    OUST_OK = 0,
    /// Not yet: ask again, or wait for the callback. Nothing was taken or changed.
    OUST_PENDING = 1,
    /// There is no more: the end of a body, an empty queue.
    OUST_END = 2,
    /// A pointer that must not be NULL is.
    OUST_E_NULL = -1,
    /// A number is none of its enumeration, a length is impossible, or the `size` of a structure is none this library knows.
    OUST_E_ARGUMENT = -2,
    /// A handle is of another type, was freed, or never was one.
    OUST_E_HANDLE = -3,
    /// Another thread is inside a call with this handle. Nothing was done, and a free freed nothing.
    OUST_E_BUSY = -4,
    /// The library failed inside this call. The handle of a ticket, writer, reader or deferred lookup is good for nothing but its free; all others, the
    /// cache among them, can be used as before.
    OUST_E_PANIC = -5,
    /// The configuration is wrong: the message names line and field.
    OUST_E_CONFIG = -6,
    /// The directory of the second tier cannot be used, or the disk failed.
    OUST_E_STORAGE = -7,
    /// Not an http or https URL with a host, or not a key.
    OUST_E_KEY = -8,
    /// No site has the host of a request (421).
    OUST_E_HOST = -9,
    /// A header field, method, target or status is malformed.
    OUST_E_FIELD = -10,
    /// A selector or the request for a purge is malformed.
    OUST_E_SELECTOR = -11,
    /// A text, list or number of handles is over a limit.
    OUST_E_TOO_LARGE = -12,
    /// A selector would cost more than it may.
    OUST_E_OVER_BUDGET = -13,
    /// There are too many live rules: try again when older purges are swept.
    OUST_E_TOO_MANY_RULES = -14,
    /// A tier was named that this cache does not have.
    OUST_E_NO_LAYER = -15,
    /// The purge is in force, but the journal cannot be written: a restart would undo it.
    OUST_E_NOT_DURABLE = -16,
    /// The response broke off before its end, or this reader was cut off for being too slow.
    OUST_E_BROKEN = -17,
    /// No such purge, or it has left the history.
    OUST_E_UNKNOWN = -18,
}

/// What a lookup found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum oust_outcome {
    /// Fresh: `hit` is set.
    OUST_HIT = 0,
    /// May be served while it is revalidated in the background: `hit` and `reason` are set.
    OUST_STALE = 1,
    /// Must be validated before it is used: `hit` and `reason` are set.
    OUST_MUST_VALIDATE = 2,
    /// Nothing usable: `reason` is set.
    OUST_MISS = 3,
    /// The second tier has it, and the disk must be waited for: `deferred` is set.
    OUST_DEFERRED = 4,
}

/// Why a lookup missed, a response was not stored, or a reader must fetch for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum oust_reason {
    /// No reason: a fresh hit, or a response that was stored.
    OUST_REASON_NONE = 0,
    /// Nothing is stored under the key.
    OUST_REASON_URI_MISS = 1,
    /// Variants are stored, none is selected.
    OUST_REASON_VARY_MISS = 2,
    /// The stored response has expired.
    OUST_REASON_EXPIRED = 3,
    /// The response asks for validation before each use.
    OUST_REASON_NO_CACHE = 4,
    /// A delete took it.
    OUST_REASON_PURGED_DELETE = 5,
    /// An invalidate took it.
    OUST_REASON_PURGED_INVALIDATE = 6,
    /// A soft purge took it.
    OUST_REASON_PURGED_SOFT = 7,
    /// The key is marked uncacheable.
    OUST_REASON_UNCACHEABLE = 8,
    /// A purge overtook the fill.
    OUST_REASON_PURGE_FENCED = 9,
    /// The stored response it validated is not there any more.
    OUST_REASON_SUPERSEDED = 10,
    /// The response may not be stored.
    OUST_REASON_NOT_STORABLE = 11,
    /// Larger than the largest object.
    OUST_REASON_TOO_LARGE = 12,
    /// No room.
    OUST_REASON_NO_ROOM = 13,
    /// The fill broke, or the cache was closed meanwhile.
    OUST_REASON_FAILED = 14,
    /// A reason of a later library.
    OUST_REASON_OTHER = 15,
}

/// How a miss goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum oust_fetch_kind {
    /// Fetch from the origin and feed `ticket`.
    OUST_LEAD = 0,
    /// Read what another request is fetching from `reader`.
    OUST_JOIN = 1,
    /// It was stored meanwhile: `hit`.
    OUST_FOUND = 2,
}

/// How a fill answered a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum oust_answer_kind {
    /// The origin's response: `head` is set, the body follows by `oust_reader_poll_chunk`.
    OUST_ANSWER_HEAD = 0,
    /// The stored response was validated: `hit` is set.
    OUST_ANSWER_VALIDATED = 1,
    /// Not for this request: fetch alone. `reason` is set.
    OUST_ANSWER_REFETCH = 2,
}

/// What a purge takes: see `docs/purge.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum oust_selector_kind {
    /// Every variation and variant of a URL.
    OUST_BY_URL = 0,
    /// One cache key with its variants.
    OUST_BY_KEY = 1,
    /// The one object that a request with `fields` selects under the key in `text`.
    OUST_BY_VARIANT = 2,
    /// `*` runs hold no `/`, `**` runs anything.
    OUST_BY_PATTERN = 3,
    /// Every `*` crosses everything.
    OUST_BY_GLOB = 4,
    /// Only the last run of `*` is a wildcard.
    OUST_BY_LAST_WILDCARD = 5,
    /// A regular expression behind `scheme://host/`.
    OUST_BY_REGEX = 6,
    /// A host, `host:port` or `*.host`.
    OUST_BY_HOST = 7,
    /// A tag.
    OUST_BY_TAG = 8,
    /// Everything; `text` is not read.
    OUST_BY_ALL = 9,
}

/// What becomes of what a purge takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum oust_action {
    /// Gone.
    OUST_DELETE = 0,
    /// Kept, but validated before the next use.
    OUST_INVALIDATE = 1,
    /// Expired as of now.
    OUST_SOFT = 2,
}

/// When a purge is acknowledged. It is in force before, in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum oust_durability {
    /// Once it is on disk, where there is a second tier.
    OUST_DURABLE = 0,
    /// At once: a crash may undo it.
    OUST_IN_MEMORY = 1,
}

/// Why a response may not be stored (RFC 9111 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum oust_skip {
    /// It may.
    OUST_SKIP_NONE = 0,
    /// Only answers to GET are stored.
    OUST_SKIP_METHOD = 1,
    /// Its status says nothing about the resource, or forbids storing.
    OUST_SKIP_STATUS = 2,
    /// The request said `no-store`.
    OUST_SKIP_REQUEST_NO_STORE = 3,
    /// The response said `no-store`, or its `Cache-Control` cannot be read.
    OUST_SKIP_NO_STORE = 4,
    /// The response said `private`.
    OUST_SKIP_PRIVATE = 5,
    /// The request carried credentials and the response does not allow sharing it.
    OUST_SKIP_AUTHORIZATION = 6,
    /// `Vary: *`.
    OUST_SKIP_VARY_ANY = 7,
    /// It sets cookies and does not say that it is meant for everyone.
    OUST_SKIP_SET_COOKIE = 8,
    /// It has no freshness.
    OUST_SKIP_NO_FRESHNESS = 9,
    /// A reason of a later library.
    OUST_SKIP_OTHER = 10,
}

/// `oust_purge_options.layers`: the memory tier.
pub const OUST_LAYER_EDGE: u32 = 1;
/// `oust_purge_options.layers`: the second tier.
pub const OUST_LAYER_L2: u32 = 2;

/// `oust_hit_info.flags`: may be served if the origin fails (RFC 5861).
pub const OUST_HIT_ON_ERROR: u32 = 1;
/// `oust_hit_info.flags`: may be served stale to a request that accepts that (`max-stale`).
pub const OUST_HIT_MAY_BE_STALE: u32 = 2;
/// `oust_hit_info.flags`: its body is a view of a mapped file: see `oust_hit_is_intact`.
pub const OUST_HIT_MAPPED: u32 = 4;

/// `oust_fetch`: never joins and is never joined.
pub const OUST_FETCH_ALONE: u32 = 1;

/// A length that is not known.
pub const OUST_UNKNOWN_LENGTH: u64 = u64::MAX;

/// The version of this ABI: a program built for version n runs with every library of a version n or above, until a library says 0.
pub const OUST_ABI_VERSION: u32 = 1;

/// Bytes. `data` may be NULL where `len` is 0. Not ended by a NUL.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct oust_slice {
    /// Where they begin.
    pub data: *const u8,
    /// How many there are.
    pub len: usize,
}

/// A header field. Names that come from the library are in lower case.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct oust_field {
    /// Its name.
    pub name: oust_slice,
    /// Its value.
    pub value: oust_slice,
}

/// What `oust_last_error_info` tells.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct oust_error_info {
    /// Set by the caller: `sizeof(oust_error_info)`.
    pub size: usize,
    /// What the call returned.
    pub code: oust_code,
    /// Index of the selector at fault, or -1.
    pub selector: i64,
    /// Byte in its text, or in the text of a key, or -1.
    pub position: i64,
    /// The limit that was passed, if `limit_name` is not empty.
    pub limit: u64,
    /// Its name.
    pub limit_name: *const c_char,
    /// The message, as of `oust_last_error`.
    pub message: *const c_char,
}

/// What a lookup came to.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct oust_found {
    /// Set by the caller: `sizeof(oust_found)`.
    pub size: usize,
    /// An `oust_outcome`.
    pub outcome: u32,
    /// An `oust_reason`.
    pub reason: u32,
    /// The caller's, to be freed by `oust_hit_free`; NULL where the outcome has none.
    pub hit: *mut oust_hit,
    /// The caller's, to be taken or freed; NULL unless the outcome is `OUST_DEFERRED`.
    pub deferred: *mut oust_deferred,
    /// Status code of the hit, else 0.
    pub status: u32,
    /// 0.
    pub reserved: u32,
    /// Length of the hit's body.
    pub body_len: u64,
    /// The whole body of the hit where it is stored in one piece (up to 16 KiB), else NULL and 0: then see `oust_hit_body`. Valid as long as the hit.
    pub body: oust_slice,
}

/// What is known of a hit, as of its lookup.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct oust_hit_info {
    /// Set by the caller: `sizeof(oust_hit_info)`.
    pub size: usize,
    /// Status code.
    pub status: u32,
    /// `OUST_HIT_...`.
    pub flags: u32,
    /// Length of the body.
    pub body_len: u64,
    /// In how many slices the body is.
    pub slices: usize,
    /// Age (RFC 9111 4.2.3) in milliseconds.
    pub age_ms: u64,
    /// Whole seconds of freshness left, negative once stale.
    pub ttl: i64,
    /// The canonical key it is stored under; valid as long as the hit.
    pub key: oust_slice,
}

/// How a miss goes on. Exactly one handle is set; it is the caller's.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct oust_fetched {
    /// Set by the caller: `sizeof(oust_fetched)`.
    pub size: usize,
    /// An `oust_fetch_kind`.
    pub kind: u32,
    /// 0.
    pub reserved: u32,
    /// For `OUST_LEAD`.
    pub ticket: *mut oust_ticket,
    /// For `OUST_JOIN`.
    pub reader: *mut oust_reader,
    /// For `OUST_FOUND`.
    pub hit: *mut oust_hit,
}

/// How a fill answered a reader. The handle that is set is the caller's.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct oust_answer {
    /// Set by the caller: `sizeof(oust_answer)`.
    pub size: usize,
    /// An `oust_answer_kind`.
    pub kind: u32,
    /// An `oust_reason`.
    pub reason: u32,
    /// For `OUST_ANSWER_HEAD`.
    pub head: *mut oust_head,
    /// For `OUST_ANSWER_VALIDATED`.
    pub hit: *mut oust_hit,
}

/// How fresh a response is: from `oust_assess`, or plain deadlines of the caller's own.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct oust_freshness {
    /// Set by the caller: `sizeof(oust_freshness)`.
    pub size: usize,
    /// How long it is fresh, counted from when it had age 0.
    pub lifetime_ms: u64,
    /// The age it had when received.
    pub age_ms: u64,
    /// Window after expiry in which it may be served while it is revalidated.
    pub stale_while_revalidate_ms: u64,
    /// Window after expiry in which it may be served when the origin fails.
    pub stale_if_error_ms: u64,
    /// Not 0: never served stale.
    pub must_revalidate: u8,
    /// Not 0: validated before every use.
    pub no_cache: u8,
    /// 0.
    pub reserved: [u8; 6],
}

/// The request that got a response, for `oust_assess`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct oust_exchange {
    /// Set by the caller: `sizeof(oust_exchange)`.
    pub size: usize,
    /// Method of the request that was sent to the origin; empty is GET.
    pub method: oust_slice,
    /// Its header fields.
    pub fields: *const oust_field,
    /// How many.
    pub field_count: usize,
    /// When the head of the response was received, in milliseconds since the Unix epoch; 0 is now.
    pub received_ms: u64,
    /// How long the origin took to answer; counts as age.
    pub delay_ms: u64,
}

/// One selector of a purge. Not extensible: an array of these has a fixed step.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct oust_selector {
    /// An `oust_selector_kind`.
    pub kind: u32,
    /// 0.
    pub reserved: u32,
    /// URL, key, pattern, host or tag; UTF-8.
    pub text: oust_slice,
    /// For `OUST_BY_VARIANT`: the header fields of the request. Otherwise not read.
    pub fields: *const oust_field,
    /// How many.
    pub field_count: usize,
}

/// How a purge is made. All 0 is the default: delete, from every tier, durable.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct oust_purge_options {
    /// Set by the caller: `sizeof(oust_purge_options)`.
    pub size: usize,
    /// An `oust_action`.
    pub action: u32,
    /// `OUST_LAYER_...`; 0 is every tier there is.
    pub layers: u32,
    /// An `oust_durability`.
    pub durability: u32,
    /// 0.
    pub reserved: u32,
    /// Who asked, for the history; UTF-8.
    pub by: oust_slice,
}

/// A purge in force.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct oust_purged {
    /// Set by the caller: `sizeof(oust_purged)`.
    pub size: usize,
    /// With `seq` its identity.
    pub epoch: u64,
    /// Number of its last rule.
    pub seq: u64,
    /// How many rules it published.
    pub rules: u64,
    /// Whether it is on disk.
    pub durable: u8,
    /// Whether its objects are reclaimed.
    pub swept: u8,
    /// 0.
    pub reserved: [u8; 6],
    /// Objects it ended in the memory tier so far.
    pub edge_objects: u64,
    /// Objects it ended in the second tier so far.
    pub l2_objects: u64,
}

/// What a purge would take.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct oust_explained {
    /// Set by the caller: `sizeof(oust_explained)`.
    pub size: usize,
    /// Objects of the memory tier.
    pub edge_objects: u64,
    /// Their bytes.
    pub edge_bytes: u64,
    /// Objects of the second tier.
    pub l2_objects: u64,
    /// Their bytes.
    pub l2_bytes: u64,
    /// Not 0: there may be more, the time ran out.
    pub partial: u32,
    /// 0.
    pub reserved: u32,
}

/// A request to a vendor's purge API.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct oust_api_request {
    /// Set by the caller: `sizeof(oust_api_request)`.
    pub size: usize,
    /// `GET`, `POST` ...
    pub method: oust_slice,
    /// Path and query as the client sent them: signatures cover them.
    pub target: oust_slice,
    /// Header fields, `host` among them.
    pub fields: *const oust_field,
    /// How many.
    pub field_count: usize,
    /// The body.
    pub body: oust_slice,
    /// The client's address and port (`192.0.2.1:4711`, `[2001:db8::1]:4711`), or empty.
    pub peer: oust_slice,
}

/// A webhook that is to be called: a POST to `url`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct oust_webhook {
    /// Set by the caller: `sizeof(oust_webhook)`.
    pub size: usize,
    /// For `oust_webhook_done`.
    pub id: u64,
    /// The fields and the body to send; the caller's, to be freed by `oust_reply_free`. Its `oust_reply_url` is where to.
    pub message: *mut oust_reply,
    /// Not 0: it may be sent to a private, loopback or link-local address. If 0, every address the name resolves to is to be checked, and redirects are
    /// not followed.
    pub may_be_private: u32,
    /// 0.
    pub reserved: u32,
}

/// Figures of a cache; counters run from its start. `oust_stats_json` has more.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct oust_figures {
    /// Set by the caller: `sizeof(oust_figures)`.
    pub size: usize,
    /// Stored objects of the memory tier.
    pub objects: u64,
    /// Bytes in use: objects, indexes, fills in flight, and what hits still hold.
    pub bytes: u64,
    /// Capacity in bytes.
    pub capacity: u64,
    /// Fresh hits.
    pub hits: u64,
    /// Stale answers.
    pub stale: u64,
    /// Lookups that found something to validate.
    pub must_validate: u64,
    /// Misses.
    pub misses: u64,
    /// Stored responses.
    pub stored: u64,
    /// Evicted objects.
    pub evicted: u64,
    /// Fills in flight.
    pub fills: u64,
    /// Bytes of objects no longer stored that hits still hold.
    pub pinned_bytes: u64,
    /// Live rules.
    pub live_rules: u64,
    /// Objects of the second tier.
    pub l2_objects: u64,
    /// Its bytes.
    pub l2_bytes: u64,
    /// Lookups that waited for the disk.
    pub l2_deferred: u64,
    /// Open handles of all caches of this process: what the program has not freed yet.
    pub handles: u64,
}

/// Called once when what was waited for may be there, from any thread: with the `data` it was registered with.
///
/// It may call every function of this library but those that block, and must not throw or unwind. NULL: nobody is called, the caller asks again.
pub type oust_callback = Option<unsafe extern "C" fn(data: *mut c_void)>;

/// A cache. A handle: a checked number in the form of a pointer, which points nowhere.
#[derive(Debug)]
pub struct oust_cache {
    _opaque: (),
}

/// A cache key. A handle: a checked number in the form of a pointer, which points nowhere.
#[derive(Debug)]
pub struct oust_key {
    _opaque: (),
}

/// Header fields of a request, read once for several calls. A handle: a checked number in the form of a pointer, which points nowhere.
#[derive(Debug)]
pub struct oust_request {
    _opaque: (),
}

/// A stored response: keeps its bytes alive. A handle: a checked number in the form of a pointer, which points nowhere.
#[derive(Debug)]
pub struct oust_hit {
    _opaque: (),
}

/// Status and header fields of a response. A handle: a checked number in the form of a pointer, which points nowhere.
#[derive(Debug)]
pub struct oust_head {
    _opaque: (),
}

/// A lookup that waits for the disk. A handle: a checked number in the form of a pointer, which points nowhere.
#[derive(Debug)]
pub struct oust_deferred {
    _opaque: (),
}

/// The right and duty to fetch a key. A handle: a checked number in the form of a pointer, which points nowhere.
#[derive(Debug)]
pub struct oust_ticket {
    _opaque: (),
}

/// The writing end of a fill. A handle: a checked number in the form of a pointer, which points nowhere.
#[derive(Debug)]
pub struct oust_writer {
    _opaque: (),
}

/// The reading end of a fill. A handle: a checked number in the form of a pointer, which points nowhere.
#[derive(Debug)]
pub struct oust_reader {
    _opaque: (),
}

/// A status, header fields and a body: the answer of a purge API, JSON, or a webhook to send. A handle: a checked number in the form of a pointer, which points nowhere.
#[derive(Debug)]
pub struct oust_reply {
    _opaque: (),
}

/// The number of a reason.
pub(crate) fn reason(reason: Reason) -> u32 {
    let of = match reason {
        Reason::UriMiss => oust_reason::OUST_REASON_URI_MISS,
        Reason::VaryMiss => oust_reason::OUST_REASON_VARY_MISS,
        Reason::Expired => oust_reason::OUST_REASON_EXPIRED,
        Reason::NoCache => oust_reason::OUST_REASON_NO_CACHE,
        Reason::PurgedDelete => oust_reason::OUST_REASON_PURGED_DELETE,
        Reason::PurgedInvalidate => oust_reason::OUST_REASON_PURGED_INVALIDATE,
        Reason::PurgedSoft => oust_reason::OUST_REASON_PURGED_SOFT,
        Reason::Uncacheable => oust_reason::OUST_REASON_UNCACHEABLE,
        Reason::PurgeFenced => oust_reason::OUST_REASON_PURGE_FENCED,
        Reason::Superseded => oust_reason::OUST_REASON_SUPERSEDED,
        Reason::NotStorable => oust_reason::OUST_REASON_NOT_STORABLE,
        Reason::TooLarge => oust_reason::OUST_REASON_TOO_LARGE,
        Reason::NoRoom => oust_reason::OUST_REASON_NO_ROOM,
        Reason::Failed => oust_reason::OUST_REASON_FAILED,
        _ => oust_reason::OUST_REASON_OTHER,
    };
    of as u32
}

impl oust_slice {
    /// The bytes, to be handed out: they must outlive whatever the documentation of the function promises.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr(), len: bytes.len() }
    }

    pub(crate) const EMPTY: Self = Self { data: std::ptr::null(), len: 0 };
}
