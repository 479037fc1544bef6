//! Why a text is no key.

use std::fmt;

/// Why a text is no cache key: what is wrong, where in the text, and which limit was passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyError {
    kind: KeyErrorKind,
    position: Option<usize>,
    limit: Option<(&'static str, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyErrorKind {
    Scheme,
    Userinfo,
    Host,
    HostTooLong,
    Port,
    Target,
    StrayPercent,
    Variation,
    TooLong,
}

impl KeyError {
    pub(crate) fn at(kind: KeyErrorKind, position: usize) -> Self {
        Self { kind, position: Some(position), limit: None }
    }

    pub(crate) fn over(kind: KeyErrorKind, position: Option<usize>, name: &'static str, limit: usize) -> Self {
        Self { kind, position, limit: Some((name, u64::try_from(limit).unwrap_or(u64::MAX))) }
    }

    /// Byte of the given text at which it went wrong.
    pub fn position(&self) -> Option<usize> {
        self.position
    }

    /// The limit that was passed: its name and value.
    pub fn limit(&self) -> Option<(&'static str, u64)> {
        self.limit
    }

    /// Whether a limit was passed rather than the text malformed.
    pub fn is_too_long(&self) -> bool {
        self.limit.is_some()
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            KeyErrorKind::Scheme => "a key begins with http:// or https://",
            KeyErrorKind::Userinfo => "user information has no place in a key",
            KeyErrorKind::Host => "not a host name",
            KeyErrorKind::HostTooLong => "the host name is too long",
            KeyErrorKind::Port => "not a port number",
            KeyErrorKind::Target => "a path begins with '/'",
            KeyErrorKind::StrayPercent => "a '%' without two hexadecimal digits; write %25",
            KeyErrorKind::Variation => "a variation is not empty and does not begin with '@'",
            KeyErrorKind::TooLong => "the key is too long",
        })?;
        if let Some((name, limit)) = self.limit {
            write!(f, " (limit: {limit} {name})")?;
        }
        if let Some(position) = self.position {
            write!(f, " at byte {position}")?;
        }
        Ok(())
    }
}

impl std::error::Error for KeyError {}
