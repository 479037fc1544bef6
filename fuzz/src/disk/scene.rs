//! What directories are made of: a few keys, objects and rules, out of choices.

use http::{HeaderMap, HeaderValue};
use oust_reference::format::{
    JournalHeader, JournalRecord, StoredPurge, StoredRecord, encode_fields, encode_tags, frame, write_purge,
};
use oust_reference::{Act, Entropy, Selector};

use super::files::HOME;

/// When all of it happens, in milliseconds.
pub const NOW: u64 = 1_000_000_000;
/// What every response with this much time left is: fresh.
pub const LONG: i64 = 1_000_000;

pub const KEYS: [&str; 6] =
    ["http://h/a", "http://h/d/b", "http://h/d/c?q=1", "http://g/a", "http://h/a@@v=1", "http://h/v"];
pub const VARIANTS: [Option<&str>; 3] = [None, Some("br"), Some("gzip")];
pub const EPOCH: u64 = 0x1234_5678;

/// The request that selects a variant.
pub fn request(variant: Option<&'static str>) -> HeaderMap {
    variant.map(|of| (http::header::ACCEPT_ENCODING, HeaderValue::from_static(of))).into_iter().collect()
}

/// Numbers at which something changes.
pub fn number(entropy: &mut Entropy<'_>) -> u64 {
    match entropy.below(12) {
        0 => 0,
        1 => u64::MAX,
        2 => 1 << entropy.below(64),
        3 => (1 << entropy.below(64)) - 1,
        4 => u64::from(entropy.byte()) << entropy.below(56),
        _ => u64::from(entropy.byte()) % 24,
    }
}

/// How far a case goes on; far ones are slow.
pub fn depth(entropy: &mut Entropy<'_>) -> usize {
    entropy.pick(&[3, 0, 1, 1, 0, 2, 0, 1])
}

pub fn selector(entropy: &mut Entropy<'_>) -> Selector {
    let key = entropy.pick(&KEYS);
    let url = key.split("@@").next().unwrap_or(key);
    match entropy.below(10) {
        0..=2 => Selector::Url(url.into()),
        3 => Selector::Key(key.into()),
        4 => Selector::Tag(entropy.pick(&["t", "u"]).into()),
        5 => Selector::Host(entropy.pick(&["h", "g"]).into()),
        6 => Selector::Pattern(entropy.pick(&["http://h/d/*", "http://h/**", "any://g/*", "http://h/d/c*"]).into()),
        7 => Selector::Glob(entropy.pick(&["http://h/*", "http://h/d*", "http://h/a", "http://h/*@@*"]).into()),
        8 => Selector::Regex(entropy.pick(&["http://h/[av]$", "http://h/d/.*", "http://h/("]).into()),
        _ => Selector::All,
    }
}

pub fn purge(entropy: &mut Entropy<'_>, rules: usize) -> StoredPurge {
    let layers = entropy.below(5);
    StoredPurge {
        act: entropy.pick(&[Act::Delete, Act::Delete, Act::Invalidate, Act::Soft]),
        edge: layers != 0,
        l2: layers != 1,
        created_ms: NOW - 5_000,
        by: "f".into(),
        selectors: (0..rules).map(|_| selector(entropy)).collect(),
    }
}

/// An object; `number` is told by its body.
pub fn record(entropy: &mut Entropy<'_>, number: u64) -> StoredRecord {
    let key = entropy.pick(&KEYS);
    let varies = key.ends_with("/v") != entropy.one_in(12);
    let value: Option<&[u8]> = entropy.pick(&VARIANTS).map(str::as_bytes);
    let vary = if varies { encode_fields(&[(b"accept-encoding", value)]) } else { Vec::new() };
    let tags: Vec<&[u8]> = [&b"t"[..], b"u"].into_iter().filter(|_| entropy.one_in(3)).collect();
    let now = i64::try_from(NOW).unwrap_or(0);
    StoredRecord {
        write: number,
        stamp: u64::from(entropy.byte() % 16),
        born_ms: now - 1000,
        expires_ms: if entropy.one_in(10) { now - 10 } else { now + LONG },
        soft_at_ms: now - 20,
        while_revalidate_s: entropy.pick(&[0, 0, 60]),
        if_error_s: entropy.pick(&[0, 0, 60]),
        status: entropy.pick(&[200, 200, 200, 404]),
        flags: if entropy.one_in(12) { entropy.below(4) as u8 } else { 0 },
        mark: if entropy.one_in(8) { entropy.below(4) as u8 } else { 0 },
        key: key.into(),
        vary,
        tags: encode_tags(&tags),
        head: head(number),
        body: body(number, entropy.pick(&[8, 20, 100, 3000])),
        ..StoredRecord::default()
    }
}

