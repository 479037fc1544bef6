//! Cache keys.

/// Longest key in bytes; longer ones are not cached.
pub const MAX_KEY: usize = 8192;

/// A canonical cache key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    text: Box<[u8]>,
    layout: Layout,
    hash: u64,
}

/// Where the parts of a key's text are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pub host: u16,
    pub host_end: u16,
    pub path: u16,
    pub path_end: u16,
    pub url_end: u16,
}

/// A borrowed canonical key.
#[derive(Debug, Clone, Copy)]
pub struct KeyRef<'a> {
    text: &'a [u8],
    layout: Layout,
}
