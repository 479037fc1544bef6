//! The tour's second part: purges through the APIs of five CDNs, as their clients send them.

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::sign::{self, Asked, Fields};
use super::tour::{Get, other, shop, with};

const AZION: &str = "583f8a9ca8d6d5ff2cb50f1d3c4d35cb8939f1bf";
const NAVER: (&str, &str, u64) = ("demo-access-key", "demo-secret-key", 11197);
const MEDIANOVA: (&str, &str, &str) =
    ("550e8400-e29b-41d4-a716-446655440000", "660f9511-f30c-52e5-b827-557766551111", "demo-org-token");
const CDNETWORKS: (&str, &str) = ("demo-ak", "demo-sk");
const IMAGEKIT: &str = "private_demo";

/// Whose API a purge goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vendor {
    Azion,
    Naver,
    Medianova,
    Cdnetworks,
    ImageKit,
}

/// A purge by a vendor's client: what it takes, what it must leave alone, and where its state is to be read.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) shown: &'static str,
    pub(super) vendor: Vendor,
    pub(super) target: String,
    pub(super) body: Value,
    pub(super) status: StatusCode,
    pub(super) takes: Vec<Get>,
    pub(super) leaves: Vec<Get>,
    /// What to ask after then, if the vendor tells.
    pub(super) follow: Option<fn(&HeaderMap, &Value) -> Option<Follow>>,
}

/// A question after the state of a purge, and the answer that says it is done.
#[derive(Debug)]
pub(super) struct Follow {
    pub(super) target: String,
    /// Where in the answer (RFC 6901).
    pub(super) member: &'static str,
    pub(super) done: Value,
}

impl Vendor {
    /// The header fields of a request of the account's.
    pub(super) fn fields(self, asked: Asked<'_>) -> Fields {
        match self {
            Self::Azion => {
                vec![("authorization", format!("Token {AZION}")), ("accept", "application/json; version=3".to_owned())]
            }
            Self::Naver => sign::naver(asked, NAVER.0, NAVER.1),
            Self::Medianova => vec![("authorization", format!("Bearer {}", MEDIANOVA.2))],
            Self::Cdnetworks => sign::cdnetworks(asked, CDNETWORKS.0, CDNETWORKS.1),
            Self::ImageKit => sign::basic(IMAGEKIT),
        }
    }
}

/// The account: it may purge `shop.example`, and nothing else.
pub(super) fn account() -> oust_api::Account {
    oust_api::Account {
        azion: Some(oust_api::Azion { tokens: vec![AZION.to_owned()], ..oust_api::Azion::default() }),
        naver: Some(oust_api::Naver {
            access_key: NAVER.0.to_owned(),
            secret_key: NAVER.1.to_owned(),
            edge_id: NAVER.2,
        }),
        medianova: Some(oust_api::Medianova {
            organization: MEDIANOVA.0.to_owned(),
            resources: [(MEDIANOVA.1.to_owned(), "shop.example".to_owned())].into(),
            tokens: vec![MEDIANOVA.2.to_owned()],
            ..oust_api::Medianova::default()
        }),
        cdnetworks: Some(oust_api::Cdnetworks {
            access_key: CDNETWORKS.0.to_owned(),
            secret_key: CDNETWORKS.1.to_owned(),
            ..oust_api::Cdnetworks::default()
        }),
        imagekit: Some(oust_api::ImageKit { private_key: IMAGEKIT.to_owned(), ..oust_api::ImageKit::default() }),
        ..oust_api::Account::new("demo", ["shop.example"])
    }
}

