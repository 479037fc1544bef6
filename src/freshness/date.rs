//! HTTP dates (RFC 9110 5.6.7): all three forms, in any letter case.
//!
//! Stricter than a general date parser (no zone but GMT, fixed digits) and laxer in what caches meet in the wild: the letter case, and a weekday
//! that is not the date's, which changes nothing about when it is.

use std::time::{Duration, SystemTime};

use http::HeaderValue;

/// The time a field value states; `now` settles the century of a year of two digits.
pub(super) fn parse(value: &HeaderValue, now: SystemTime) -> Option<SystemTime> {
    let seconds = seconds(value.as_bytes(), now)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// As [`parse`] where there is no clock: years of two digits are 1970 to 2069, since no date is before 1970.
pub(super) fn parse_timeless(value: &HeaderValue) -> Option<SystemTime> {
    // In 2019.
    const AS_OF: Duration = Duration::from_secs(1_560_000_000);
    parse(value, SystemTime::UNIX_EPOCH + AS_OF)
}

/// Whether both are dates and the same moment.
pub(super) fn same(a: &HeaderValue, b: &HeaderValue) -> bool {
    matches!((parse_timeless(a), parse_timeless(b)), (Some(a), Some(b)) if a == b)
}

/// Whether it is a date.
pub(super) fn is_valid(value: &HeaderValue) -> bool {
    parse_timeless(value).is_some()
}

fn seconds(text: &[u8], now: SystemTime) -> Option<u64> {
    let text = text.trim_ascii();
    let mut form = Form(text);
    let day_name = form.letters();
    match form.next()? {
        b',' if day_name.len() == 3 => imf(day_name, form),
        b',' => rfc850(day_name, form, now),
        b' ' => asctime(day_name, form),
        _ => None,
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf(day_name: &[u8], mut form: Form<'_>) -> Option<u64> {
    index(&DAYS, day_name)?;
    form.is(b' ')?;
    let day = form.digits(2)?;
    form.is(b' ')?;
    let month = form.month()?;
    form.is(b' ')?;
    let year = form.digits(4)?;
    form.is(b' ')?;
    let time = form.time()?;
    form.gmt()?;
    moment(year, month, day, time)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(day_name: &[u8], mut form: Form<'_>, now: SystemTime) -> Option<u64> {
    index(&LONG_DAYS, day_name)?;
    form.is(b' ')?;
    let day = form.digits(2)?;
    form.is(b'-')?;
    let month = form.month()?;
    form.is(b'-')?;
    let short = form.digits(2)?;
    form.is(b' ')?;
    let time = form.time()?;
    form.gmt()?;
    // The nearest such year; more than 50 years ahead is the century before.
    let this_year =
        now.duration_since(SystemTime::UNIX_EPOCH).map_or(1970, |since| 1970 + since.as_secs() / 31_556_952);
    let of_this_century = this_year - this_year % 100 + short;
    let year = if of_this_century > this_year + 50 {
        of_this_century - 100
    } else if of_this_century + 50 <= this_year {
        of_this_century + 100
    } else {
        of_this_century
    };
    moment(year, month, day, time)
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(day_name: &[u8], mut form: Form<'_>) -> Option<u64> {
    index(&DAYS, day_name)?;
    let month = form.month()?;
    form.is(b' ')?;
    let day = if form.0.first() == Some(&b' ') {
        form.is(b' ')?;
        form.digits(1)?
    } else {
        form.digits(2)?
    };
    form.is(b' ')?;
    let time = form.time()?;
    form.is(b' ')?;
    let year = form.digits(4)?;
    form.0.is_empty().then_some(())?;
    moment(year, month, day, time)
}

/// Seconds since 1970; earlier dates are none.
fn moment(year: u64, month: u64, day: u64, time: u64) -> Option<u64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let longest = match month {
        1 => 28 + u64::from(leap),
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    };
    if year < 1970 || day == 0 || day > longest {
        return None;
    }
    // Years begin in March here, so that the leap day is the last.
    let march_year = if month < 2 { year - 1 } else { year };
    let month_from_march = (month + 10) % 12;
    let in_year = (153 * month_from_march + 2) / 5 + day - 1;
    let days = 365 * march_year + march_year / 4 - march_year / 100 + march_year / 400 + in_year;
    (days * 86_400 + time).checked_sub(719_468 * 86_400)
}

/// What is left of a date.
struct Form<'a>(&'a [u8]);

impl<'a> Form<'a> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn is(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn letters(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(self.0.len());
        let (letters, rest) = self.0.split_at(end);
        self.0 = rest;
        letters
    }

    fn digits(&mut self, count: usize) -> Option<u64> {
        (0..count).try_fold(0, |sum, _| {
            let digit = self.next().filter(u8::is_ascii_digit)?;
            Some(sum * 10 + u64::from(digit - b'0'))
        })
    }

    fn month(&mut self) -> Option<u64> {
        let name = self.letters();
        index(&MONTHS, name)
    }

    fn time(&mut self) -> Option<u64> {
        let hour = self.digits(2)?;
        self.is(b':')?;
        let minute = self.digits(2)?;
        self.is(b':')?;
        let second = self.digits(2)?;
        // 60 is a leap second.
        (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
    }

    fn gmt(&mut self) -> Option<()> {
        self.0.eq_ignore_ascii_case(b" GMT").then_some(())
    }
}

fn index(names: &[&str], name: &[u8]) -> Option<u64> {
    names.iter().position(|known| name.eq_ignore_ascii_case(known.as_bytes())).map(|at| at as u64)
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const LONG_DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
