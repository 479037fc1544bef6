//! The dashboard that comes with the server asks for figures that are there.

mod common;

use std::collections::BTreeSet;

use common::{Origin, Oust};
use serde_json::Value;

fn names(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                if key == "expr" {
                    let text = value.as_str().expect("an expression");
                    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                    let metrics: Vec<_> = words.filter(|word| word.starts_with("oust_")).map(str::to_owned).collect();
                    assert!(!metrics.is_empty(), "{text} names no figure of ours");
                    found.extend(metrics);
                }
                names(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names(item, found)),
        _ => {}
    }
}

#[test]
fn every_figure_of_the_dashboard_is_in_the_exposition() {
    let text = include_str!("../../../docs/grafana.json");
    let dashboard: Value = serde_json::from_str(text).expect("JSON");
    let mut wanted = BTreeSet::new();
    names(&dashboard, &mut wanted);
    assert!(wanted.len() > 25, "{wanted:?}");
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    oust.get("/p");
    let exposition = oust.api("GET", "/metrics", "").text();
    let mut given: BTreeSet<&str> = BTreeSet::new();
    for line in exposition.lines() {
        // Families without a sample yet are announced all the same.
        let line = line.strip_prefix("# TYPE ").unwrap_or(line);
        given.extend(line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next());
    }
    for name in wanted {
        assert!(given.contains(name.as_str()), "{name} is not in /metrics");
    }
}
