//! Tests of what a process does not show: reloads, runtimes, and time.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::config::Config;

fn config(origins: &[String], rules: &str) -> Config {
    let text = format!("[[site]]\nhosts = [\"*\"]\norigins = {origins:?}\n{rules}\n");
    Config::parse("t", &text).expect("a configuration")
}

fn origins(config: &Config) -> Origins {
    let engine = engine::sites(&config.sites).expect("sites");
    Origins::new(&config.server, &config.sites, &engine)
}

fn renewed(old: &Origins, config: &Config) -> Origins {
    let engine = engine::sites(&config.sites).expect("sites");
    old.renewed(&config.server, &config.sites, &engine)
}

const TARGET: Target<'static> = Target { scheme: "http", authority: "h.test", host: "h.test" };

async fn get(origins: &Origins) -> Result<String, Failure> {
    let response = origins.send(&TARGET, Method::GET, "/", HeaderMap::new(), Empty::new()).await?;
    let body = response.into_body().collect().await.map_err(|_| Failure::Reset)?;
    Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return String::new(),
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// An origin on a thread of its own that tells each connection its number.
fn numbered() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let addr = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        one_thread().block_on(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            for number in 1.. {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                tokio::spawn(async move {
                    while !read_head(&mut stream).await.is_empty() {
                        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
    });
    addr
}

#[test]
fn a_connection_is_used_by_the_runtime_that_drives_it_and_by_no_other() {
    let addr = numbered();
    let keeper = one_thread();
    let origins = keeper.block_on(async { origins(&config(&[format!("http://{addr}")], "")) });
    let (one, two) = (one_thread(), one_thread());
    assert_eq!(one.block_on(get(&origins)).as_deref(), Ok("1"));
    assert_eq!(two.block_on(get(&origins)).as_deref(), Ok("2"), "one stands still");
    assert_eq!(one.block_on(get(&origins)).as_deref(), Ok("1"));
    assert_eq!(origins.groups[0].upstreams[0].pool.len(), 2);
    drop(one);
    assert_eq!(two.block_on(get(&origins)).as_deref(), Ok("2"));
    assert_eq!(one_thread().block_on(get(&origins)).as_deref(), Ok("3"));
    origins.groups[0].upstreams[0].pool.prune();
    assert_eq!(origins.groups[0].upstreams[0].pool.len(), 1, "runtimes that ended left nothing");
}

#[tokio::test]
async fn a_reload_keeps_what_is_the_same() {
    let dead = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", dead.local_addr().expect("bound"));
    drop(dead);
    let live = format!("http://{}", numbered());
    let old = origins(&config(std::slice::from_ref(&url), "max_fetches = 3"));
    for _ in 0..3 {
        assert_eq!(get(&old).await, Err(Failure::Down));
    }
    assert!(!old.figures()[0].up);
    let new = renewed(&old, &config(&[live.clone(), url.clone()], "max_fetches = 3\nretries = 1"));
    let figures = new.figures();
    assert_eq!((figures[0].up, figures[1].up), (true, false), "its health is the same");
    assert_eq!(figures[1].outcomes[1], 3, "and its figures");
    assert!(Arc::ptr_eq(&old.groups[0].gate, &new.groups[0].gate), "who is inside counts on");
    assert_eq!(get(&new).await.as_deref(), Ok("1"));
    let newer = renewed(&new, &config(&[live, url], "connect_timeout = \"1s\""));
    drop((old, new));
    assert!(newer.figures()[1].up, "asked in another way, it is another one");
    assert_eq!(get(&newer).await.as_deref(), Ok("2"));
}

#[tokio::test]
async fn tasks_and_connections_end_with_their_origins() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let rules = "health = { path = \"/health\", interval = \"1h\" }";
    let made = origins(&config(&[url], rules));
    let upstream: Weak<Upstream> = Arc::downgrade(&made.groups[0].upstreams[0]);
    // Its first check, left without an answer.
    let (mut check, _) = listener.accept().await.expect("a check");
    assert!(read_head(&mut check).await.starts_with("GET /health HTTP/1.1\r\n"));
    let asking = async {
        let (mut stream, _) = listener.accept().await.expect("a request");
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.expect("taken");
        stream
    };
    let (answer, mut stream) = tokio::join!(get(&made), asking);
    assert_eq!(answer.as_deref(), Ok("ok"));
    drop(made);
    assert_eq!(check.read(&mut [0; 16]).await.expect("an end"), 0);
    assert_eq!(stream.read(&mut [0; 16]).await.expect("an end"), 0);
    while upstream.strong_count() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_slow_upload_is_no_slow_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let made = origins(&config(&[url], "first_byte_timeout = \"10s\""));
    let (send, chunks) = tokio::sync::mpsc::channel::<Bytes>(1);
    let body = Chunks(chunks);
    let sending = made.send(&TARGET, Method::POST, "/", HeaderMap::new(), body);
    let origin = async {
        let (mut stream, _) = listener.accept().await.expect("a request");
        read_head(&mut stream).await;
        tokio::time::pause();
        for _ in 0..5 {
            tokio::time::advance(Duration::from_secs(8)).await;
            send.send(Bytes::from_static(b"x")).await.expect("taken");
            // A chunk of one byte: size, byte, ends of lines.
            stream.read_exact(&mut [0; 6]).await.expect("a chunk");
        }
        drop(send);
        // No answer: time goes on by itself when there is nothing else to do.
        stream
    };
    let (answer, _stream) = tokio::join!(sending, origin);
    assert_eq!(answer.err(), Some(Failure::Timeout));
    assert_eq!(made.figures()[0].outcomes[4], 1);
}

#[tokio::test]
async fn clients_that_break_off_or_stop_their_uploads_do_not_take_an_origin_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let made = origins(&config(&[url], "first_byte_timeout = \"10s\""));
    for _ in 0..4 {
        let origin = async {
            let (mut stream, _) = listener.accept().await.expect("a request");
            read_head(&mut stream).await;
            stream
        };
        let broken = made.send(&TARGET, Method::POST, "/", HeaderMap::new(), Broken(false));
        let (answer, _stream) = tokio::join!(broken, origin);
        assert_eq!(answer.err(), Some(Failure::Unasked));
    }
    assert!(made.figures()[0].up, "broken off");
    for _ in 0..4 {
        let (_send, chunks) = tokio::sync::mpsc::channel::<Bytes>(1);
        let origin = async {
            let (mut stream, _) = listener.accept().await.expect("a request");
            read_head(&mut stream).await;
            tokio::time::pause();
            stream
        };
        let stopped = made.send(&TARGET, Method::POST, "/", HeaderMap::new(), Chunks(chunks));
        let (answer, _stream) = tokio::join!(stopped, origin);
        tokio::time::resume();
        assert_eq!(answer.err(), Some(Failure::Unasked));
    }
    let figures = &made.figures()[0];
    assert!(figures.up, "stopped");
    assert_eq!(figures.outcomes[7], 8, "gone");
}

#[tokio::test]
async fn a_request_nobody_waits_for_ends_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let made = origins(&config(&[url], "max_fetches = 1"));
    let mut stream = {
        let asking = get(&made);
        tokio::pin!(asking);
        let asked = async {
            let (mut stream, _) = listener.accept().await.expect("a request");
            read_head(&mut stream).await;
            stream
        };
        tokio::select! {
            _ = &mut asking => panic!("nobody answered"),
            stream = asked => stream,
        }
    };
    assert_eq!(stream.read(&mut [0; 16]).await.expect("an end"), 0);
    assert_eq!(made.figures()[0].outcomes[7], 1, "gone");
    // And its turn is the next one's.
    let gate = &made.groups[0].gate;
    assert!(gate.enter(Duration::ZERO).await.expect("room").is_some());
}

/// What comes through a channel, as the stream of a body.
struct Chunks(tokio::sync::mpsc::Receiver<Bytes>);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|chunk| Ok(http_body::Frame::data(chunk))))
    }
}

/// A chunk, then an error.
struct Broken(bool);

impl Body for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        let begun = std::mem::replace(&mut self.0, true);
        let chunk = http_body::Frame::data(Bytes::from_static(b"x"));
        std::task::Poll::Ready(Some(if begun { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(chunk) }))
    }
}
