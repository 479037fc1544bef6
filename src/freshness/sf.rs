//! Structured fields (RFC 9651), as far as caching needs them: dictionaries of bare items and lists of strings.
//!
//! Strict, as that RFC asks: one bad member makes the whole field unreadable. Lines are read one by one, so a string that is torn over two lines
//! is an error (RFC 9651 4.2 allows that). Parameters and inner lists are checked and skipped.

use std::borrow::Cow;

/// A value without its parameters.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Bare<'a> {
    Integer(i64),
    String(Cow<'a, str>),
    Boolean(bool),
    /// A decimal, token, byte sequence, date or display string: no directive takes one.
    Other,
    /// An inner list.
    List,
}

/// The field is not what the grammar says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Hands out the members of a dictionary and returns how many there are. What was handed out before an error must be forgotten.
pub(super) fn dictionary<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    mut each: impl FnMut(&'a str, Bare<'a>),
) -> Result<usize, Malformed> {
    members(lines, |text| {
        let key = text.key()?;
        let value = if text.eat(b'=') { text.item_or_list()? } else { Bare::Boolean(true) };
        text.parameters()?;
        each(key, value);
        Ok(())
    })
}

/// Hands out the members of a list and returns how many there are. What was handed out before an error must be forgotten.
pub(super) fn list<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    mut each: impl FnMut(Bare<'a>),
) -> Result<usize, Malformed> {
    members(lines, |text| {
        let value = text.item_or_list()?;
        text.parameters()?;
        each(value);
        Ok(())
    })
}

fn members<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    mut member: impl FnMut(&mut Text<'a>) -> Result<(), Malformed>,
) -> Result<usize, Malformed> {
    let (mut count, mut empty) = (0, false);
    for line in lines {
        let mut text = Text(trim_spaces(line));
        // Beside others an empty line leaves a comma with nothing behind it.
        if empty || (count > 0 && text.0.is_empty()) {
            return Err(Malformed);
        }
        empty = text.0.is_empty();
        while !text.0.is_empty() {
            member(&mut text)?;
            count += 1;
            text.white();
            if text.0.is_empty() {
                break;
            }
            text.expect(b',')?;
            text.white();
            if text.0.is_empty() {
                return Err(Malformed);
            }
        }
    }
    Ok(count)
}

fn trim_spaces(mut line: &[u8]) -> &[u8] {
    while let Some(rest) = line.strip_prefix(b" ") {
        line = rest;
    }
    while let Some(rest) = line.strip_suffix(b" ") {
        line = rest;
    }
    line
}

/// What is left to read.
struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn next(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.eat(byte) { Ok(()) } else { Err(Malformed) }
    }

    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|&byte| !wanted(byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn white(&mut self) {
        self.take(|byte| matches!(byte, b' ' | b'\t'));
    }

    fn spaces(&mut self) {
        self.take(|byte| byte == b' ');
    }

    fn key(&mut self) -> Result<&'a str, Malformed> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'*') {
            return Err(Malformed);
        }
        let key = self.take(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.' | b'*')
        });
        std::str::from_utf8(key).map_err(|_| Malformed)
    }

    fn parameters(&mut self) -> Result<(), Malformed> {
        while self.eat(b';') {
            self.spaces();
            self.key()?;
            if self.eat(b'=') {
                self.bare()?;
            }
        }
        Ok(())
    }

    fn item_or_list(&mut self) -> Result<Bare<'a>, Malformed> {
        if !self.eat(b'(') {
            return self.bare();
        }
        loop {
            self.spaces();
            if self.eat(b')') {
                return Ok(Bare::List);
            }
            self.bare()?;
            self.parameters()?;
            if !matches!(self.peek(), Some(b' ' | b')')) {
                return Err(Malformed);
            }
        }
    }

    fn bare(&mut self) -> Result<Bare<'a>, Malformed> {
        match self.peek().ok_or(Malformed)? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(),
            b'?' => {
                self.expect(b'?')?;
                match self.next()? {
                    b'0' => Ok(Bare::Boolean(false)),
                    b'1' => Ok(Bare::Boolean(true)),
                    _ => Err(Malformed),
                }
            }
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.take(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte));
                Ok(Bare::Other)
            }
            b':' => self.bytes(),
            b'@' => {
                self.expect(b'@')?;
                match self.number()? {
                    Bare::Integer(_) => Ok(Bare::Other),
                    _ => Err(Malformed),
                }
            }
            b'%' => self.display(),
            _ => Err(Malformed),
        }
    }

    fn number(&mut self) -> Result<Bare<'a>, Malformed> {
        let sign = if self.eat(b'-') { -1 } else { 1 };
        let whole = self.take(|byte| byte.is_ascii_digit());
        if self.eat(b'.') {
            let part = self.take(|byte| byte.is_ascii_digit());
            let fits = (1..=12).contains(&whole.len()) && (1..=3).contains(&part.len());
            return if fits { Ok(Bare::Other) } else { Err(Malformed) };
        }
        if !(1..=15).contains(&whole.len()) {
            return Err(Malformed);
        }
        let value = whole.iter().fold(0, |sum: i64, digit| sum * 10 + i64::from(digit - b'0'));
        Ok(Bare::Integer(sign * value))
    }

    fn string(&mut self) -> Result<Bare<'a>, Malformed> {
        self.expect(b'"')?;
        let mut owned: Option<String> = None;
        loop {
            let run = self.take(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\');
            let run = std::str::from_utf8(run).map_err(|_| Malformed)?;
            if let Some(owned) = &mut owned {
                owned.push_str(run);
            }
            match self.next()? {
                b'"' => return Ok(Bare::String(owned.map_or(Cow::Borrowed(run), Cow::Owned))),
                b'\\' => {
                    let escaped = self.next()?;
                    if !matches!(escaped, b'"' | b'\\') {
                        return Err(Malformed);
                    }
                    owned.get_or_insert_with(|| run.to_owned()).push(char::from(escaped));
                }
                _ => return Err(Malformed),
            }
        }
    }

    /// `:base64:`. Unpadded texts are accepted, bits beyond the last byte are not looked at (RFC 9651 4.2.7).
    fn bytes(&mut self) -> Result<Bare<'a>, Malformed> {
        self.expect(b':')?;
        let text = self.take(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'));
        let padding = self.take(|byte| byte == b'=');
        self.expect(b':')?;
        let fits = match text.len() % 4 {
            0 => padding.is_empty(),
            2 => padding.is_empty() || padding.len() == 2,
            3 => padding.len() <= 1,
            _ => false,
        };
        if fits { Ok(Bare::Other) } else { Err(Malformed) }
    }

    /// `%"..."`, UTF-8 in percent escapes of lower-case digits.
    fn display(&mut self) -> Result<Bare<'a>, Malformed> {
        self.expect(b'%')?;
        self.expect(b'"')?;
        let mut text = Vec::new();
        loop {
            match self.next()? {
                b'"' => return std::str::from_utf8(&text).map(|_| Bare::Other).map_err(|_| Malformed),
                b'%' => text.push(self.hex()? * 16 + self.hex()?),
                byte @ b' '..=b'~' => text.push(byte),
                _ => return Err(Malformed),
            }
        }
    }

    fn hex(&mut self) -> Result<u8, Malformed> {
        match self.next()? {
            digit @ b'0'..=b'9' => Ok(digit - b'0'),
            digit @ b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(Malformed),
        }
    }
}
