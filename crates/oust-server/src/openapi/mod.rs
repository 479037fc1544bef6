//! The description of everything that is served (OpenAPI 3.1): one document, kept as a file an API.

use std::sync::LazyLock;

use serde_json::{Map, Value};

/// Each is a document of its own but for what the first says of all: `openapi`, `info`, default `servers` and `security`.
const PARTS: [&str; 6] = [
    include_str!("admin.json"),
    include_str!("azion.json"),
    include_str!("naver.json"),
    include_str!("medianova.json"),
    include_str!("cdnetworks.json"),
    include_str!("imagekit.json"),
];

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut whole = Map::new();
    for part in PARTS {
        // The tests read them all.
        if let Ok(part) = serde_json::from_str(part) {
            merge(&mut whole, part);
        }
    }
    Value::Object(whole).to_string()
});

/// The document's text.
pub(crate) fn document() -> &'static str {
    &DOCUMENT
}

/// Adds the members of objects and arrays at every depth; of what both have otherwise, the first stays.
fn merge(whole: &mut Map<String, Value>, part: Map<String, Value>) {
    for (name, value) in part {
        match (whole.get_mut(&name), value) {
            (None, value) => drop(whole.insert(name, value)),
            (Some(Value::Object(whole)), Value::Object(part)) => merge(whole, part),
            (Some(Value::Array(whole)), Value::Array(part)) => whole.extend(part),
            (Some(_), _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of one part do not hide those of another.
    #[test]
    fn parts_are_read_and_disjoint() {
        let whole: Value = serde_json::from_str(document()).expect("a document");
        for list in ["/paths", "/components/schemas", "/components/responses", "/components/securitySchemes"] {
            let names = |document: &Value| document.pointer(list).and_then(Value::as_object).map_or(0, Map::len);
            let parts = PARTS.map(|part| serde_json::from_str::<Value>(part).expect("a part"));
            assert_eq!(names(&whole), parts.iter().map(names).sum::<usize>(), "{list}");
        }
        assert_eq!(whole.pointer("/tags").and_then(Value::as_array).map(Vec::len), Some(PARTS.len()));
    }

    /// Whatever is referred to is there.
    #[test]
    fn references_lead_somewhere() {
        fn check(whole: &Value, at: &Value, seen: &mut usize) {
            if let Some(to) = at.get("$ref").and_then(Value::as_str) {
                let pointer = to.strip_prefix('#').expect("within the document");
                assert!(whole.pointer(pointer).is_some(), "{to}");
                *seen += 1;
            }
            match at {
                Value::Object(members) => members.values().for_each(|member| check(whole, member, seen)),
                Value::Array(members) => members.iter().for_each(|member| check(whole, member, seen)),
                _ => {}
            }
        }
        let whole: Value = serde_json::from_str(document()).expect("a document");
        let mut seen = 0;
        check(&whole, &whole, &mut seen);
        assert!(seen > 100);
    }
}
