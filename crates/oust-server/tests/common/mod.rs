//! A server process, an origin under the test's control, and a plain client.
//!
//! Nothing here sleeps to make something happen: an origin that is to be slow waits for a channel.

#![allow(dead_code, unreachable_pub, reason = "every test file uses its part of this module")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod http2;
pub mod scripted;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest wait for anything before a test fails instead of hanging.
pub const PATIENCE: Duration = Duration::from_secs(20);

// ===== origin =====

/// A request as the origin saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// How many requests there were before it.
    pub number: usize,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Where an origin writes its answer.
#[derive(Debug)]
pub struct Reply {
    stream: TcpStream,
}

impl Reply {
    /// A whole answer.
    pub fn send(&mut self, status: u16, headers: &[(&str, &str)], body: &str) {
        let length = body.len();
        self.begin(status, headers, if status == 304 { None } else { Some(length) });
        self.write(body.as_bytes());
    }

    /// Head only; the body follows by `write`.
    pub fn begin(&mut self, status: u16, headers: &[(&str, &str)], length: Option<usize>) {
        let mut text = format!("HTTP/1.1 {status} X\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(length) = length {
            text.push_str(&format!("Content-Length: {length}\r\n"));
        }
        text.push_str("\r\n");
        self.write(text.as_bytes());
    }

    /// Ends the connection, and with it a body of no stated length.
    pub fn end(&mut self) {
        drop(self.stream.shutdown(std::net::Shutdown::Both));
    }

    pub fn write(&mut self, bytes: &[u8]) {
        // A proxy that went away is for the test's assertions to notice.
        drop(self.stream.write_all(bytes));
    }
}

