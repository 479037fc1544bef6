//! Tests of the freshness module: tables, one case a line, named by the section of the RFC.

mod conditional;
mod dates;
mod directives;
mod groups;
mod invalidation;
mod lifetime;
mod ranges;
mod request;
mod storing;
mod targeted;

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::*;

type Fields<'a> = &'a [(&'a str, &'a str)];

fn headers(fields: Fields<'_>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    map
}

const NOW: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn now() -> SystemTime {
    httpdate::parse_http_date(NOW).unwrap()
}

/// The date so many seconds from now.
fn at(seconds: i64) -> String {
    let offset = Duration::from_secs(seconds.unsigned_abs());
    httpdate::fmt_http_date(if seconds < 0 { now() - offset } else { now() + offset })
}

fn assessed_by(policy: &Policy, status: u16, request: Fields<'_>, response: Fields<'_>) -> Assessment {
    let mut response = headers(response);
    strip_unstorable(&mut response);
    policy.assess(&Exchange {
        method: &Method::GET,
        request: &headers(request),
        status: StatusCode::from_u16(status).unwrap(),
        response: &response,
        received: now(),
        delay: Duration::ZERO,
    })
}

fn assessed(status: u16, request: Fields<'_>, response: Fields<'_>) -> Assessment {
    assessed_by(&Policy::new(), status, request, response)
}

/// Seconds of freshness, or the reason not to store.
fn lifetime_by(policy: &Policy, status: u16, response: Fields<'_>) -> Result<u64, Skip> {
    match assessed_by(policy, status, &[], response) {
        Assessment::Store(freshness) => Ok(freshness.lifetime.as_secs()),
        Assessment::Skip(skip) => Err(skip),
    }
}

#[track_caller]
fn stored(response: Fields<'_>) -> Freshness {
    match assessed(200, &[], response) {
        Assessment::Store(freshness) => freshness,
        Assessment::Skip(skip) => panic!("skipped: {skip}"),
    }
}

/// A generator of numbers that is the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end
    }

    /// A text put together from pieces.
    fn text(&mut self, pieces: &[&str], longest: usize) -> String {
        (0..self.below(longest + 1)).map(|_| pieces[self.below(pieces.len())]).collect()
    }
}
