//! The tags of an object, encoded so that they live inside its allocation.

/// Longest tag in bytes, on an object and in a selector.
pub const MAX_TAG: usize = 4096;

/// Tags as one byte string: each with its length before it as a little-endian `u16`. One allocation; empty without tags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tags {
    encoded: Vec<u8>,
}

impl Tags {
    /// Encodes tags; each once, empty ones left out. O(tags²) in the number of tags, which responses keep small.
    ///
    /// A tag over [`MAX_TAG`] is left out: no selector can name it either, since there it is refused.
    pub(crate) fn encode<'a>(tags: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut encoded = Vec::new();
        for tag in tags {
            let Ok(len) = u16::try_from(tag.len()) else { continue };
            if tag.is_empty() || tag.len() > MAX_TAG || TagsRef(&encoded).contains(tag) {
                continue;
            }
            encoded.extend_from_slice(&len.to_le_bytes());
            encoded.extend_from_slice(tag);
        }
        Self { encoded }
    }

    /// The borrowed form.
    pub(crate) fn as_ref(&self) -> TagsRef<'_> {
        TagsRef(&self.encoded)
    }
}

/// Borrowed encoded [`Tags`], as an object carries them. Copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TagsRef<'a>(&'a [u8]);

impl<'a> TagsRef<'a> {
    /// Tags as they were stored. Nothing is checked: reading damaged bytes yields other tags or fewer, never a panic.
    pub(crate) fn from_stored(encoded: &'a [u8]) -> Self {
        Self(encoded)
    }

    /// The encoded bytes.
    pub(crate) fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether there are none.
    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The tags in the order they were given.
    pub(crate) fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (len, after) = rest.split_first_chunk::<2>()?;
            let (tag, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
            rest = after;
            Some(tag)
        })
    }

    /// Whether `tag` is among them. O(bytes), without allocating.
    pub(crate) fn contains(self, tag: &[u8]) -> bool {
        self.iter().any(|own| own == tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let long = vec![b'x'; MAX_TAG + 1];
        let tags = Tags::encode([&b"a"[..], b"", b"bc", b"a", &long]);
        assert_eq!(tags.as_ref().iter().collect::<Vec<_>>(), [&b"a"[..], b"bc"]);
        assert!(tags.as_ref().contains(b"bc") && !tags.as_ref().contains(b"b"));
        assert!(Tags::encode([]).as_ref().is_empty());
        assert_eq!(TagsRef::from_stored(&[9, 0, 1]).iter().count(), 0);
    }
}
