//! The examples do what they say: they are run as they were built, on ports of their own.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A test that would hang fails.
const BOUND: Option<Duration> = Some(Duration::from_secs(60));

fn example(name: &str) -> Command {
    // `cargo test` builds examples beside the directory of its tests.
    let own = std::env::current_exe().unwrap();
    let built: PathBuf = own.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(
        built.exists(),
        "{} is not built: `cargo test` without a choice of targets does it, or `cargo build --examples`",
        built.display()
    );
    Command::new(built)
}

#[test]
fn axum_ends_its_tour_with_a_miss_after_the_purge() {
    let output = example("axum").arg("--once").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let seen: Vec<&str> = text.lines().filter_map(|line| line.split_once("oust; ").map(|(_, status)| status)).collect();
    assert_eq!(seen.len(), 5, "{text}");
    for (status, begins) in seen.iter().zip(["fwd=uri-miss", "hit", "fwd=method", "fwd=", "fwd="]) {
        assert!(status.starts_with(begins), "{text}");
    }
}

/// A request as the origin got it.
#[derive(Debug)]
struct Asked {
    line: String,
    fields: HashMap<String, String>,
}

/// The head of a message.
fn head(from: &mut impl BufRead) -> Asked {
    let mut lines = from.lines().map(Result::unwrap).take_while(|line| !line.is_empty());
    let line = lines.next().unwrap_or_default();
    let fields =
        lines.filter_map(|line| line.split_once(": ").map(|(n, v)| (n.to_lowercase(), v.to_owned()))).collect();
    Asked { line, fields }
}

/// An origin that tells of every request, and ends `/slow` when it is told to.
struct Origin {
    address: SocketAddr,
    asked: Receiver<Asked>,
    go_on: Sender<()>,
}

impl Origin {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, asked) = channel();
        let (go_on, wait) = channel();
        let wait = Arc::new(Mutex::new(wait));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, tell, wait) = (stream.unwrap(), tell.clone(), Arc::clone(&wait));
                std::thread::spawn(move || answer(stream, &tell, &wait));
            }
        });
        Self { address, asked, go_on }
    }

    /// What was asked since the last call.
    fn seen(&self) -> Vec<Asked> {
        self.asked.try_iter().collect()
    }
}

fn answer(stream: TcpStream, tell: &Sender<Asked>, wait: &Mutex<Receiver<()>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let asked = head(&mut reader);
    let conditional = asked.fields.contains_key("if-none-match");
    let target = asked.line.split(' ').nth(1).unwrap_or_default().to_owned();
    let method = asked.line.split(' ').next().unwrap_or_default().to_owned();
    // The test may be over.
    drop(tell.send(asked));
    let mut stream = stream;
    let mut send = |text: &str| drop(stream.write_all(text.as_bytes()));
    match (method.as_str(), target.as_str()) {
        ("POST", _) => send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 7\r\n\r\nchanged"),
        (_, "/page") if conditional => {
            send(
                "HTTP/1.1 304 Not Modified\r\nconnection: close\r\netag: \"v1\"\r\ncache-control: max-age=600\r\n\r\n",
            );
        }
        (_, "/page") => send(
            "HTTP/1.1 200 OK\r\nconnection: close\r\netag: \"v1\"\r\ncache-control: max-age=600\r\ncontent-length: 4\r\n\r\npage",
        ),
        (_, "/slow") => {
            send(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncache-control: max-age=600\r\ncontent-length: 10\r\n\r\nfirst",
            );
            wait.lock().unwrap().recv().unwrap_or_default();
            send("later");
        }
        (_, "/old") if conditional => {
            send("HTTP/1.1 500 Internal Server Error\r\nconnection: close\r\ncontent-length: 5\r\n\r\nerror");
        }
        (_, "/old") => send(
            "HTTP/1.1 200 OK\r\nconnection: close\r\netag: \"o\"\r\ncache-control: max-age=0, stale-if-error=600\r\ncontent-length: 3\r\n\r\nold",
        ),
        (_, "/stale") => send(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncache-control: max-age=0, stale-while-revalidate=600\r\ncontent-length: 5\r\n\r\nstale",
        ),
        (_, "/broken") => {
            send(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncache-control: max-age=600\r\ncontent-length: 10\r\n\r\nfirst",
            );
        }
        _ => {
            send("HTTP/1.1 404 Not Found\r\nconnection: close\r\ncache-control: no-store\r\ncontent-length: 0\r\n\r\n")
        }
    }
}

/// The example before an origin; ended with this.
struct Proxy {
    child: Child,
    address: SocketAddr,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An answer of which the head has come.
struct Answer {
    line: String,
    fields: HashMap<String, String>,
    rest: BufReader<TcpStream>,
}

impl Answer {
    fn status(&self) -> &str {
        self.fields.get("cache-status").map_or("", |status| status.trim_start_matches("example; "))
    }

    fn body(mut self) -> String {
        let mut text = String::new();
        self.rest.read_to_string(&mut text).unwrap();
        text
    }
}

impl Proxy {
    fn before(origin: &Origin) -> Self {
        let mut child = example("hyper")
            .args(["127.0.0.1:0", &format!("http://{}", origin.address)])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap().parse().unwrap();
        Self { child, address }
    }

