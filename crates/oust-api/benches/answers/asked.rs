//! What is stored, and the purges that clients of each dialect send.
//!
//! Invariants: every dialect has a host of its own, and every kind of purge directories of its own on it, so that what one purge takes is not
//! what another one was to take. The same request is the same bytes for every cache, but for its time and signature.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use oust::Key;
use oust_api::{Account, Azion, Cdnetworks, ImageKit, Medianova, Naver, Rate};

/// Hosts: one for each dialect, and as many that nobody purges.
const HOSTS: usize = 10;
/// Objects in a directory.
pub(crate) const PER_DIRECTORY: usize = 10;
/// Kinds a dialect has at most: directories are dealt out to them in turn.
const KINDS: usize = 3;

const ORGANIZATION: &str = "550e8400-e29b-41d4-a716-446655440000";
const RESOURCE: &str = "660f9511-f30c-52e5-b827-557766551111";
const EDGE: u64 = 11_197;
const TOKEN: &str = "583f8a9ca8d6";
const SECRET: &str = "f1e2d3c4b5a6";

/// Whose API.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Dialect {
    Azion,
    Naver,
    Medianova,
    Cdnetworks,
    ImageKit,
}

/// How much of a directory a purge takes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Extent {
    /// One object.
    Object,
    /// All.
    Directory,
    /// The objects whose name begins with `a` or ends with `.css`: one.
    Some,
}

impl Extent {
    pub(crate) fn objects(self) -> usize {
        match self {
            Self::Object | Self::Some => 1,
            Self::Directory => PER_DIRECTORY,
        }
    }
}

/// A kind of purge.
#[derive(Debug)]
pub(crate) struct Kind {
    /// `url`, `directory`, `wildcard` or `regex`.
    pub(crate) group: &'static str,
    pub(crate) name: &'static str,
    dialect: Dialect,
    /// Its place among the kinds of its dialect.
    turn: usize,
    pub(crate) extent: Extent,
}

const fn kind(group: &'static str, name: &'static str, dialect: Dialect, turn: usize, extent: Extent) -> Kind {
    Kind { group, name, dialect, turn, extent }
}

pub(crate) const ALL: [Kind; 10] = [
    kind("url", "azion url", Dialect::Azion, 0, Extent::Object),
    kind("url", "cdnetworks fileUrls", Dialect::Cdnetworks, 0, Extent::Object),
    kind("url", "imagekit", Dialect::ImageKit, 0, Extent::Object),
    kind("url", "naver URL", Dialect::Naver, 0, Extent::Object),
    kind("directory", "naver DIRECTORY", Dialect::Naver, 1, Extent::Directory),
    kind("directory", "medianova /d/*", Dialect::Medianova, 0, Extent::Directory),
    kind("directory", "cdnetworks dirUrls", Dialect::Cdnetworks, 1, Extent::Directory),
    kind("wildcard", "azion wildcard", Dialect::Azion, 1, Extent::Some),
    kind("wildcard", "medianova wildcard", Dialect::Medianova, 1, Extent::Some),
    kind("regex", "cdnetworks regexPatterns", Dialect::Cdnetworks, 2, Extent::Some),
];

fn host(nth: usize) -> String {
    format!("h{nth:02}.example.net")
}

/// Key `id` of those stored.
pub(crate) fn key(id: usize) -> Key {
    let (host_nth, nth) = (id % HOSTS, id / HOSTS);
    let url = format!("https://{}{}", host(host_nth), path(nth / PER_DIRECTORY, nth % PER_DIRECTORY));
    Key::parse(url.as_bytes()).expect("the text is a URL")
}

/// Object `nth` of a directory.
fn path(directory: usize, nth: usize) -> String {
    match nth {
        0 => format!("/assets-{directory:07}/a-{directory:012x}-photo.css"),
        _ => format!("/assets-{directory:07}/p-{directory:09x}-{nth:02}-photo.jpeg"),
    }
}

impl Kind {
    /// The directory that the `nth` purge takes something of; a directory that never was, if it takes nothing.
    fn directory(&self, nth: usize) -> usize {
        const NEVER: usize = 5_000_000;
        let own = nth / 2 * KINDS + self.turn;
        if nth.is_multiple_of(2) { own } else { NEVER + own }
    }

    /// Objects that the `nth` purge takes of `stored`.
    pub(crate) fn takes(&self, nth: usize, stored: usize) -> usize {
        // The last directories may be cut off.
        let whole = stored / HOSTS / PER_DIRECTORY;
        if self.directory(nth) < whole { self.extent.objects() } else { 0 }
    }

