//! Clients and purgers: what they ask by chance, and what they note.

#![allow(dead_code, unreachable_pub, reason = "two test programs use their parts of this")]

use std::net::SocketAddr;
use std::sync::RwLock;
use std::thread;
use std::time::Duration;

use oust_reference::{Act, Event, Purge, Request, Selector};

use super::client::{Answer, Client};
use super::world::{PIECE, Random, Resource, SIDE, VARY, World, parts};

/// Where the server is now.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    pub apis: SocketAddr,
}

pub type Server = RwLock<Addresses>;

/// Accounts of the purge APIs that [`purge`] uses, with no quota to run into.
pub const ACCOUNT: &str = r#"
[[account]]
name = "acme"
hosts = ["h.test", "o.test"]
azion = { tokens = ["azion-secret"], url = "1000000/1s", wildcard = "1000000/1s" }
imagekit = { private_key = "imagekit-secret", monthly = 1000000000 }
"#;

/// One request of a client, noted. Whether there was an answer.
pub fn request(world: &World, server: &Server, client: &mut Client, random: &mut Random) -> bool {
    // Half of all for a fifth.
    let count = world.resources.len() as u64;
    let at = if random.percent(50) { random.below(count.div_ceil(5)) } else { random.below(count) };
    let resource = &world.resources[at as usize];
    let mut asked = Request {
        id: world.name(),
        method: if random.percent(8) { "HEAD" } else { "GET" }.to_owned(),
        url: resource.url(),
        variation: String::new(),
        variant: String::new(),
        peer: false,
        start: 0,
        end: 0,
        status: 0,
        body: None,
        exchange: None,
        parts: Vec::new(),
        from: 0,
        bytes: 0,
        whole: false,
        hit: false,
        stale: false,
    };
    let mut head =
        format!("{} {} HTTP/1.1\r\nHost: {}\r\nX-Req: {}\r\n", asked.method, resource.target, resource.host, asked.id);
    if resource.sides && random.percent(50) {
        asked.variation = format!("{SIDE}=a");
        head.push_str(&format!("{SIDE}: a\r\n"));
    }
    if resource.varies {
        asked.variant = (*random.pick(&["", "a", "b"])).to_owned();
        if !asked.variant.is_empty() {
            head.push_str(&format!("{VARY}: {}\r\n", asked.variant));
        }
    }
    if random.percent(5) {
        asked.peer = true;
        head.push_str("Via: 1.1 another\r\n");
    }
    if random.percent(10) {
        let from = PIECE * random.below(20);
        head.push_str(&format!("Range: bytes={from}-{}\r\n", from + PIECE * (1 + random.below(900)) - 1));
    }
    asked.start = world.now();
    let to = server.read().unwrap().listen;
    let answer = client.ask(to, &head, "");
    asked.end = world.now();
    let answered = answer.is_some();
    if let Some(answer) = answer {
        note(&mut asked, &answer);
    }
    if answered {
        world.answered(asked);
    } else {
        world.saw(Event::Request(asked));
    }
    answered
}

fn note(asked: &mut Request, answer: &Answer) {
    asked.status = answer.status;
    asked.body = answer.field("etag").and_then(|tag| tag.trim_matches('"').strip_prefix('f')?.parse().ok());
    asked.exchange = answer.field("x-exchange").and_then(|text| text.parse().ok());
    asked.bytes = answer.body.len() as u64;
    asked.whole = answer.whole;
    let status = answer.field("cache-status").unwrap_or_default();
    asked.hit = status.starts_with("oust; hit");
    asked.stale = status.contains("detail=purged-soft") || status.contains("detail=stale");
    if answer.status == 206 {
        let range = answer.field("content-range").and_then(|text| text.strip_prefix("bytes ")?.split('-').next());
        asked.from = range.and_then(|text| text.parse().ok()).unwrap_or(u64::MAX / 2);
    }
    if asked.body.is_some() {
        asked.parts = parts(&answer.body, asked.from);
    }
}

/// What a purge was answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Purged {
    Acknowledged,
    Refused(u16),
    Unanswered,
}