/// Header fields of the object `number`.
pub fn head(number: u64) -> Vec<u8> {
    let value = number.to_string();
    [&9_u16.to_le_bytes()[..], b"x-version", &(value.len() as u32).to_le_bytes(), value.as_bytes()].concat()
}

pub fn body(number: u64, len: usize) -> Vec<u8> {
    format!("object {number};").into_bytes().into_iter().cycle().take(len.max(12)).collect()
}

/// A journal before it is bytes.
#[derive(Debug, Clone)]
pub struct Plan {
    pub header: JournalHeader,
    pub records: Vec<JournalRecord>,
    /// Zeros behind the records.
    pub room: usize,
}

impl Plan {
    /// A whole file with everything in it that a journal may have.
    pub fn any(entropy: &mut Entropy<'_>, id: u64, previous: u64) -> Self {
        let position = u64::from(entropy.byte());
        let swept = u64::from(entropy.byte() % 12);
        let reserved = 64;
        let header = JournalHeader {
            begin: if entropy.one_in(16) { 160 } else { 128 },
            id,
            epoch: EPOCH,
            identity: Some(HOME),
            swept_upto: swept,
            reserved_upto: reserved,
            previous,
            position,
            len: 0,
            salt: 0x5a17_0000_0000 + (u64::from(entropy.byte()) << 8) + 0x77,
        };
        let mut plan = Self { header, records: Vec::new(), room: 64 + entropy.below(64) };
        let state = [&swept.to_le_bytes()[..], &reserved.to_le_bytes(), &9_u32.to_le_bytes(), &swept.to_le_bytes()];
        plan.push(1, position, 0, state.concat());
        let mut next = swept + 1;
        for _ in 0..entropy.below(3) {
            let bytes = batch(entropy, &mut next);
            plan.push(3, position, 0, bytes);
        }
        if entropy.one_in(2) {
            let bytes = marks(entropy);
            plan.push(4, position, 0, bytes);
        }
        let count = plan.records.len() as u64 + 1;
        plan.push(2, position, 0, count.to_le_bytes().to_vec());
        let (mut last, mut synced) = (position, position);
        for _ in 0..entropy.below(8) {
            if entropy.one_in(2) {
                synced = last;
            }
            last += 1;
            let (kind, bytes) = match entropy.below(12) {
                0..=4 => (3, batch(entropy, &mut next)),
                5..=7 => (4, marks(entropy)),
                8 => (5, (u64::from(entropy.byte()) % next).to_le_bytes().to_vec()),
                9 => (6, u32::from(entropy.byte() % 4).to_le_bytes().to_vec()),
                10 => (7, (reserved + u64::from(entropy.byte())).to_le_bytes().to_vec()),
                _ => (200, vec![7; entropy.below(20)]),
            };
            plan.push(kind, last, synced, bytes);
        }
        if entropy.one_in(2) {
            plan.push(8, last + 1, last, (next - 1).to_le_bytes().to_vec());
        }
        plan
    }

    fn push(&mut self, kind: u8, position: u64, synced_upto: u64, payload: Vec<u8>) {
        self.records.push(JournalRecord { kind, position, synced_upto, payload });
    }

    pub fn render(&self) -> Vec<u8> {
        let framed: Vec<Vec<u8>> = self.records.iter().map(|record| frame(self.header.salt, record)).collect();
        let len = self.header.begin.min(4096) as usize + framed.concat().len() + self.room;
        let header =
            JournalHeader { len: if self.header.len == 0 { len as u64 } else { self.header.len }, ..self.header };
        let mut out = header.write();
        out.resize(header.begin.clamp(128, 4096) as usize, 0);
        out.extend(framed.concat());
        out.resize(len.max(out.len()), 0);
        out
    }
}

fn batch(entropy: &mut Entropy<'_>, next: &mut u64) -> Vec<u8> {
    let rules = 1 + u64::from(entropy.one_in(4));
    let (first, last) = (*next, *next + rules - 1);
    *next = last + 1;
    let mut bytes = [first.to_le_bytes(), last.to_le_bytes()].concat();
    if entropy.one_in(12) {
        bytes.extend_from_slice(b"\x01what no reader knows");
    } else {
        bytes.extend(write_purge(&purge(entropy, rules as usize)));
    }
    bytes
}

fn marks(entropy: &mut Entropy<'_>) -> Vec<u8> {
    let mark = |entropy: &mut Entropy<'_>| {
        let segment = 1 + u32::from(entropy.byte() % 4);
        let ordinal = if entropy.one_in(8) { u32::MAX } else { u32::from(entropy.byte() % 5) };
        let at = (NOW - 10).to_le_bytes();
        [&segment.to_le_bytes()[..], &ordinal.to_le_bytes(), &[1 + entropy.byte() % 3], &at].concat()
    };
    (0..=entropy.below(4)).flat_map(|_| mark(entropy)).collect()
}