    /// The `nth` purge of its kind, as bytes of a request.
    pub(crate) fn request(&self, nth: usize) -> Vec<u8> {
        let d = self.directory(nth);
        let (host, file) = (host(self.dialect as usize), path(d, 0));
        let directory = format!("/assets-{d:07}/");
        match (self.dialect, self.group) {
            (Dialect::Azion, "url") => azion("url", &format!("https://{host}{file}")),
            (Dialect::Azion, _) => azion("wildcard", &format!("https://{host}{directory}a-*.css")),
            (Dialect::Naver, "url") => naver("URL", &file),
            (Dialect::Naver, _) => naver("DIRECTORY", &format!("{directory}*")),
            (Dialect::Medianova, "directory") => medianova(&format!("{directory}*")),
            (Dialect::Medianova, _) => medianova(&format!("{directory}*-photo.css")),
            (Dialect::Cdnetworks, "url") => cdnetworks("fileUrls", &format!("https://{host}{file}")),
            (Dialect::Cdnetworks, "directory") => cdnetworks("dirUrls", &format!("https://{host}{directory}*")),
            (Dialect::Cdnetworks, _) => {
                cdnetworks("regexPatterns", &format!("https://{host}{directory}a-[0-9a-f]+-photo\\\\.css"))
            }
            (Dialect::ImageKit, _) => {
                let basic = STANDARD.encode(format!("{TOKEN}:"));
                let body = format!(r#"{{"url":"https://{host}{file}"}}"#);
                post("/v1/files/purge", "api.imagekit.io", &[("Authorization", &format!("Basic {basic}"))], &body)
            }
        }
    }
}

/// One account for each dialect, with its host. Rates and quotas are out of the way.
pub(crate) fn accounts() -> [Account; 5] {
    let rate = Rate::new(1 << 40, 60);
    let account = |dialect: Dialect| Account::new(host(dialect as usize), [host(dialect as usize)]);
    let secret = || SECRET.to_owned();
    let azion = Azion { tokens: vec![TOKEN.to_owned()], url: rate, wildcard: rate };
    let naver = Naver { access_key: TOKEN.to_owned(), secret_key: secret(), edge_id: EDGE };
    let medianova = Medianova {
        organization: ORGANIZATION.to_owned(),
        resources: [(RESOURCE.to_owned(), host(Dialect::Medianova as usize))].into(),
        tokens: vec![TOKEN.to_owned()],
        ..Medianova::default()
    };
    let cdnetworks = Cdnetworks { user: TOKEN.to_owned(), api_key: secret(), rate, ..Cdnetworks::default() };
    let imagekit = ImageKit { private_key: TOKEN.to_owned(), monthly: 1 << 40, wildcard: false };
    [
        Account { azion: Some(azion), ..account(Dialect::Azion) },
        Account { naver: Some(naver), ..account(Dialect::Naver) },
        Account { medianova: Some(medianova), ..account(Dialect::Medianova) },
        Account { cdnetworks: Some(cdnetworks), ..account(Dialect::Cdnetworks) },
        Account { imagekit: Some(imagekit), ..account(Dialect::ImageKit) },
    ]
}

fn azion(kind: &str, url: &str) -> Vec<u8> {
    let headers = [("Authorization", &*format!("Token {TOKEN}")), ("Accept", "application/json; version=3")];
    let body = format!(r#"{{"urls":["{url}"],"method":"delete"}}"#);
    post(&format!("/purge/{kind}"), "api.azion.com", &headers, &body)
}

fn naver(kind: &str, target: &str) -> Vec<u8> {
    const PATH: &str = "/api/v1/purge";
    let now = now().as_millis().to_string();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key of any length is taken");
    mac.update(format!("POST {PATH}\n{now}\n{TOKEN}").as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let headers = [
        ("x-ncp-apigw-timestamp", now.as_str()),
        ("x-ncp-iam-access-key", TOKEN),
        ("x-ncp-apigw-signature-v2", signature.as_str()),
    ];
    let body = format!(r#"{{"edgeId":{EDGE},"purgeType":"{kind}","purgeTarget":["{target}"]}}"#);
    post(PATH, "edge.apigw.ntruss.com", &headers, &body)
}

fn medianova(path: &str) -> Vec<u8> {
    let body = format!(r#"{{"resource_uuid":"{RESOURCE}","file_path":["{path}"]}}"#);
    let target = format!("/api/v1/cdn/{ORGANIZATION}/job/{RESOURCE}/purge");
    post(&target, "cloud.medianova.com", &[("Authorization", &format!("Bearer {TOKEN}"))], &body)
}

fn cdnetworks(list: &str, text: &str) -> Vec<u8> {
    let date = httpdate::fmt_http_date(UNIX_EPOCH + now());
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(SECRET.as_bytes()).expect("a key of any length is taken");
    mac.update(date.as_bytes());
    let password = STANDARD.encode(mac.finalize().into_bytes());
    let basic = format!("Basic {}", STANDARD.encode(format!("{TOKEN}:{password}")));
    let body = format!(r#"{{"{list}":["{text}"],"action":"delete","target":"production"}}"#);
    post("/cdn/purges", "api.cdnetworks.com", &[("Date", &date), ("Authorization", &basic)], &body)
}

fn now() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970")
}

fn post(target: &str, host: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    text.into_bytes()
}
