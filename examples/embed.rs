//! The engine in twenty lines: fill, hit, purge.
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use oust::{Config, Fetch, Head, Key, Lookup, Purge, Selector, freshness::Freshness};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = Config::new().edge_size(64 << 20).build()?;
    let (key, request) = (Key::parse(b"http://example.com/a.css")?, HeaderMap::new());
    // A miss leads the fill; who asks meanwhile joins it.
    if let Fetch::Lead(ticket) = cache.fetch(&key, &request, None) {
        let head = Head::new(StatusCode::OK, HeaderMap::new());
        ticket.store(head, "body{}".into(), Freshness::fresh_for(Duration::from_secs(60)), &[b"styles"]);
    }
    let Lookup::Hit(hit) = cache.lookup(&key, &request) else { return Err("stored, and not found".into()) };
    println!("hit, {} bytes", hit.body_len());
    let purged = cache.purge(&Purge::new(Selector::Tag("styles".into())))?;
    let Lookup::Miss(reason) = cache.lookup(&key, &request) else { return Err("purged, and found".into()) };
    println!("purge {} of {} rule, then a miss ({reason})", purged.id, purged.rules);
    Ok(())
}