/// An origin that answers by a closure, a thread for each connection.
#[derive(Debug)]
pub struct Origin {
    pub addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Origin {
    pub fn start(answer: impl Fn(&Seen, &mut Reply) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(answer);
        let log = seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answer, log) = (answer.clone(), log.clone());
                thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    let mut reply = Reply { stream };
                    while let Some(mut seen) = read_request(&mut reader) {
                        {
                            let mut log = log.lock().unwrap();
                            seen.number = log.len();
                            log.push(seen.clone());
                        }
                        answer(&seen, &mut reply);
                    }
                });
            }
        });
        Self { addr, seen }
    }

    /// One that answers everything with a version of its own, fresh for a minute.
    pub fn versions() -> Self {
        Self::start(|seen, reply| {
            reply.send(200, &[("Cache-Control", "max-age=60")], &format!("version {}", seen.number + 1));
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Seen> {
    let (first, headers) = read_head(reader)?;
    let mut parts = first.split(' ');
    let (method, target) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let body = if find(&headers, "transfer-encoding").is_some() {
        read_chunks(reader)
    } else {
        let length = find(&headers, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        body
    };
    Some(Seen { method, target, headers, body, number: 0 })
}

fn read_head(reader: &mut impl BufRead) -> Option<(String, Vec<(String, String)>)> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|&read| read > 0)?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&read| read > 0)?;
        let line = line.trim_end();
        if line.is_empty() {
            return Some((first.trim_end().to_owned(), headers));
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn read_chunks(reader: &mut impl BufRead) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            panic!("body ended before its last chunk");
        }
        let size = usize::from_str_radix(line.trim(), 16).expect("chunk size");
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk).expect("chunk");
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

/// A place in an origin's answer where it waits for the test.
#[derive(Debug)]
pub struct Gate {
    arrived: Mutex<Receiver<()>>,
    release: Sender<()>,
}

/// The origin's side of a [`Gate`].
#[derive(Debug)]
pub struct Held {
    arrived: Sender<()>,
    release: Mutex<Receiver<()>>,
}

pub fn gate() -> (Gate, Held) {
    let (arrived, have_arrived) = mpsc::channel();
    let (release, released) = mpsc::channel();
    (Gate { arrived: Mutex::new(have_arrived), release }, Held { arrived, release: Mutex::new(released) })
}

impl Gate {
    /// Waits until the origin is there.
    pub fn arrived(&self) {
        self.arrived.lock().unwrap().recv_timeout(PATIENCE).expect("the origin was not asked");
    }

    /// Whether the origin is there already.
    pub fn has_arrived(&self) -> bool {
        self.arrived.lock().unwrap().try_recv().is_ok()
    }

    pub fn release(&self) {
        self.release.send(()).unwrap();
    }
}

impl Held {
    pub fn hold(&self) {
        self.arrived.send(()).unwrap();
        self.release.lock().unwrap().recv_timeout(PATIENCE).ok();
    }
}

// ===== server =====

/// A running `oust serve`.
#[derive(Debug)]
pub struct Oust {
    pub child: Child,
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    /// Where the purge APIs are, if it was asked for them.
    pub apis: Option<SocketAddr>,
    log: Arc<Mutex<String>>,
}

impl Oust {
    /// Before this origin, on ports of its own.
    pub fn before(origin: &Origin) -> Self {
        Self::serve(&["--origin", &origin.url()])
    }

    pub fn serve(args: &[&str]) -> Self {
        Self::logging("info", args)
    }

    /// With a log of this level.
    pub fn logging(level: &str, args: &[&str]) -> Self {
        let child = command()
            .env("OUST_LOG", level)
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self::of(child)
    }

    /// With a configuration file; what it leaves open is put on ports of its own.
    pub fn configured(name: &str, config: &str) -> Self {
        let file = config_file(name, config);
        Self::serve(&["--config", file.to_str().unwrap()])
    }

    fn of(mut child: Child) -> Self {
        let stderr = child.stderr.take().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (send, lines) = mpsc::channel();
        let kept = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                kept.lock().unwrap().push_str(&format!("{line}\n"));
                drop(send.send(line));
            }
        });
        let (mut listen, mut admin, mut apis) = (None, None, None);
        while listen.is_none() || admin.is_none() {
            let Ok(line) = lines.recv_timeout(PATIENCE) else {
                panic!("server did not start: {}", log.lock().unwrap())
            };
            let addr = |what: &str| line.split_once(what).and_then(|(_, addr)| addr.trim().parse().ok());
            listen = listen.or_else(|| addr("listening addr="));
            // Told before the admin address.
            apis = apis.or_else(|| addr(" api addr="));
            admin = admin.or_else(|| addr("admin addr="));
        }
        Self { child, listen: listen.unwrap(), admin: admin.unwrap(), apis, log }
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn get(&self, path: &str) -> Response {
        self.get_with(path, &[])
    }

    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        request(self.listen, "GET", path, headers, b"")
    }

    /// A purge by the API; it must be accepted.
    pub fn purge(&self, body: &str) -> Value {
        let answer = self.api("POST", "/v1/purges", body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    pub fn purge_url(&self, path: &str) -> Value {
        self.purge(&format!(r#"{{"selectors":[{{"url":"http://h.test{path}"}}]}}"#))
    }

    pub fn api(&self, method: &str, path: &str, body: &str) -> Response {
        let mut headers = vec![("Host", "localhost")];
        if !body.is_empty() {
            headers.push(("Content-Type", "application/json"));
        }
        request(self.admin, method, path, &headers, body.as_bytes())
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the process to end.
    pub fn exit_code(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "server did not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Oust {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oust"));
    command.env_remove("OUST_LOG").env_remove("OUST_TOKEN");
    command
}

pub fn config_file(name: &str, text: &str) -> std::path::PathBuf {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.toml"));
    std::fs::write(&file, text).unwrap();
    file
}

/// A command to its end: exit code, stdout, stderr.
pub fn run(args: &[&str], stdin: &[u8]) -> (i32, String, String) {
    let mut child =
        command().args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that does not read its input may have ended already.
    drop(child.stdin.take().unwrap().write_all(stdin));
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

// ===== client =====

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    pub fn cache_status(&self) -> &str {
        self.header("cache-status").unwrap_or_default()
    }

    pub fn is_hit(&self) -> bool {
        self.cache_status().starts_with("oust; hit")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// One request on a connection of its own. `Host` is h.test unless given.
pub fn request(addr: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        text.push_str("Host: h.test\r\n");
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    raw(addr, &bytes, method == "HEAD")
}

/// Bytes as they are, and the answer to them.
pub fn raw(addr: SocketAddr, bytes: &[u8], head_only: bool) -> Response {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // A server may refuse before it has read everything.
    drop(stream.write_all(bytes));
    let mut reader = BufReader::new(stream);
    let (first, headers) = loop {
        let (first, headers) = read_head(&mut reader).expect("no answer");
        // Interim answers are no answers; a change of protocol is one.
        if !first.starts_with("HTTP/1.1 1") || first.starts_with("HTTP/1.1 101") {
            break (first, headers);
        }
    };
    let status = first.split(' ').nth(1).unwrap().parse().unwrap();
    let body = if head_only || status == 304 || status == 204 {
        Vec::new()
    } else if find(&headers, "transfer-encoding").is_some() {
        read_chunks(&mut reader)
    } else if let Some(length) = find(&headers, "content-length") {
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).expect("body cut off");
        body
    } else {
        let mut body = Vec::new();
        reader.read_to_end(&mut body).unwrap();
        body
    };
    Response { status, headers, body }
}

/// A request in the background.
pub fn behind<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    thread::spawn(work)
}
