//! `[l2]`, `[[certificate]]` and a site's `ttl`.

use std::path::PathBuf;

use super::reader::{Reader, Value, set};
use super::{Certificate, L2, Media, Ttl};

/// The engine's bounds of a segment file.
const MIN_SEGMENT: u64 = 1 << 20;
const MAX_SEGMENT: u64 = 1 << 30;

impl Reader<'_> {
    pub(super) fn l2(&mut self, value: &Value<'_>) -> Option<L2> {
        let table = self.table(value, "[l2]")?;
        let mut l2 = L2::default();
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "dir" => l2.dir = self.file_name(value).unwrap_or_default(),
                "size" => set(&mut l2.size, self.size(value, MIN_SEGMENT * 2, u64::MAX)),
                "segment" => l2.segment = self.size(value, MIN_SEGMENT, MAX_SEGMENT),
                "media" => match value.get_ref().as_str() {
                    Some("mmap") => l2.media = Media::Mmap,
                    Some("pread") => l2.media = Media::Pread,
                    _ => {
                        self.wrong::<()>(value, "\"mmap\" or \"pread\"");
                    }
                },
                other => self.unknown(key.span().start, other, "[l2]"),
            }
        }
        self.needs(value.span().start, table, "[l2]", &["dir", "size"]);
        if let (Some(segment), true) = (l2.segment, l2.size > 0)
            && segment > l2.size / 2
        {
            self.fault(value.span().start, "[l2]: `segment` is more than half of `size`");
        }
        Some(l2)
    }

    pub(super) fn certificate_files(&mut self, value: &Value<'_>) -> Vec<Certificate> {
        let Some(array) = value.get_ref().as_array() else {
            self.wrong::<()>(value, "[[certificate]] tables");
            return Vec::new();
        };
        let mut certificates = Vec::new();
        for item in array.iter() {
            let Some(table) = self.table(item, "[[certificate]]") else { continue };
            let (mut cert, mut key) = (None, None);
            for (field, value) in table {
                match field.get_ref().as_ref() {
                    "cert" => cert = self.file_name(value),
                    "key" => key = self.file_name(value),
                    other => self.unknown(field.span().start, other, "[[certificate]]"),
                }
            }
            let at = item.span().start;
            self.needs(at, table, "a [[certificate]]", &["cert", "key"]);
            if let (Some(cert), Some(key)) = (cert, key) {
                certificates.push(Certificate { cert, key, at });
            }
        }
        certificates
    }

    pub(super) fn ttl(&mut self, value: &Value<'_>) -> Ttl {
        let mut ttl = Ttl::default();
        let Some(table) = self.table(value, "`ttl`") else { return ttl };
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "default" => set(&mut ttl.default, self.duration(value)),
                "negative" => set(&mut ttl.negative, self.duration(value)),
                "minimum" => set(&mut ttl.minimum, self.duration(value)),
                "maximum" => set(&mut ttl.maximum, self.duration(value)),
                "stale_if_error" => set(&mut ttl.stale_if_error, self.duration(value)),
                other => self.unknown(key.span().start, other, "`ttl`"),
            }
        }
        if ttl.minimum > ttl.maximum {
            self.fault(value.span().start, "`ttl`: minimum is more than maximum");
        }
        ttl
    }

    fn file_name(&mut self, value: &Value<'_>) -> Option<PathBuf> {
        let text = self.text(value)?;
        if text.is_empty() {
            self.fault(value.span().start, "expected the name of a file or directory");
            return None;
        }
        Some(text.into())
    }
}
