//! `oust demo`: an origin and the cache on loopback, and what purges do between them.
//!
//! Nothing is shown that was not observed: each line comes from real requests, and what contradicts its claim fails the demo.

mod origin;
mod sign;
mod tour;
mod vendors;

use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use self::origin::{Origin, THINKS};
use self::sign::Asked;
use self::tour::{Get, stops};
use self::vendors::{Follow, Step, Vendor};
use crate::config::{AccountEntry, Config, KeyRules, Origin as OriginAddress, Site};
use crate::reload::Source;
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
    let runtime = runtime().map_err(broken)?;
    let result = runtime.block_on(async {
        let origin = Origin::start().await.map_err(broken)?;
        let running = Running::start(config(&origin), Source::none()).map_err(broken)?;
        let Some(&listen) = running.listen.first() else { return Err(broken("no listener")) };
        let mut demo = Demo {
            listen,
            admin: running.admin,
            api: running.api.ok_or_else(|| broken("no purge APIs"))?,
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
    config.server.api = Some(any);
    config.server.drain_timeout = Duration::from_secs(2);
    let address = OriginAddress {
        https: false,
        authority: origin.addr.to_string(),
        host: origin.addr.ip().to_string(),
        port: origin.addr.port(),
    };
    let shop = Site {
        hosts: vec!["shop.example".to_owned()],
        origins: vec![address.clone()],
        key: KeyRules { cookies: vec!["currency".to_owned()], ..KeyRules::default() },
        ..Site::default()
    };
    config.sites = vec![shop, Site::any_host(address)];
    config.accounts = vec![AccountEntry::new(vendors::account())];
    config
}

#[derive(Debug)]
struct Demo {
    listen: SocketAddr,
    admin: SocketAddr,
    api: SocketAddr,
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

/// What a vendor's client got.
#[derive(Debug)]
struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    /// Null where the body is no JSON.
    json: Value,
    took: Duration,
}

/// Longest wait for a purge to be swept, which takes milliseconds.
const SWEEP_PATIENCE: Duration = Duration::from_secs(10);

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
            self.warm(&stop.takes, &stop.leaves).await?;
            let took = self.purge(&stop.selector, "delete").await?;
            let (effect, ok) = self.effect(&stop.takes, &stop.leaves).await?;
            let ok = self.check(ok);
            self.say(&format!("  {:<48} {effect} {:>9}  {ok}", stop.shown, micros(took)))?;
        }
        self.actions().await?;
        self.race(origin).await?;
        self.say("\nAs clients of five CDNs purge, each by its own API, credentials and patterns:\n")?;
        self.say(&format!("  {:<48} {:>7} {:>7} {:>9}", "purge of", "taken", "left", "ack in"))?;
        for step in vendors::steps() {
            self.vendor(&step).await?;
        }
        Ok(())
    }

    /// Sees to it that all of them are stored.
    async fn warm(&mut self, takes: &[Get], leaves: &[Get]) -> Result<(), DemoError> {
        for get in takes.iter().chain(leaves) {
            self.get(*get).await?;
            let warm = self.get(*get).await?;
            if !warm.is_hit() {
                self.untrue += 1;
                self.say(&format!("  {get:?} is not warm: {}", warm.cache_status))?;
            }
        }
        Ok(())
    }

    /// What of them a purge has taken and left, in two columns, and whether it is what was to be.
    async fn effect(&self, takes: &[Get], leaves: &[Get]) -> Result<(String, bool), DemoError> {
        let mut taken = 0;
        for get in takes {
            taken += usize::from(!self.get(*get).await?.is_hit());
        }
        let mut left = 0;
        for get in leaves {
            left += usize::from(self.get(*get).await?.is_hit());
        }
        let columns = [(taken, takes.len()), (left, leaves.len())].map(|(some, all)| format!("{some}/{all}"));
        Ok((format!("{:>7} {:>7}", columns[0], columns[1]), taken == takes.len() && left == leaves.len()))
    }

    /// A purge by a vendor's client, and its state as that client reads it.
    async fn vendor(&mut self, step: &Step) -> Result<(), DemoError> {
        self.warm(&step.takes, &step.leaves).await?;
        let answer = self.ask(step.vendor, Method::POST, &step.target, &step.body.to_string()).await?;
        let (effect, ok) = self.effect(&step.takes, &step.leaves).await?;
        let ok = self.check(ok && answer.status == step.status);
        self.say(&format!("  {:<48} {effect} {:>9}  {ok}", step.shown, micros(answer.took)))?;
        self.say(&format!("    POST {}: {}", step.target, answer.status))?;
        let Some(follow) = step.follow else { return Ok(()) };
        let Some(Follow { target, member, done }) = follow(&answer.headers, &answer.json) else {
            let ok = self.check(false);
            return self.say(&format!("    no word of how to ask after it: {} {ok}", answer.json));
        };
        let begun = Instant::now();
        loop {
            let state = self.ask(step.vendor, Method::GET, &target, "").await?;
            let found = state.json.pointer(member);
            if found == Some(&done) || begun.elapsed() > SWEEP_PATIENCE {
                let ok = self.check(found == Some(&done) && state.status == StatusCode::OK);
                let (_, name) = member.rsplit_once('/').unwrap_or_default();
                let path = target.split('?').next().unwrap_or_default();
                let found = found.unwrap_or(&Value::Null);
                return self.say(&format!("    GET {path}: {name} {found}  {ok}"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A request as a vendor's client sends it.
    async fn ask(&self, vendor: Vendor, method: Method, target: &str, body: &str) -> Result<Answered, DemoError> {
        let host = self.api.to_string();
        let asked = Asked { method: method.as_str(), target, host: &host, body, now: sign::now() };
        let mut request = Request::builder().method(&method).uri(format!("http://{host}{target}"));
        for (name, value) in vendor.fields(asked) {
            request = request.header(name, value);
        }
        let request = request.body(Full::from(body.to_owned())).map_err(broken)?;
        let begun = Instant::now();
        let response = self.client.request(request).await.map_err(broken)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.into_body().collect().await.map_err(broken)?.to_bytes();
        let took = begun.elapsed();
        Ok(Answered { status, headers, json: serde_json::from_slice(&body).unwrap_or_default(), took })
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
        let (listen, admin, api) = (self.listen, self.admin, self.api);
        let lines = [
            String::new(),
            "Still serving; Ctrl-C ends it. Try:".to_owned(),
            String::new(),
            format!("  curl -i -H 'Host: shop.example' http://{listen}/img/a.jpg"),
            format!("  curl -H 'Content-Type: application/json' http://{admin}/v1/purges \\"),
            "       -d '{\"selectors\":[{\"pattern\":\"http://shop.example/img/*.jpg\"}]}'".to_owned(),
            format!(
                "  curl -u private_demo: http://{api}/v1/files/purge -d '{{\"url\":\"http://shop.example/img/a.jpg\"}}'"
            ),
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