/// Shares of purges that take much, in percent.
#[derive(Debug, Clone, Copy)]
pub struct Mix {
    /// Of more than one URL.
    pub broad: u64,
    /// Of those, may be of a host or everything.
    pub rough: u64,
    /// Of the share that is ImageKit's. Its API keeps 100,000 tasks, which is growth for hours where it is used much.
    pub imagekit: u64,
}

/// One purge, noted.
pub fn purge(world: &World, server: &Server, client: &mut Client, random: &mut Random, mix: Mix) -> Purged {
    let (broad, rough) = (random.percent(mix.broad), random.percent(mix.rough));
    let resource = random.pick(&world.resources).clone();
    let mut purge = Purge {
        id: world.name(),
        selectors: Vec::new(),
        act: *random.pick(&[Act::Delete, Act::Delete, Act::Invalidate, Act::Invalidate, Act::Soft]),
        edge: true,
        l2: true,
        start: 0,
        ack: None,
        durable: true,
    };
    let way = match random.below(100) {
        88..96 if !random.percent(mix.imagekit) => 0,
        way => way,
    };
    let (target, head, body) = if way < 80 {
        let count = if random.percent(10) { 3 } else { 1 };
        for _ in 0..count {
            purge.selectors.push(selector(random, &resource, broad, rough));
        }
        (purge.edge, purge.l2) =
            *random.pick(&[(true, true), (true, true), (true, true), (true, false), (false, true)]);
        purge.durable = !random.percent(5);
        if random.percent(2) {
            // All of a batch or nothing: this one is refused.
            purge.selectors.push(Selector::Pattern(b"http://h.test/%2".to_vec()));
        }
        let head = "POST /v1/purges HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".to_owned();
        (Address::Admin, head, native(&purge))
    } else if way < 88 {
        purge.act = Act::Delete;
        purge.l2 = false;
        let url = if broad {
            format!("http://h.test/d{}/*.{}", random.below(4), random.pick(&["html", "jpg", "*"]))
        } else {
            format!("{}*", resource.url().replace('?', "*"))
        };
        purge.selectors.push(Selector::Glob(url.clone().into_bytes()));
        let head = "POST /purge/wildcard HTTP/1.1\r\nHost: api.azion.com\r\nAuthorization: Token azion-secret\r\nContent-Type: application/json\r\n";
        (Address::Apis, head.to_owned(), format!(r#"{{"urls":["{url}"],"method":"delete"}}"#))
    } else if way < 96 {
        purge.act = Act::Delete;
        purge.selectors.push(Selector::Url(resource.url().into_bytes()));
        // "imagekit-secret:" in base 64.
        let head = "POST /v1/files/purge HTTP/1.1\r\nHost: api.imagekit.io\r\nAuthorization: Basic aW1hZ2VraXQtc2VjcmV0Og==\r\nContent-Type: application/json\r\n";
        (Address::Apis, head.to_owned(), format!(r#"{{"url":"{}"}}"#, resource.url()))
    } else {
        // An unsafe method ends what is stored under its URL; nothing is said of a crash.
        purge.act = Act::Invalidate;
        purge.durable = false;
        purge.selectors.push(Selector::Url(resource.url().into_bytes()));
        (Address::Listen, format!("POST {} HTTP/1.1\r\nHost: {}\r\n", resource.target, resource.host), "x".to_owned())
    };
    purge.start = world.now();
    let addresses = *server.read().unwrap();
    let to = match target {
        Address::Admin => addresses.admin,
        Address::Apis => addresses.apis,
        Address::Listen => addresses.listen,
    };
    let answer = client.ask(to, &head, &body).filter(|answer| answer.whole);
    let outcome = match &answer {
        Some(answer) if (200..300).contains(&answer.status) => {
            purge.ack = Some(world.now());
            if matches!(target, Address::Admin) {
                // What it was promised, whatever it asked for.
                let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                purge.durable = told["durable"] == true;
            }
            Purged::Acknowledged
        }
        Some(answer) => Purged::Refused(answer.status),
        None => Purged::Unanswered,
    };
    world.saw(Event::Purge(purge));
    outcome
}

enum Address {
    Admin,
    Apis,
    Listen,
}

fn selector(random: &mut Random, resource: &Resource, broad: bool, rough: bool) -> Selector {
    let (host, directory) = (resource.host, random.below(4));
    let base = format!("http://{host}/d{directory}");
    let path = resource.target.split('?').next().unwrap();
    let name = path.rsplit('/').next().unwrap();
    let ending = name.rsplit('.').next().unwrap();
    let key =
        if resource.sides && random.percent(50) { format!("{}@@{SIDE}=a", resource.url()) } else { resource.url() };
    let which = match (broad, rough) {
        (true, true) => random.below(13),
        (true, false) => random.below(11),
        (false, _) => 13 + random.below(11),
    };
    match which {
        0 => Selector::Pattern(format!("{base}/**").into_bytes()),
        1 => Selector::Pattern(format!("{base}/*").into_bytes()),
        2 => Selector::Pattern(format!("{base}/p{}*", 1 + random.below(3)).into_bytes()),
        3 => Selector::Pattern(format!("{base}/**.{ending}").into_bytes()),
        4 => Selector::Pattern(format!("any://*.test/d{directory}/s/*").into_bytes()),
        5 => Selector::Glob(format!("{base}/*{}*", random.below(10)).into_bytes()),
        6 => Selector::Glob(format!("http://{host}/*.{ending}").into_bytes()),
        7 => Selector::Regex(format!("http://{host}/d{directory}/.*[0-4]\\.{ending}$").into_bytes()),
        8 => Selector::Regex(format!("any://{host}/d[0-{directory}]/p[0-9]{{1,2}}\\.").into_bytes()),
        9 => Selector::Tag(format!("t{}", random.below(5)).into_bytes()),
        10 => Selector::Tag(format!("all{directory}").into_bytes()),
        11 => Selector::Host(host.as_bytes().to_vec()),
        12 => Selector::All,
        13..=15 => Selector::Key(key.into_bytes()),
        16..=17 => {
            let fields = match *random.pick(&["", "a", "b"]) {
                "" => Vec::new(),
                value => vec![(VARY.to_owned(), value.to_owned())],
            };
            Selector::Variant(key.into_bytes(), fields)
        }
        _ => Selector::Url(resource.url().into_bytes()),
    }
}

fn native(purge: &Purge) -> String {
    let selectors: Vec<_> = purge.selectors.iter().map(json).collect();
    let act = match purge.act {
        Act::Delete => "delete",
        Act::Invalidate => "invalidate",
        Act::Soft => "soft",
    };
    let mut layers = Vec::new();
    if purge.edge {
        layers.push("edge");
    }
    if purge.l2 {
        layers.push("l2");
    }
    let mut body = serde_json::json!({ "selectors": selectors, "action": act, "layers": layers });
    if !purge.durable {
        body["durability"] = "memory".into();
    }
    body.to_string()
}

fn json(selector: &Selector) -> serde_json::Value {
    let text = String::from_utf8_lossy(selector.text()).into_owned();
    let name = match selector {
        Selector::Url(_) => "url",
        Selector::Key(_) => "key",
        Selector::Pattern(_) => "pattern",
        Selector::Glob(_) => "glob",
        Selector::Regex(_) => "regex",
        Selector::Host(_) => "host",
        Selector::Tag(_) => "tag",
        Selector::Variant(_, fields) => {
            let fields: serde_json::Map<_, _> =
                fields.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
            return serde_json::json!({ "variant": { "key": text, "headers": fields } });
        }
        Selector::All | Selector::LastWildcard(_) => return serde_json::json!({ "all": true }),
    };
    serde_json::json!({ name: text })
}

/// A client until the end, one request after the other. How often a kept connection was closed under a request.
pub fn client(world: &World, server: &Server, mut random: Random, mut wait: impl FnMut()) -> u64 {
    let mut client = Client::default();
    while !world.is_over() {
        wait();
        if !request(world, server, &mut client, &mut random) {
            // There is no server now. When it is back does not matter to anybody.
            thread::sleep(Duration::from_millis(5));
        }
    }
    client.again
}
