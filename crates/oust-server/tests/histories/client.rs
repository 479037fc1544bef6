//! A client that keeps its connection and tells what came, whole or not.

#![allow(dead_code, unreachable_pub, reason = "two test programs use their parts of this")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest wait for an answer. Nothing depends on it but that a run ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub whole: bool,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}

/// A connection, if there is one.
#[derive(Debug, Default)]
pub struct Client {
    wire: Option<(SocketAddr, BufReader<TcpStream>)>,
    /// Requests that were sent again since their kept connection ended without a byte of an answer.
    pub again: u64,
}

impl Client {
    /// One request; `None` without a head of an answer. A kept connection that the server closed is no answer, and asked again.
    pub fn ask(&mut self, addr: SocketAddr, head: &str, body: &str) -> Option<Answer> {
        let kept = self.wire.take().filter(|(to, _)| *to == addr);
        if let Some((_, wire)) = kept {
            if let Some(answer) = self.on(addr, wire, head, body) {
                return Some(answer);
            }
            self.again += 1;
        }
        let stream = TcpStream::connect(addr).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_nodelay(true).ok()?;
        self.on(addr, BufReader::new(stream), head, body)
    }

    fn on(&mut self, addr: SocketAddr, mut wire: BufReader<TcpStream>, head: &str, body: &str) -> Option<Answer> {
        let length =
            if head.starts_with("POST") { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
        wire.get_mut().write_all(format!("{head}{length}\r\n{body}").as_bytes()).ok()?;
        let mut answer = Answer::default();
        let mut line = String::new();
        wire.read_line(&mut line).ok()?;
        answer.status = line.split(' ').nth(1)?.parse().ok()?;
        loop {
            let mut line = String::new();
            wire.read_line(&mut line).ok().filter(|read| *read > 0)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            answer.fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let empty = head.starts_with("HEAD") || matches!(answer.status, 204 | 304);
        let length = answer.field("content-length").and_then(|text| text.parse::<usize>().ok());
        answer.whole = if empty {
            true
        } else if let Some(length) = length {
            answer.body = vec![0; length];
            let mut read = 0;
            while read < length {
                match wire.read(&mut answer.body[read..]) {
                    Ok(more) if more > 0 => read += more,
                    _ => break,
                }
            }
            answer.body.truncate(read);
            read == length
        } else if answer.field("transfer-encoding").is_some() {
            chunks(&mut wire, &mut answer.body).is_some()
        } else {
            wire.read_to_end(&mut answer.body).is_ok()
        };
        let closes = answer.field("connection").is_some_and(|text| text.eq_ignore_ascii_case("close"));
        if answer.whole && !closes && (empty || length.is_some() || answer.field("transfer-encoding").is_some()) {
            self.wire = Some((addr, wire));
        }
        Some(answer)
    }
}

/// A chunked body, to its end.
pub fn chunks(wire: &mut impl BufRead, body: &mut Vec<u8>) -> Option<()> {
    loop {
        let mut line = String::new();
        wire.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.trim(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        wire.read_exact(&mut chunk).ok()?;
        if size == 0 {
            return Some(());
        }
        body.extend_from_slice(&chunk[..size]);
    }
}
