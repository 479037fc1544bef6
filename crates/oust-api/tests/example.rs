//! The example does what it says: it is run as it was built, on a port of its own.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Ended with this.
struct Apis(Child);

impl Drop for Apis {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn apis_purges_for_whom_it_is_allowed() {
    // `cargo test` builds examples beside the directory of its tests.
    let own = std::env::current_exe().unwrap();
    let built = own.ancestors().nth(2).unwrap().join("examples").join("apis");
    assert!(built.exists(), "{} is not built: `cargo build --examples` does it", built.display());
    let mut apis = Apis(Command::new(built).arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(apis.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("purge APIs on http://").unwrap().to_owned();
    let ask = |token: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        // A test that would hang fails.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let body = r#"{"urls":["www.example.com/img/*"]}"#;
        let text = format!(
            "POST /purge/wildcard HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: Token {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let made = ask("azion-token");
    assert!(made.starts_with("HTTP/1.1 2"), "{made}");
    let refused = ask("another");
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
}
