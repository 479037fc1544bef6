//! `oust demo`: an origin and the cache on loopback, and what purges do between them.
//!
//! Nothing is shown that was not observed: each line comes from real requests, and what contradicts its claim fails the demo.

mod origin;
mod tour;

use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use self::origin::{Origin, THINKS};
use self::tour::{Get, stops};
use crate::config::{Config, KeyRules, Origin as OriginAddress, Site};
use crate::serve::{Running, runtime};

/// Why the demo fails.
#[derive(Debug)]
pub(crate) enum DemoError {
    /// It could not be carried out.
    Broken(String),
    /// So many of its claims were not true.
    Untrue(usize),
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(message) => f.write_str(message),
            Self::Untrue(1) => f.write_str("one claim was not true"),
            Self::Untrue(claims) => write!(f, "{claims} claims were not true"),
        }
    }
}

impl std::error::Error for DemoError {}

fn broken(error: impl fmt::Display) -> DemoError {
    DemoError::Broken(error.to_string())
}

/// Runs the tour, and unless `once` serves until a signal.
pub(crate) fn run(once: bool) -> Result<(), DemoError> {
    let runtime = runtime(2).map_err(broken)?;
    let result = runtime.block_on(async {
        let origin = Origin::start().await.map_err(broken)?;
        let running = Running::start(&config(&origin)).map_err(broken)?;
        let Some(&listen) = running.listen.first() else { return Err(broken("no listener")) };
        let mut demo = Demo {
            listen,
            admin: running.admin,
            client: Client::builder(TokioExecutor::new()).build_http(),
            untrue: 0,
            out: io::stdout(),
        };
        demo.tour(&origin).await?;
        if !once {
            demo.invite()?;
            crate::serve::stop_signal().await.map_err(broken)?;
        }
        running.drain().await;
        match demo.untrue {
            0 => Ok(()),
            claims => Err(DemoError::Untrue(claims)),
        }
    });
    runtime.shutdown_background();
    result
}

fn config(origin: &Origin) -> Config {
    let mut config = Config::default();
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    config.server.listen = vec![any];
    config.server.admin = any;
    config.server.drain_timeout = Duration::from_secs(2);
    let address = OriginAddress { authority: origin.addr.to_string() };
    let shop = Site {
        hosts: vec!["shop.example".to_owned()],
        origins: vec![address.clone()],
        key: KeyRules { cookies: vec!["currency".to_owned()], ..KeyRules::default() },
        ..Site::default()
    };
    config.sites = vec![shop, Site::any_host(address)];
    config
}

#[derive(Debug)]
struct Demo {
    listen: SocketAddr,
    admin: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    untrue: usize,
    out: io::Stdout,
}

/// What a request got.
#[derive(Debug)]
struct Got {
    cache_status: String,
    body: String,
    took: Duration,
}

impl Got {
    fn is_hit(&self) -> bool {
        self.cache_status.starts_with("oust; hit")
    }
}

impl Demo {
    async fn tour(&mut self, origin: &Origin) -> Result<(), DemoError> {
        self.say(&format!(
            "An origin that takes {} ms, and the cache on http://{} before it.\n",
            THINKS.as_millis(),
            self.listen
        ))?;
        self.say("A response is fetched once:\n")?;
        let page = Get { host: "shop.example", path: "/page", with: None };
        for (round, want_hit) in [("first request", false), ("second request", true)] {
            let got = self.get(page).await?;
            let ok = self.check(got.is_hit() == want_hit);
            self.say(&format!("  {round:<18} {:>9}  {:<63} {ok}", micros(got.took), got.cache_status))?;
        }

        self.say("\nEach purge below comes between warm objects. What it takes is fetched anew at the next request,")?;
        self.say("what merely looks alike stays a hit:\n")?;
        self.say(&format!("  {:<48} {:>7} {:>7} {:>9}", "purge of", "taken", "left", "ack in"))?;
        for stop in stops() {
            for get in stop.takes.iter().chain(&stop.leaves) {
                self.get(*get).await?;
                let warm = self.get(*get).await?;
                if !warm.is_hit() {
                    self.untrue += 1;
                    self.say(&format!("  {get:?} is not warm: {}", warm.cache_status))?;
                }
            }
            let took = self.purge(&stop.selector, "delete").await?;
            let mut taken = 0;
            for get in &stop.takes {
                taken += usize::from(!self.get(*get).await?.is_hit());
            }
            let mut left = 0;
            for get in &stop.leaves {
                left += usize::from(self.get(*get).await?.is_hit());
            }
            let ok = self.check(taken == stop.takes.len() && left == stop.leaves.len());
            let (takes, leaves) = (stop.takes.len(), stop.leaves.len());
            let (taken, left) = (format!("{taken}/{takes}"), format!("{left}/{leaves}"));
            self.say(&format!("  {:<48} {taken:>7} {left:>7} {:>9}  {ok}", stop.shown, micros(took)))?;
        }
        self.actions().await?;
        self.race(origin).await
    }

