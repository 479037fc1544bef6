//! The tour: what is asked, purged and expected.

use serde_json::{Value, json};

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Get {
    pub(super) host: &'static str,
    pub(super) path: &'static str,
    /// A request field that matters here.
    pub(super) with: Option<(&'static str, &'static str)>,
}

/// A purge between warm objects: what it takes and what it must leave alone.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) shown: &'static str,
    pub(super) selector: Value,
    pub(super) takes: Vec<Get>,
    pub(super) leaves: Vec<Get>,
}

pub(super) fn shop(path: &'static str) -> Get {
    Get { host: "shop.example", path, with: None }
}

pub(super) fn with(path: &'static str, name: &'static str, value: &'static str) -> Get {
    Get { with: Some((name, value)), ..shop(path) }
}

pub(super) fn other(path: &'static str) -> Get {
    Get { host: "other.example", path, with: None }
}

/// Every kind of selector, each with the neighbours that are most easily confused with what it takes.
pub(super) fn stops() -> Vec<Stop> {
    vec![
        Stop {
            shown: "url      http://shop.example/a",
            selector: json!({ "url": "http://shop.example/a" }),
            takes: vec![shop("/a"), with("/a", "cookie", "currency=EUR")],
            leaves: vec![shop("/a/"), shop("/ab"), shop("/A"), shop("/a?v=1"), other("/a")],
        },
        Stop {
            shown: "key      http://shop.example/k@@currency=EUR",
            selector: json!({ "key": "http://shop.example/k@@currency=EUR" }),
            takes: vec![with("/k", "cookie", "currency=EUR")],
            leaves: vec![shop("/k"), with("/k", "cookie", "currency=USD")],
        },
        Stop {
            shown: "variant  http://shop.example/encoded/v for gzip",
            selector: json!({ "variant": {
                "key": "http://shop.example/encoded/v", "headers": { "Accept-Encoding": "gzip" } } }),
            takes: vec![with("/encoded/v", "accept-encoding", "gzip")],
            leaves: vec![with("/encoded/v", "accept-encoding", "br"), shop("/encoded/v")],
        },
        Stop {
            shown: "pattern  http://shop.example/img/*.jpg",
            selector: json!({ "pattern": "http://shop.example/img/*.jpg" }),
            takes: vec![shop("/img/a.jpg"), shop("/img/a.jpg?w=80")],
            leaves: vec![shop("/img/sub/a.jpg"), shop("/img/a.jpg.txt"), shop("/img/a.JPG"), shop("/img/a.png")],
        },
        Stop {
            shown: "pattern  http://shop.example/d/**",
            selector: json!({ "pattern": "http://shop.example/d/**" }),
            takes: vec![shop("/d/"), shop("/d/x"), shop("/d/e/f/g?h=1")],
            leaves: vec![shop("/d"), shop("/dd/x"), other("/d/x")],
        },
        Stop {
            shown: "glob     http://shop.example/g*=2",
            selector: json!({ "glob": "http://shop.example/g*=2" }),
            takes: vec![shop("/g/x/y?p=2"), shop("/gg?=2")],
            leaves: vec![shop("/g/x/y?p=1"), shop("/f/g?p=2")],
        },
        Stop {
            shown: "regex    http://shop.example/r/[0-9]+$",
            selector: json!({ "regex": "http://shop.example/r/[0-9]+$" }),
            takes: vec![shop("/r/7"), shop("/r/1234")],
            leaves: vec![shop("/r/7a"), shop("/r/"), shop("/r/7?x")],
        },
        Stop {
            shown: "tag      product-7",
            selector: json!({ "tag": "product-7" }),
            takes: vec![shop("/tagged/product-7/sale"), shop("/tagged/home/product-7"), other("/tagged/product-7")],
            leaves: vec![shop("/tagged/product-77"), shop("/tagged/sale"), shop("/tagged/Product-7")],
        },
        Stop {
            shown: "host     other.example",
            selector: json!({ "host": "other.example" }),
            takes: vec![other("/"), other("/x/y")],
            leaves: vec![shop("/"), shop("/x/y")],
        },
        Stop {
            shown: "all",
            selector: json!({ "all": true }),
            takes: vec![other("/"), shop("/"), with("/k", "cookie", "currency=USD")],
            leaves: vec![],
        },
    ]
}
