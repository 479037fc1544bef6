//! The life of an object step by step: a fill that others join, an invalidate, the 304 that revives it, a delete by tag.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use oust::freshness::Freshness;
use oust::{Action, Config, Fetch, Head, Key, Lookup, Purge, Selector};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = Config::new().edge_size(64 << 20).build()?;
    let key = Key::parse(b"http://example.com/img/logo.png")?;
    let request = HeaderMap::new();
    let fresh = Freshness::fresh_for(Duration::from_secs(60));

    // A miss: this request leads the fill, others for the same key would join it.
    if let Fetch::Lead(ticket) = cache.fetch(&key, &request, None) {
        let mut headers = HeaderMap::new();
        headers.insert("etag", HeaderValue::from_static("\"v1\""));
        ticket.store(Head::new(StatusCode::OK, headers), "pixels".into(), fresh.clone(), &[b"images"]);
    }
    println!("after the fill:       {:?}", kind(&cache.lookup(&key, &request)));

    // Kept, but to be validated before the next use.
    let purge = Purge::new(Selector::Pattern("http://example.com/img/**".into())).action(Action::Invalidate);
    let record = cache.purge(&purge)?;
    println!("purge {}, rules: {}", record.id, record.rules);
    let found = cache.lookup(&key, &request);
    println!("after the invalidate: {:?}", kind(&found));

    // The origin says 304: the body is good again.
    if let Lookup::MustValidate(hit, _) = found
        && let Fetch::Lead(ticket) = cache.fetch(&key, &request, Some(hit))
        && let Some(base) = ticket.base().map(|base| base.head())
    {
        ticket.not_modified(base, Some(fresh), &[b"images"]);
    }
    println!("after the 304:        {:?}", kind(&cache.lookup(&key, &request)));

    cache.purge(&Purge::new(Selector::Tag("images".into())))?;
    println!("after the delete:     {:?}", kind(&cache.lookup(&key, &request)));
    Ok(())
}

fn kind(lookup: &Lookup) -> String {
    match lookup {
        Lookup::Hit(hit) => format!("hit, {} bytes", hit.body_len()),
        Lookup::Stale(_, reason) => format!("stale ({reason})"),
        Lookup::MustValidate(_, reason) => format!("to be validated ({reason})"),
        Lookup::Miss(reason) => format!("miss ({reason})"),
        _ => "?".to_owned(),
    }
}
