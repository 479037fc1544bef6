//! Requests that each vendor accepts, and what they prove themselves with.

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use oust_api::{Account, Azion, Cdnetworks, ImageKit, Medianova, Naver, Rate};
use sha2::{Digest, Sha256};

/// What a request proves itself with.
#[derive(Debug, Clone, Copy)]
pub enum Proof {
    Nothing,
    Field(&'static str, &'static str),
    Naver,
    /// Of CDNetworks: the date is signed.
    Date,
    /// Of CDNetworks: the request is signed.
    Whole,
}

const TOKEN: Proof = Proof::Field("authorization", "Token 583f8a9ca8d6");
const BEARER: Proof = Proof::Field("authorization", "Bearer fixed-token");
const BASIC: Proof = Proof::Field("authorization", "Basic cHJpdmF0ZV9hYmM6");

/// Proof, target and body; no body is a GET. `{id}` is an id of an earlier answer.
pub const ACCEPTED: [(Proof, &str, &str); 23] = [
    (TOKEN, "/purge/url", r#"{"urls":["www.example.com/a","https://www.example.com/b?c=*"],"method":"delete"}"#),
    (TOKEN, "/purge/cachekey", r#"{"urls":["httpswww.example.com/a@@v=1"],"method":"delete","layer":"edge_caching"}"#),
    (TOKEN, "/purge/wildcard", r#"{"urls":["http://www.example.com/*a*@@*"],"method":"delete"}"#),
    (TOKEN, "/v4/workspace/purge/url", r#"{"items":["http://www.example.com/a"],"layer":"cache"}"#),
    (TOKEN, "/v4/edge/purge/wildcard", r#"{"items":["www.example.com/a*"],"layer":"edge_cache"}"#),
    (Proof::Naver, "/api/v1/purge", r#"{"edgeId":11197,"purgeType":"ALL"}"#),
    (Proof::Naver, "/api/v1/purge", r#"{"edgeId":11197,"purgeType":"DIRECTORY","purgeTarget":["/a/*"]}"#),
    (Proof::Naver, "/api/v1/purge", r#"{"edgeId":11197,"purgeType":"PATTERN","purgeTarget":["/a/*.png"]}"#),
    (Proof::Naver, "/api/v1/purge", r#"{"edgeId":11197,"purgeType":"URL","purgeTarget":["/a?b=c","/a"]}"#),
    (Proof::Naver, "/api/v1/purge/{id}?responseFormatType=json&regionCode=KR", ""),
    (Proof::Nothing, "/api/v1/auth/login/token", r#"{"api_key":"key","api_secret":"secret"}"#),
    (BEARER, "/api/v1/cdn/o/job/r/purge", r#"{"resource_uuid":"r","file_path":["/a","/a*","/*/b.jpg"]}"#),
    (BEARER, "/api/v1/cdn/o/job/r/purge?page=1&limit=10&opID={id}", ""),
    (
        Proof::Date,
        "/cdn/purges",
        r#"{"fileUrls":["http://www.example.com/a"],"fileHeaders":[{"name":"accept-encoding","value":"gzip"}],"action":"delete","target":"production"}"#,
    ),
    (Proof::Whole, "/cdn/purges", r#"{"dirUrls":["https://www.example.com/a/*"],"target":"production"}"#),
    (
        Proof::Whole,
        "/cdn/purges",
        r#"{"regexPatterns":["any://www.example.com/a.*\\.(jpg|png)"],"target":"production"}"#,
    ),
    (Proof::Date, "/cdn/webhooks", r#"{"name":"n","url":"http://hooks.example/","description":"d"}"#),
    (Proof::Date, "/cdn/purges?limit=10&offset=0&sortBy=submissionTime&sortOrder=desc", ""),
    (Proof::Whole, "/cdn/purges/{id}", ""),
    (Proof::Whole, "/cdn/purges/purgeTokens?target=production", ""),
    (BASIC, "/v1/files/purge", r#"{"url":"https://www.example.com/a.jpg?tr=w-1"}"#),
    (BASIC, "/v1/files/purge", r#"{"url":"https://www.example.com/one/two/a*"}"#),
    (BASIC, "/v1/files/purge/{id}", ""),
];

/// Adds the fields that prove who sent a request of this method, target and body, after all other fields.
pub fn prove(proof: Proof, method: &str, target: &str, body: &[u8], now_ms: u64, fields: &mut Vec<(String, Vec<u8>)>) {
    let mut add = |name: &str, value: String| fields.push((name.to_owned(), value.into_bytes()));
    match proof {
        Proof::Nothing => {}
        Proof::Field(name, value) => add(name, value.to_owned()),
        Proof::Naver => {
            let signature = hmac_sha256("SK", format!("{method} {target}\n{now_ms}\nAK").as_bytes());
            add("x-ncp-apigw-timestamp", now_ms.to_string());
            add("x-ncp-iam-access-key", "AK".to_owned());
            add("x-ncp-apigw-signature-v2", STANDARD.encode(signature));
        }
        Proof::Date => {
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(now_ms));
            let mut mac = Hmac::<sha1::Sha1>::new_from_slice(b"cdn-key").unwrap_or_else(|error| panic!("{error}"));
            mac.update(date.as_bytes());
            let password = STANDARD.encode(mac.finalize().into_bytes());
            add("date", date);
            add("authorization", format!("Basic {}", STANDARD.encode(format!("user:{password}"))));
        }
        Proof::Whole => {
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let body = if method == "GET" { &[] } else { body };
            let query = if method == "POST" { String::new() } else { decoded(query) };
            let signed = "content-type:application/json\nhost:api.cdnetworks.com\n";
            let whole =
                format!("{method}\n{path}\n{query}\n{signed}\ncontent-type;host\n{}", hex(&Sha256::digest(body)));
            let seconds = now_ms / 1000;
            let covered = format!("CNC-HMAC-SHA256\n{seconds}\n{}", hex(&Sha256::digest(whole)));
            let signature = hex(&hmac_sha256("cdn-sk", covered.as_bytes()));
            add("host", "api.cdnetworks.com".to_owned());
            add("x-cnc-accesskey", "cdn-ak".to_owned());
            add("x-cnc-timestamp", seconds.to_string());
            add("x-cnc-auth-method", "AKSK".to_owned());
            let credential = "Credential=cdn-ak, SignedHeaders=content-type;host";
            add("authorization", format!("CNC-HMAC-SHA256 {credential}, Signature={signature}"));
        }
    }
}

fn hmac_sha256(key: &str, text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decoded(query: &str) -> String {
    let mut out = Vec::new();
    let mut rest = query.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let digits = behind.get(..2).filter(|two| byte == b'%' && two.iter().all(u8::is_ascii_hexdigit));
        let value = digits.and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        out.push(value.unwrap_or(byte));
        rest = if value.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The account that proves itself so, and another.
pub fn accounts() -> [Account; 2] {
    let often = Rate::new(1 << 40, 60);
    let resources = |host: &str| [("r".to_owned(), host.to_owned())].into();
    let acme = Account {
        azion: Some(Azion { tokens: vec!["583f8a9ca8d6".into()], url: often, wildcard: often }),
        naver: Some(Naver { access_key: "AK".into(), secret_key: "SK".into(), edge_id: 11197 }),
        medianova: Some(Medianova {
            organization: "o".into(),
            resources: resources("www.example.com"),
            tokens: vec!["fixed-token".into()],
            api_key: "key".into(),
            api_secret: "secret".into(),
        }),
        cdnetworks: Some(Cdnetworks {
            user: "user".into(),
            api_key: "cdn-key".into(),
            access_key: "cdn-ak".into(),
            secret_key: "cdn-sk".into(),
            rate: often,
        }),
        imagekit: Some(ImageKit { private_key: "private_abc".into(), monthly: 1 << 40, wildcard: true }),
        ..Account::new("acme", ["www.example.com", "img.example.com"])
    };
    let other = Account {
        naver: Some(Naver { access_key: "OTHER".into(), secret_key: "OTHER".into(), edge_id: 2 }),
        medianova: Some(Medianova {
            organization: "p".into(),
            resources: resources("other.example"),
            ..Medianova::default()
        }),
        ..Account::new("other", ["other.example", "*.example.com"])
    };
    [acme, other]
}
