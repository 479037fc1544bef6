//! The access log: a JSON line for each request, written by a thread of its own.
//!
//! Invariants:
//!
//! 1. A request never waits for the log: what does not fit into the channel is dropped and counted.
//! 2. A line is written when its answer has ended, whole or not, with the bytes of its body that were handed to the connection.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, Response, Uri, Version};
use http_body::{Body as _, Frame, SizeHint};
use serde::Serialize;

use super::pieces::Pieces;
use crate::config;
use crate::listen::Peer;
use crate::proxy::Answered;

/// Lines that wait to be written.
const WAITING: usize = 8192;
/// How long the end of the process waits for the last lines.
const PATIENCE: Duration = Duration::from_secs(2);
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Takes lines while it is on.
#[derive(Debug)]
pub(crate) struct AccessLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    on: AtomicBool,
    dropped: AtomicU64,
    written: AtomicU64,
    lines: SyncSender<Message>,
}

enum Message {
    Line(Box<Line>),
    /// From here on lines go there.
    To(Option<Target>),
    /// What came before is to be written; then the sender is told.
    Flush(Sender<()>),
}

enum Target {
    Stdout,
    File(BufWriter<File>),
}

impl AccessLog {
    /// One that goes where the configuration says.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, or the system has no more threads.
    pub(crate) fn open(to: &config::AccessLog) -> io::Result<Self> {
        let (lines, taken) = sync_channel(WAITING);
        let (on, dropped, written) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
        let log = Self { shared: Arc::new(Shared { on, dropped, written, lines }) };
        let counts = Arc::downgrade(&log.shared);
        drop(thread::Builder::new().name("oust-log".to_owned()).spawn(move || {
            write_all(&taken, |lines| {
                if let Some(shared) = counts.upgrade() {
                    shared.written.fetch_add(lines, Ordering::Relaxed);
                }
            });
        })?);
        log.reopen(to)?;
        Ok(log)
    }

    /// Opens what the configuration says anew, after a rotation or a change of it. Blocks while the writer is behind.
    ///
    /// # Errors
    ///
    /// The file cannot be opened; lines go on to where they went.
    pub(crate) fn reopen(&self, to: &config::AccessLog) -> io::Result<()> {
        let target = match to {
            config::AccessLog::Off => None,
            config::AccessLog::Stdout => Some(Target::Stdout),
            config::AccessLog::File(path) => {
                Some(Target::File(BufWriter::new(OpenOptions::new().append(true).create(true).open(path)?)))
            }
        };
        let on = target.is_some();
        drop(self.shared.lines.send(Message::To(target)));
        self.shared.on.store(on, Ordering::Relaxed);
        Ok(())
    }

    /// Waits, not for ever, until what was logged is written.
    pub(crate) fn flush(&self) {
        let (told, wait) = channel();
        // Into a full channel it may take as long as the disk does.
        let lines = self.shared.lines.clone();
        drop(thread::spawn(move || drop(lines.send(Message::Flush(told)))));
        let _told = wait.recv_timeout(PATIENCE);
    }

    /// Lines that were not taken since the writer was behind.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    /// What is known of a request when it comes; `None` while the log is off.
    pub(super) fn begin<B>(&self, peer: Peer, request: &Request<B>) -> Option<Entry> {
        if !self.shared.on.load(Ordering::Relaxed) {
            return None;
        }
        let field = |name| request.headers().get(name).cloned();
        let line = Line {
            time: SystemTime::now(),
            begun: Instant::now(),
            took: Duration::ZERO,
            peer,
            method: request.method().clone(),
            version: request.version(),
            uri: request.uri().clone(),
            host: field(header::HOST),
            status: 0,
            bytes: 0,
            whole: false,
            cache_status: None,
            user_agent: field(header::USER_AGENT),
            referer: field(header::REFERER),
        };
        Some(Entry { shared: self.shared.clone(), line: Some(Box::new(line)) })
    }
}

/// A request's line, on its way to the log. It is sent when this is dropped.
#[derive(Debug)]
pub(super) struct Entry {
    shared: Arc<Shared>,
    line: Option<Box<Line>>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(mut line) = self.line.take() {
            line.took = line.begun.elapsed();
            if self.shared.lines.try_send(Message::Line(line)).is_err() {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[derive(Debug)]
struct Line {
    time: SystemTime,
    begun: Instant,
    took: Duration,
    peer: Peer,
    method: Method,
    version: Version,
    uri: Uri,
    host: Option<HeaderValue>,
    status: u16,
    bytes: u64,
    whole: bool,
    cache_status: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    referer: Option<HeaderValue>,
}

#[derive(Serialize)]
struct Written<'a> {
    time: String,
    peer: String,
    method: &'a str,
    scheme: &'a str,
    host: Option<std::borrow::Cow<'a, str>>,
    path: &'a str,
    protocol: &'a str,
    status: u16,
    bytes: u64,
    complete: bool,
    duration_us: u64,
    cache_status: Option<std::borrow::Cow<'a, str>>,
    user_agent: Option<std::borrow::Cow<'a, str>>,
    referer: Option<std::borrow::Cow<'a, str>>,
}

impl Line {
    fn write(&self, to: &mut Vec<u8>) {
        let text = |value: &'_ Option<HeaderValue>| {
            value.as_ref().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned().into())
        };
        let host = match &self.host {
            None => self.uri.authority().map(|authority| authority.as_str().into()),
            host => text(host),
        };
        let written = Written {
            time: humantime::format_rfc3339_micros(self.time).to_string(),
            peer: self.peer.addr.to_string(),
            method: self.method.as_str(),
            scheme: self.peer.scheme(),
            host,
            path: self.uri.path_and_query().map_or("", |path| path.as_str()),
            protocol: match self.version {
                Version::HTTP_2 => "HTTP/2",
                Version::HTTP_10 => "HTTP/1.0",
                _ => "HTTP/1.1",
            },
            status: self.status,
            bytes: self.bytes,
            complete: self.whole,
            duration_us: u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX),
            cache_status: text(&self.cache_status),
            user_agent: text(&self.user_agent),
            referer: text(&self.referer),
        };
        // Into memory, of strings and numbers: it does not fail.
        if written.serialize(&mut serde_json::Serializer::with_formatter(&mut *to, Plain)).is_ok() {
            to.push(b'\n');
        }
    }
}

