//! How often: rates as vendors state them, counted in windows that begin with the first request.

use std::str::FromStr;
use std::time::Duration;

use parking_lot::Mutex;

/// So many requests in so long. Text form `200/60s`, `2000/24h`.
///
/// ```
/// use oust_api::Rate;
/// assert_eq!("300/5m".parse::<Rate>(), Ok(Rate::new(300, 300)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests a window admits.
    pub requests: u64,
    /// Length of a window.
    pub window: Duration,
}

impl Rate {
    /// `requests` in `seconds`.
    pub const fn new(requests: u64, seconds: u64) -> Self {
        Self { requests, window: Duration::from_secs(seconds) }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("'{text}' is no rate: <requests>/<time>, such as 200/60s");
        let (requests, window) = text.split_once('/').ok_or_else(wanted)?;
        let requests = requests.trim().parse().map_err(|_| wanted())?;
        let window = humantime::parse_duration(window.trim()).map_err(|_| wanted())?;
        if window.is_zero() {
            return Err(wanted());
        }
        Ok(Self { requests, window })
    }
}

/// What a request met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) limit: u64,
    /// After this request.
    pub(crate) remaining: u64,
    /// When the window ends, milliseconds since the Unix epoch.
    pub(crate) reset_ms: u64,
    pub(crate) admitted: bool,
}

/// Counts one account's requests of one kind.
#[derive(Debug)]
pub(crate) struct Limiter {
    rate: Rate,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    ends_ms: u64,
    used: u64,
}

impl Limiter {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, window: Mutex::default() }
    }

    /// Counts a request, admitted or not.
    pub(crate) fn take(&self, now_ms: u64) -> Quota {
        self.count(now_ms, 1)
    }

    /// Where the window stands, without counting.
    pub(crate) fn peek(&self, now_ms: u64) -> Quota {
        self.count(now_ms, 0)
    }

    /// Takes back a request that [`Limiter::take`] counted.
    pub(crate) fn give_back(&self) {
        let mut window = self.window.lock();
        window.used = window.used.saturating_sub(1);
    }

    /// Counts so many at once, admitted or not.
    pub(crate) fn count(&self, now_ms: u64, requests: u64) -> Quota {
        let length = u64::try_from(self.rate.window.as_millis()).unwrap_or(u64::MAX);
        let mut window = self.window.lock();
        // A clock that was set back must not lengthen a window.
        if now_ms >= window.ends_ms || window.ends_ms > now_ms.saturating_add(length) {
            *window = Window { ends_ms: now_ms.saturating_add(length), used: 0 };
        }
        window.used = window.used.saturating_add(requests);
        Quota {
            limit: self.rate.requests,
            remaining: self.rate.requests.saturating_sub(window.used),
            reset_ms: window.ends_ms,
            admitted: window.used <= self.rate.requests,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_end() {
        let limiter = Limiter::new(Rate::new(2, 60));
        assert_eq!(limiter.take(1000), Quota { limit: 2, remaining: 1, reset_ms: 61_000, admitted: true });
        assert!(limiter.take(2000).admitted);
        assert!(!limiter.take(60_999).admitted);
        assert_eq!(limiter.take(61_000), Quota { limit: 2, remaining: 1, reset_ms: 121_000, admitted: true });
        assert_eq!(limiter.peek(0).remaining, 2, "a clock set back begins a window");
    }

    #[test]
    fn rates_are_read() {
        assert_eq!("2000/24h".parse(), Ok(Rate::new(2000, 86_400)));
        for bad in ["", "5", "/60s", "5/", "-1/60s", "5/0s", "5/never"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }
}