    fn ask(&self, method: &str, target: &str, fields: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(BOUND).unwrap();
        let length = body.len();
        let text = format!(
            "{method} {target} HTTP/1.1\r\nhost: h.test\r\nconnection: close\r\ncontent-length: {length}\r\n{fields}\r\n{body}"
        );
        stream.write_all(text.as_bytes()).unwrap();
        let mut rest = BufReader::new(stream);
        let Asked { line, fields } = head(&mut rest);
        Answer { line, fields, rest }
    }

    fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "", "")
    }

    /// As [`get`](Self::get) when nothing is in flight any more: the last byte of a body may be here before it is stored.
    fn get_settled(&self, target: &str) -> Answer {
        loop {
            let answer = self.get(target);
            if !answer.status().ends_with("collapsed") {
                return answer;
            }
            answer.body();
        }
    }
}

#[test]
fn the_proxy_stores_hits_and_answers_conditions() {
    let origin = Origin::start();
    let proxy = Proxy::before(&origin);
    let miss = proxy.get("/page");
    assert_eq!((miss.status(), &*miss.line), ("fwd=miss", "HTTP/1.1 200 OK"));
    assert_eq!(miss.body(), "page");
    let asked = origin.seen();
    assert_eq!((asked.len(), &*asked[0].fields["host"]), (1, "h.test"), "{asked:?}");

    let hit = proxy.get_settled("/page");
    assert_eq!((hit.status(), hit.fields.contains_key("age")), ("hit", true));
    assert_eq!(hit.body(), "page");
    let head = proxy.ask("HEAD", "/page", "", "");
    assert_eq!((head.status(), &*head.fields["content-length"]), ("hit", "4"));
    assert_eq!(head.body(), "");
    let same = proxy.ask("GET", "/page", "if-none-match: \"v1\"\r\n", "");
    assert_eq!(same.line, "HTTP/1.1 304 Not Modified");
    assert_eq!(same.body(), "");
    assert_eq!(origin.seen().len(), 0);
    assert!(proxy.ask("GET", "/other", "cache-control: only-if-cached\r\n", "").line.contains("504"));
    assert_eq!(origin.seen().len(), 0);

    let validated = proxy.ask("GET", "/page", "cache-control: no-cache\r\n", "");
    assert_eq!(validated.status(), "fwd=stale; fwd-status=304");
    assert_eq!(validated.body(), "page");
    let asked = origin.seen();
    assert_eq!((asked.len(), &*asked[0].fields["if-none-match"]), (1, "\"v1\""), "{asked:?}");
}

#[test]
fn the_proxy_purges_by_pattern_and_ends_what_a_post_changes() {
    let origin = Origin::start();
    let proxy = Proxy::before(&origin);
    assert_eq!(proxy.get("/page").body(), "page");
    let refused = proxy.ask("POST", "/_purge", "", "no pattern");
    assert!(refused.line.contains("400"), "{}", refused.line);
    assert_eq!(proxy.get_settled("/page").status(), "hit");
    let purged = proxy.ask("POST", "/_purge", "", "http://h.test/p*\nhttp://h.test/img/**");
    assert!(purged.line.contains("200"), "{}", purged.line);
    assert!(purged.body().starts_with("purged: "));
    let miss = proxy.get("/page");
    assert_eq!(miss.status(), "fwd=miss");
    assert_eq!(miss.body(), "page");
    assert_eq!(proxy.ask("POST", "/page", "", "news").body(), "changed");
    assert_eq!(proxy.get("/page").status(), "fwd=miss");
}

#[test]
fn who_goes_away_from_the_proxy_takes_nobody_with_him() {
    let origin = Origin::start();
    let proxy = Proxy::before(&origin);
    let mut first = proxy.get("/slow");
    let mut begun = [0; 5];
    first.rest.read_exact(&mut begun).unwrap();
    let mut second = proxy.get("/slow");
    assert_eq!(second.status(), "fwd=miss; collapsed");
    second.rest.read_exact(&mut begun).unwrap();
    drop(first);
    origin.go_on.send(()).unwrap();
    assert_eq!(second.body(), "later");
    let hit = proxy.get_settled("/slow");
    assert_eq!(hit.status(), "hit");
    assert_eq!(hit.body(), "firstlater");
    assert_eq!(origin.seen().len(), 1);
}

#[test]
fn what_breaks_off_behind_the_proxy_is_not_stored() {
    let origin = Origin::start();
    let proxy = Proxy::before(&origin);
    for _ in 0..2 {
        let mut broken = proxy.get("/broken");
        let mut text = Vec::new();
        // Cut off within the body; or an error, if all came before the head was passed on.
        drop(broken.rest.read_to_end(&mut text));
        let is_cut = text.len() < 10 || broken.line.starts_with("HTTP/1.1 502");
        assert!(is_cut && !broken.status().starts_with("hit"), "{}", broken.line);
    }
    assert_eq!(origin.seen().len(), 2);
}

#[test]
fn the_proxy_serves_stale_while_it_validates_and_when_the_origin_fails() {
    let origin = Origin::start();
    let proxy = Proxy::before(&origin);
    assert_eq!(proxy.get("/stale").body(), "stale");
    origin.asked.recv().unwrap();
    let stale = proxy.get_settled("/stale");
    assert_eq!(stale.status(), "hit; detail=stale");
    assert_eq!(stale.body(), "stale");
    // The validation behind it.
    origin.asked.recv_timeout(BOUND.unwrap()).unwrap();

    assert_eq!(proxy.get("/old").body(), "old");
    let stale = proxy.get_settled("/old");
    assert_eq!(stale.status(), "hit; detail=stale-if-error");
    assert_eq!(stale.body(), "old");
}