/// JSON in which no byte is one that a terminal acts upon: DEL, the control characters beyond ASCII, and what turns the direction of text are escaped
/// as well. JSON itself asks for that below 0x20 only.
struct Plain;

impl serde_json::ser::Formatter for Plain {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, to: &mut W, fragment: &str) -> io::Result<()> {
        let acts = |char: char| {
            char.is_control()
                || matches!(char, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        };
        let mut rest = fragment;
        while let Some((at, char)) = rest.char_indices().find(|&(_, char)| acts(char)) {
            let (before, from) = rest.split_at(at);
            to.write_all(before.as_bytes())?;
            // All of them are of one UTF-16 unit.
            write!(to, "\\u{:04x}", u32::from(char))?;
            rest = from.get(char.len_utf8()..).unwrap_or_default();
        }
        to.write_all(rest.as_bytes())
    }
}

fn write_all(messages: &Receiver<Message>, count: impl Fn(u64)) {
    let mut target: Option<Target> = None;
    let mut line = Vec::new();
    let mut warned = false;
    loop {
        let message = match messages.try_recv() {
            Ok(message) => message,
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => {
                // Nothing waits: whoever reads the file sees all there is.
                if let Some(Target::File(file)) = &mut target {
                    drop(file.flush());
                }
                match messages.recv_timeout(Duration::from_secs(3600)) {
                    Ok(message) => message,
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        match message {
            Message::To(new) => target = new,
            Message::Flush(told) => {
                if let Some(Target::File(file)) = &mut target {
                    drop(file.flush());
                }
                let _gone = told.send(());
            }
            Message::Line(entry) => {
                line.clear();
                entry.write(&mut line);
                let result = match &mut target {
                    None => continue,
                    Some(Target::Stdout) => io::stdout().write_all(&line),
                    Some(Target::File(file)) => file.write_all(&line),
                };
                match result {
                    Ok(()) => {
                        count(1);
                        warned = false;
                    }
                    Err(error) if !warned => {
                        warned = true;
                        tracing::warn!(%error, "the access log cannot be written");
                    }
                    Err(_) => {}
                }
            }
        }
    }
}

/// The body of an answer, with its line in the log.
#[derive(Debug)]
pub(crate) struct Logged {
    body: Answered,
    entry: Option<Entry>,
    /// For bodies that are to be copied from a map.
    pieces: Option<Box<Pieces>>,
}

impl Logged {
    pub(super) fn new(
        response: Response<Answered>,
        mut entry: Option<Entry>,
        pieces: Option<Pieces>,
    ) -> Response<Self> {
        if let Some(line) = entry.as_mut().and_then(|entry| entry.line.as_mut()) {
            line.status = response.status().as_u16();
            line.cache_status = response.headers().get_all(CACHE_STATUS).iter().next_back().cloned();
            line.whole = response.body().is_end_stream();
        }
        let pieces = pieces.map(Box::new);
        response.map(|body| Self { body, entry, pieces })
    }
}

impl http_body::Body for Logged {
    type Data = Bytes;
    type Error = oust_tower::BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, oust_tower::BodyError>>> {
        let this = &mut *self;
        let frame = match &mut this.pieces {
            None => ready!(Pin::new(&mut this.body).poll_frame(cx)),
            Some(pieces) => ready!(pieces.poll_frame(&mut this.body, cx)),
        };
        let ended = this.is_end_stream();
        if let Some(line) = self.entry.as_mut().and_then(|entry| entry.line.as_mut()) {
            line.whole = match &frame {
                None => true,
                Some(Ok(_)) => ended,
                Some(Err(_)) => false,
            };
            if let Some(Ok(frame)) = &frame {
                line.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.as_ref().is_none_or(|pieces| pieces.is_empty()) && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.pieces.as_ref().map_or(0, |pieces| pieces.held());
        match self.body.size_hint().exact() {
            Some(rest) => SizeHint::with_exact(rest.saturating_add(held)),
            None => self.body.size_hint(),
        }
    }
}