    /// What the actions differ in.
    async fn actions(&mut self) -> Result<(), DemoError> {
        self.say("\nThree actions; the request after each says what became of the object:\n")?;
        for (action, wanted) in [
            ("delete", &["fwd=uri-miss", "fwd-status=200"][..]),
            ("invalidate", &["fwd=stale", "fwd-status=304"]),
            ("soft", &["hit", "purged-soft"]),
        ] {
            let page = Get { host: "shop.example", path: "/action", with: None };
            self.get(page).await?;
            self.get(page).await?;
            self.purge(&json!({ "url": "http://shop.example/action" }), action).await?;
            let got = self.get(page).await?;
            let ok = self.check(wanted.iter().all(|part| got.cache_status.contains(part)));
            self.say(&format!("  {action:<18} {:>9}  {:<63} {ok}", micros(got.took), got.cache_status))?;
        }
        Ok(())
    }

    /// A purge while the origin's answer is on its way.
    async fn race(&mut self, origin: &Origin) -> Result<(), DemoError> {
        self.say("\nA purge while the old version is on its way from the origin:\n")?;
        let page = Get { host: "shop.example", path: "/held/page", with: None };
        let waiting = tokio::spawn(get(self.client.clone(), self.listen, page));
        origin.arrived().await;
        let took = self.purge(&json!({ "url": "http://shop.example/held/page" }), "delete").await?;
        self.say(&format!("  purged before the answer came, ack in {}", micros(took)))?;
        origin.release();
        let first = waiting.await.map_err(broken)??;
        let ok = self.check(first.body.ends_with("version 1\n"));
        self.say(&format!("  who had asked before gets:  {:<51} {ok}", first.body.trim_end()))?;
        origin.release();
        let next = self.get(page).await?;
        let ok = self.check(next.body.ends_with("version 2\n"));
        self.say(&format!("  who asks now gets:          {:<51} {ok}", next.body.trim_end()))
    }

    fn invite(&mut self) -> Result<(), DemoError> {
        let (listen, admin) = (self.listen, self.admin);
        let lines = [
            String::new(),
            "Still serving; Ctrl-C ends it. Try:".to_owned(),
            String::new(),
            format!("  curl -i -H 'Host: shop.example' http://{listen}/img/a.jpg"),
            format!("  curl -H 'Content-Type: application/json' http://{admin}/v1/purges \\"),
            "       -d '{\"selectors\":[{\"pattern\":\"http://shop.example/img/*.jpg\"}]}'".to_owned(),
            format!("  curl http://{admin}/v1/purges?limit=3"),
            format!("  curl 'http://{admin}/v1/objects?url=http://shop.example/img/a.jpg'"),
            format!("  oust explain --admin http://{admin} --host shop.example"),
            format!("  oust purge --admin http://{admin} --tag product-7 --wait"),
            format!("  oust stats --admin http://{admin}"),
        ];
        lines.iter().try_for_each(|line| self.say(line))
    }

    fn say(&mut self, line: &str) -> Result<(), DemoError> {
        writeln!(self.out, "{line}").and_then(|()| self.out.flush()).map_err(broken)
    }

    fn check(&mut self, holds: bool) -> &'static str {
        if holds {
            "ok"
        } else {
            self.untrue += 1;
            "NOT TRUE"
        }
    }

    async fn get(&self, what: Get) -> Result<Got, DemoError> {
        get(self.client.clone(), self.listen, what).await
    }

    /// Purges through the API; how long the answer took.
    async fn purge(&self, selector: &Value, action: &str) -> Result<Duration, DemoError> {
        let body = json!({ "selectors": [selector], "action": action }).to_string();
        let request = Request::post(format!("http://{}/v1/purges", self.admin))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body))
            .map_err(broken)?;
        let begun = Instant::now();
        let response = self.client.request(request).await.map_err(broken)?;
        let (status, body) = (response.status(), response.into_body().collect().await.map_err(broken)?.to_bytes());
        let took = begun.elapsed();
        if status == StatusCode::OK {
            Ok(took)
        } else {
            Err(broken(format!("purge of {selector}: {status} {}", String::from_utf8_lossy(&body))))
        }
    }
}

async fn get(client: Client<HttpConnector, Full<Bytes>>, listen: SocketAddr, what: Get) -> Result<Got, DemoError> {
    let mut request = Request::get(format!("http://{listen}{}", what.path)).header(header::HOST, what.host);
    if let Some((name, value)) = what.with {
        request = request.header(name, value);
    }
    let request = request.body(Full::default()).map_err(broken)?;
    let begun = Instant::now();
    let response = client.request(request).await.map_err(broken)?;
    let (status, headers): (StatusCode, HeaderMap) = (response.status(), response.headers().clone());
    let body = response.into_body().collect().await.map_err(broken)?.to_bytes();
    let took = begun.elapsed();
    if status != StatusCode::OK {
        return Err(broken(format!("{what:?}: {status}")));
    }
    let cache_status = headers.get("cache-status").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    Ok(Got { cache_status, body: String::from_utf8_lossy(&body).into_owned(), took })
}

fn micros(took: Duration) -> String {
    format!("{} us", took.as_micros())
}
