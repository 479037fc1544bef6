//! An axum app with a cache before it, and a purge.
//!
//! `cargo run -p oust-tower --example axum`, then `curl -i http://127.0.0.1:3000/product/7`, once more for a hit, and
//! `curl -X POST http://127.0.0.1:3000/product/7` for what an unsafe method ends. `-- --once` asks itself these and ends.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Request, header};
use axum::response::IntoResponse;
use axum::routing::get;
use oust::{Action, Cache, Config, Purge, Selector};
use oust_tower::CacheLayer;
use tower_service::Service;

/// Counts how often the page is really made.
static MADE: AtomicU64 = AtomicU64::new(0);

async fn product(Path(id): Path<u64>) -> impl IntoResponse {
    let made = MADE.fetch_add(1, Ordering::Relaxed) + 1;
    let fields = [
        (header::CACHE_CONTROL, "max-age=600".to_owned()),
        ("cache-tag".parse().unwrap_or(header::ETAG), format!("product-{id}")),
    ];
    (fields, format!("product {id}, made {made} times\n"))
}

async fn change(Path(id): Path<u64>) -> String {
    format!("product {id} changed\n")
}

fn app(cache: &Cache) -> Router {
    Router::new().route("/product/{id}", get(product).post(change)).layer(CacheLayer::new(cache.clone()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = Config::new().edge_size(64 << 20).build()?;
    if std::env::args().any(|arg| arg == "--once") {
        return tour(cache).await;
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app(&cache)).await?;
    Ok(())
}

async fn tour(cache: Cache) -> Result<(), Box<dyn std::error::Error>> {
    let mut app = app(&cache);
    let mut ask = async |method: &str| -> Result<String, Box<dyn std::error::Error>> {
        let request = Request::builder().method(method).uri("/product/7").header(header::HOST, "shop.test");
        let answer = app.call(request.body(Body::empty())?).await?;
        let status = answer.headers()["cache-status"].to_str()?.to_owned();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await?;
        println!("{method:4} {} <- {status}", String::from_utf8_lossy(&body).trim());
        // The fill that was read is stored by its own task.
        tokio::task::yield_now().await;
        Ok(status)
    };
    ask("GET").await?;
    ask("GET").await?;
    ask("POST").await?;
    ask("GET").await?;
    let purge = Purge::new(Selector::Tag("product-7".into())).action(Action::Delete);
    println!("purged: {:?}", cache.purge(&purge)?.id);
    let status = ask("GET").await?;
    if status.starts_with("oust; hit") {
        return Err("a hit after a purge".into());
    }
    Ok(())
}
