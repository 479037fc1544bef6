//! The purge APIs beside a cache, on a port of their own: `cargo run -p oust-api --example apis [ADDRESS]`.
//!
//! ```console
//! curl -H 'Authorization: Token azion-token' -d '{"urls":["www.example.com/img/*"]}' http://127.0.0.1:8082/purge/wildcard
//! curl -u imagekit-key: -d '{"url":"https://www.example.com/a.jpg"}' http://127.0.0.1:8082/v1/files/purge
//! ```

use std::sync::Arc;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use oust_api::{Account, Api, ApiService, Azion, ImageKit};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The cache a server looks its requests up in: a clone of it is the same cache.
    let cache = oust::Config::new().build()?;

    // Who may purge what, and by which APIs. Real secrets come from where secrets are kept.
    let acme = Account {
        azion: Some(Azion { tokens: vec!["azion-token".into()], ..Azion::default() }),
        imagekit: Some(ImageKit { private_key: "imagekit-key".into(), ..ImageKit::default() }),
        ..Account::new("acme", ["www.example.com", "*.img.example.com"])
    };
    let api = Arc::new(Api::new(cache, [acme])?);
    let service = TowerToHyperService::new(ApiService::new(api));

    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8082".to_owned());
    let listener = TcpListener::bind(&address).await?;
    println!("purge APIs on http://{}", listener.local_addr()?);
    loop {
        let (connection, _) = listener.accept().await?;
        let service = service.clone();
        tokio::spawn(async move {
            if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await {
                eprintln!("a connection broke: {error}");
            }
        });
    }
}
