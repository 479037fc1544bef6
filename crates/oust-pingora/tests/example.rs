//! The example proxy as it was built, as a process, before an origin that answers when it is told to.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// A test that would hang fails.
const BOUND: Duration = Duration::from_secs(60);

/// Tells of every request, and answers `/slow*` when it is told to. Bodies count the requests.
struct Origin {
    address: SocketAddr,
    asked: Receiver<String>,
    go_on: Sender<()>,
}

impl Origin {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ((tell, asked), (go_on, goes_on)) = (channel(), channel());
        std::thread::spawn(move || {
            for (count, stream) in listener.incoming().enumerate() {
                let Ok(mut stream) = stream else { return };
                let mut head = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let line = head.next().unwrap_or_default();
                head.find(String::is_empty);
                let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                if tell.send(path.clone()).is_err() || path.starts_with("/slow") && goes_on.recv().is_err() {
                    return;
                }
                let body = format!("{path} {count}");
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nVary: Accept-Language\r\nSurrogate-Key: t\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                drop(stream.write_all(answer.as_bytes()));
            }
        });
        Self { address, asked, go_on }
    }

    fn is_asked(&self) -> String {
        self.asked.recv_timeout(BOUND).unwrap()
    }
}

struct Proxy {
    child: Child,
    listen: SocketAddr,
    admin: SocketAddr,
}

impl Proxy {
    /// Pingora does not tell which port it got, so it is given one that was free; if somebody else has taken it since, it ends, and gets another.
    fn start(origin: SocketAddr) -> Self {
        let own = std::env::current_exe().unwrap();
        let built = own.ancestors().nth(2).unwrap().join("examples").join("proxy");
        assert!(built.exists(), "{} is not built: `cargo build --examples`", built.display());
        for _ in 0..5 {
            let [listen, admin] = free();
            let mut child = Command::new(&built)
                .args(["--origin", &origin.to_string(), "--listen", &listen.to_string(), "--admin", &admin.to_string()])
                .stdin(Stdio::null())
                .spawn()
                .unwrap();
            while child.try_wait().unwrap().is_none() {
                if [listen, admin].iter().all(|address| TcpStream::connect(address).is_ok()) {
                    return Self { child, listen, admin };
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        panic!("the proxy does not start");
    }

    /// What `X-Cache` says, and the body.
    fn get(&self, path: &str, language: &str) -> (String, String) {
        let asked =
            format!("GET {path} HTTP/1.1\r\nHost: h.test\r\nAccept-Language: {language}\r\nConnection: close\r\n\r\n");
        let (head, body) = exchange(self.listen, &asked);
        let cache =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("x-cache: ").map(str::to_owned));
        assert!(!head.to_ascii_lowercase().contains("surrogate-key"), "{head}");
        (cache.unwrap_or_default(), body)
    }

    fn purge(&self, kind: &str, text: &str) {
        let asked = format!(
            "POST /purge/{kind} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        );
        let (head, body) = exchange(self.admin, &asked);
        assert!(head.starts_with("HTTP/1.1 200"), "{head} {body}");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Two that differ, since both are taken at once.
fn free() -> [SocketAddr; 2] {
    let taken = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    taken.map(|listener| listener.local_addr().unwrap())
}

fn exchange(with: SocketAddr, asked: &str) -> (String, String) {
    let mut stream = TcpStream::connect(with).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.write_all(asked.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[test]
fn the_example_caches_and_purges_also_what_is_being_fetched() {
    let origin = Origin::start();
    let mut proxy = Proxy::start(origin.address);
    let stored = |path: &str, language: &str| {
        let (cache, body) = proxy.get(path, language);
        assert_eq!((cache.as_str(), origin.is_asked().as_str()), ("miss", path));
        assert_eq!(proxy.get(path, language), ("hit".to_owned(), body.clone()));
        body
    };

    let german = stored("/img/a.png", "de");
    let english = stored("/img/a.png", "en");
    assert_ne!(german, english);
    assert_eq!(proxy.get("/img/a.png", "de").1, german);
    stored("/b", "de");
    proxy.purge("pattern", "http://h.test/img/**");
    assert_ne!(stored("/img/a.png", "de"), german);
    assert_ne!(stored("/img/a.png", "en"), english);
    assert_eq!(proxy.get("/b", "de").0, "hit", "what the directory does not take stays");

    // H1: purged while the origin thinks about it, by directory and by a tag that nobody knows yet.
    for (kind, text, path) in [("pattern", "http://h.test/**", "/slow-a"), ("tag", "t", "/slow-b")] {
        let old = std::thread::scope(|scope| {
            let first = scope.spawn(|| proxy.get(path, "de").1);
            assert_eq!(origin.is_asked(), path);
            proxy.purge(kind, text);
            origin.go_on.send(()).unwrap();
            first.join().unwrap()
        });
        origin.go_on.send(()).unwrap();
        let (cache, new) = proxy.get(path, "de");
        assert_eq!((cache.as_str(), origin.is_asked().as_str()), ("miss", path), "{kind}");
        assert_ne!(new, old);
    }

    assert!(Command::new("kill").arg(proxy.child.id().to_string()).status().unwrap().success());
    assert!(proxy.child.wait().unwrap().success());
}
