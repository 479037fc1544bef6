//! Times as answers show them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last second of the year 9999 in milliseconds: dates with four digits of a year tell nothing later.
const LAST_MS: u64 = 253_402_300_799_000;

/// A time, at latest the last that has a text.
pub(crate) fn instant(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms.min(LAST_MS))
}

/// RFC 3339 in UTC and whole seconds: `2026-11-21T12:00:00Z`.
pub(crate) fn rfc3339(ms: u64) -> String {
    humantime::format_rfc3339_seconds(instant(ms)).to_string()
}

#[cfg(test)]
mod tests {
    use super::{instant, rfc3339};

    #[test]
    fn every_time_has_a_text() {
        assert_eq!(rfc3339(1_795_262_400_999), "2026-11-21T12:00:00Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59Z");
        assert_eq!(httpdate::fmt_http_date(instant(u64::MAX)), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