/// A purge by each vendor's client, and one of a host that is not the account's.
pub(super) fn steps() -> Vec<Step> {
    let (organization, resource, _) = MEDIANOVA;
    vec![
        Step {
            shown: "Azion       wildcard   /az/*.css",
            vendor: Vendor::Azion,
            target: "/purge/wildcard".to_owned(),
            body: json!({ "urls": ["http://shop.example/az/*.css"], "method": "delete" }),
            status: StatusCode::CREATED,
            takes: vec![shop("/az/a.css"), shop("/az/sub/b.css"), with("/az/a.css", "cookie", "currency=EUR")],
            leaves: vec![shop("/az/a.js"), shop("/az/a.css?v=1"), other("/az/a.css")],
            follow: None,
        },
        Step {
            shown: "Naver       PATTERN    /nv/*.png",
            vendor: Vendor::Naver,
            target: "/api/v1/purge".to_owned(),
            body: json!({ "edgeId": NAVER.2, "purgeType": "PATTERN", "purgeTarget": ["/nv/*.png"] }),
            status: StatusCode::OK,
            takes: vec![shop("/nv/a.png"), shop("/nv/sub/b.png")],
            leaves: vec![shop("/nv/a.jpg"), shop("/nv.png"), other("/nv/a.png")],
            follow: Some(|_, answer| {
                let id = answer.pointer("/result/0")?;
                Some(Follow { target: format!("/api/v1/purge/{id}"), member: "/result/status", done: json!("SUCCESS") })
            }),
        },
        Step {
            shown: "Medianova   file_path  /mn/img/*",
            vendor: Vendor::Medianova,
            target: format!("/api/v1/cdn/{organization}/job/{resource}/purge"),
            body: json!({ "resource_uuid": resource, "file_path": ["/mn/img/*"] }),
            status: StatusCode::OK,
            takes: vec![shop("/mn/img/a.jpg"), shop("/mn/img/sub/b.jpg")],
            leaves: vec![shop("/mn/img"), shop("/mn/images/a.jpg"), other("/mn/img/a.jpg")],
            follow: Some(|_, answer| {
                let (organization, resource, _) = MEDIANOVA;
                let id = answer.pointer("/opID")?.as_str()?;
                let target = format!("/api/v1/cdn/{organization}/job/{resource}/purge?page=1&limit=10&opID={id}");
                Some(Follow { target, member: "/data/requests/0/status", done: json!(1) })
            }),
        },
        Step {
            shown: "CDNetworks  dirUrls    /cn/*",
            vendor: Vendor::Cdnetworks,
            target: "/cdn/purges".to_owned(),
            body: json!({ "dirUrls": ["http://shop.example/cn/*"], "target": "production" }),
            status: StatusCode::CREATED,
            takes: vec![shop("/cn/a.jpg"), shop("/cn/b"), with("/cn/b", "cookie", "currency=EUR")],
            leaves: vec![shop("/cn/sub/a.jpg"), shop("/cn"), other("/cn/a.jpg")],
            follow: Some(|headers, _| {
                let location = headers.get("location")?.to_str().ok()?;
                let target = location.get(location.find("/cdn/purges/")?..)?.to_owned();
                Some(Follow { target, member: "/status", done: json!("finished") })
            }),
        },
        Step {
            shown: "ImageKit    url        /ik/a.jpg",
            vendor: Vendor::ImageKit,
            target: "/v1/files/purge".to_owned(),
            body: json!({ "url": "http://shop.example/ik/a.jpg" }),
            status: StatusCode::CREATED,
            takes: vec![shop("/ik/a.jpg")],
            leaves: vec![shop("/ik/a.jpg?tr=w-80"), shop("/ik/b.jpg"), other("/ik/a.jpg")],
            follow: Some(|_, answer| {
                let id = answer.pointer("/requestId")?.as_str()?;
                Some(Follow { target: format!("/v1/files/purge/{id}"), member: "/status", done: json!("Completed") })
            }),
        },
        Step {
            shown: "Azion       of a host that is another's",
            vendor: Vendor::Azion,
            target: "/purge/wildcard".to_owned(),
            body: json!({ "urls": ["http://other.example/*"], "method": "delete" }),
            status: StatusCode::FORBIDDEN,
            takes: vec![],
            leaves: vec![other("/az/a.css"), other("/")],
            follow: None,
        },
    ]
}
