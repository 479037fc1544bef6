//! An origin that answers by chance: holds, breaks, errs, validates.

#![allow(dead_code, unreachable_pub, reason = "two test programs use their parts of this")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use oust_reference::{Ended, Fetch};

use super::world::{PIECE, Random, Resource, SIDE, VARY, World, body};

/// Shares of what may happen to an exchange, in percent.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// No response: a reset, garbage, or nothing.
    pub failed: u64,
    /// A body that is cut off.
    pub cut: u64,
    /// A 503.
    pub error: u64,
    /// A head or a body that waits for other requests.
    pub held: u64,
}

/// Starts one; its address.
pub fn start(world: &Arc<World>, seed: u64, faults: Faults) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let world = world.clone();
    thread::spawn(move || {
        let count = AtomicU64::new(0);
        for stream in listener.incoming().map_while(Result::ok) {
            let world = world.clone();
            let random = Random::new(seed ^ (count.fetch_add(1, Ordering::SeqCst) << 20));
            let builder = thread::Builder::new().stack_size(128 << 10);
            drop(builder.spawn(move || serve(&world, stream, random, faults)));
        }
    });
    addr
}

struct Asked {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
}

impl Asked {
    fn read(reader: &mut BufReader<TcpStream>) -> Option<Self> {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let mut words = line.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut fields = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let asked = Self { method, target, fields };
        if asked.field("transfer-encoding").is_some() {
            super::client::chunks(reader, &mut Vec::new())?;
        } else if let Some(length) = asked.field("content-length") {
            reader.read_exact(&mut vec![0; length.parse().ok()?]).ok()?;
        }
        Some(asked)
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}

fn serve(world: &World, stream: TcpStream, mut random: Random, faults: Faults) {
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    while let Some(asked) = Asked::read(&mut reader) {
        world.under_way.fetch_add(1, Ordering::SeqCst);
        let goes_on = answer(world, &asked, &mut writer, &mut random, faults);
        world.under_way.fetch_sub(1, Ordering::SeqCst);
        if !goes_on {
            return;
        }
    }
}

/// One exchange; whether the connection goes on.
fn answer(world: &World, asked: &Asked, writer: &mut TcpStream, random: &mut Random, faults: Faults) -> bool {
    let start = world.now();
    if asked.method != "GET" {
        return writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nCache-Control: no-store\r\n\r\n").is_ok();
    }
    let host = asked.field("host").unwrap_or_default();
    let found = world.resources.iter().find(|resource| resource.host == host && resource.target == asked.target);
    let Some(resource) = found else {
        return writer.write_all(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\nCache-Control: no-store\r\n\r\n").is_ok();
    };
    let id = world.name();
    let base = asked.field("if-none-match").and_then(|tag| tag.trim_matches('"').strip_prefix('f')?.parse().ok());
    let mut fetch = Fetch {
        id,
        asked_by: asked.field("x-req").and_then(|text| text.parse().ok()),
        url: resource.url(),
        variation: asked.field(SIDE).map(|value| format!("{SIDE}={value}")).unwrap_or_default(),
        variant: asked.field(VARY).unwrap_or_default().to_owned(),
        tags: resource.tags.clone(),
        start,
        end: None,
        status: 0,
        outcome: Ended::Failed,
        length: 0,
        storable: resource.storable,
        while_revalidate: resource.while_revalidate,
        if_error: resource.if_error,
        base,
    };
    let chance = random.below(100);
    if chance < faults.failed {
        world.fetches.lock().unwrap().insert(id, fetch);
        if random.percent(faults.held) {
            world.hold(1 + random.below(8));
        }
        fail(writer, random);
        let end = world.now();
        world.fetched(id, |fetch| fetch.end = Some(end));
        return false;
    }
    // What a validator is of has to be a whole 200 of the same object.
    let base = base.filter(|base| {
        world.fetches.lock().unwrap().get(base).is_some_and(|of| {
            let same = of.url == fetch.url && of.variation == fetch.variation && of.variant == fetch.variant;
            same && of.status == 200 && of.outcome == Ended::Whole
        })
    });
    let error = chance < faults.failed + faults.error;
    let cut = !error && chance < faults.failed + faults.error + faults.cut;
    let most = if random.percent(10) { 20_000 } else { 3_000 };
    fetch.length = PIECE * (40 + random.below(most));
    fetch.status = if random.percent(4) { 404 } else { 200 };
    fetch.outcome = Ended::Whole;
    if error {
        (fetch.status, fetch.storable, fetch.length) = (503, false, 20 * PIECE);
    } else if cut {
        fetch.outcome = Ended::Cut(fetch.length / 2 / PIECE * PIECE);
    } else if let Some(base) = base.filter(|_| random.percent(60)) {
        (fetch.status, fetch.outcome, fetch.length) = (304, Ended::NotModified(base), 0);
    }
    let head = head(&fetch, resource);
    let bytes = match fetch.outcome {
        Ended::Cut(bytes) => body(id, bytes),
        _ => body(id, fetch.length),
    };
    world.fetches.lock().unwrap().insert(id, fetch);
    if random.percent(faults.held) {
        world.hold(1 + random.below(12));
    }
    let written = write(world, writer, random, faults, id, head.as_bytes(), &bytes);
    if cut {
        if random.percent(50) {
            reset(writer);
        }
        drop(writer.shutdown(std::net::Shutdown::Both));
    }
    written && !cut
}

fn head(fetch: &Fetch, resource: &Resource) -> String {
    let body = match fetch.outcome {
        Ended::NotModified(base) => base,
        _ => fetch.id,
    };
    let control = if fetch.status == 503 { "no-store" } else { resource.control };
    let mut head = format!(
        "HTTP/1.1 {} X\r\nETag: \"f{body}\"\r\nX-Exchange: {}\r\nCache-Control: {control}\r\nCache-Tag: {}\r\nContent-Type: text/plain\r\n",
        fetch.status,
        fetch.id,
        resource.tags.join(",")
    );
    if resource.varies {
        head.push_str(&format!("Vary: {VARY}\r\n"));
    }
    if fetch.status != 304 {
        head.push_str(&format!("Content-Length: {}\r\n", fetch.length));
    }
    head + "\r\n"
}

/// Head and body, in one go or held in between; the end is noted before the last byte.
fn write(
    world: &World,
    writer: &mut TcpStream,
    random: &mut Random,
    faults: Faults,
    id: u64,
    head: &[u8],
    body: &[u8],
) -> bool {
    let pieces = if random.percent(faults.held) { 1 + random.below(3) as usize } else { 0 };
    let mut rest = [head, body].concat();
    for left in (1..=pieces).rev() {
        let at = (rest.len() / (left + 1)).max(1).min(rest.len() - 1);
        let after = rest.split_off(at);
        if writer.write_all(&rest).is_err() {
            break;
        }
        rest = after;
        world.hold(1 + random.below(6));
    }
    let (last, most) = rest.split_last().unwrap();
    let written = writer.write_all(most).is_ok();
    let end = world.now();
    world.fetched(id, |fetch| fetch.end = Some(end));
    written && writer.write_all(&[*last]).is_ok()
}

fn fail(writer: &mut TcpStream, random: &mut Random) {
    match random.below(4) {
        0 => drop(writer.write_all(b"\x00\x01 what is this\r\n\r\n")),
        1 => drop(writer.write_all(b"HTTP/1.1 20")),
        2 => reset(writer),
        _ => {}
    }
    drop(writer.shutdown(std::net::Shutdown::Both));
}

/// Whoever reads loses what it has not read.
fn reset(writer: &TcpStream) {
    drop(socket2::SockRef::from(writer).set_linger(Some(Duration::ZERO)));
}
