//! What stands between the listeners and the proxy: requests that are refused for what they are, the PURGE method, the access log, figures, and
//! the change from one configuration to the next.
//!
//! Invariants:
//!
//! 1. A request is answered under one configuration from its begin to its end.
//! 2. PURGE is answered here, with 403 to whom it is not allowed, and never reaches proxy or origin.

mod log;
mod pieces;

use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Instant;

use arc_swap::ArcSwap;
use http::header::{self, HeaderValue};
use http::uri::Authority;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use ipnet::IpNet;
use oust::Action;
use oust::purge::{Purge, Selector};
use oust::site::Sites;
use oust_tower::FromMap;

pub(crate) use self::log::{AccessLog, Logged};
use self::pieces::Pieces;

use crate::admin::{Problem, acknowledgement};
use crate::config::{Config, Server};
use crate::listen::{Answer, Figures, Peer, Refused};
use crate::proxy::{Answered, Proxy, refused};

/// Which action a PURGE means; `delete` where it is not given.
const PURGE_ACTION: &str = "purge-action";

/// What `listen` and `tls_listen` serve.
#[derive(Debug)]
pub(crate) struct Front {
    now: ArcSwap<Now>,
    pub(crate) figures: Arc<Figures>,
    pub(crate) log: AccessLog,
}

/// Under one configuration.
#[derive(Debug)]
struct Now {
    proxy: Arc<Proxy>,
    purge_from: Vec<IpNet>,
}

impl Front {
    pub(crate) fn new(proxy: Proxy, server: &Server, figures: Arc<Figures>, log: AccessLog) -> Self {
        Self { now: ArcSwap::from_pointee(Now::new(proxy, server)), figures, log }
    }

    /// Requests that come from now on are answered under this configuration. Needs a runtime. What it gives is gone once all requests of the
    /// one before have their answers' heads.
    pub(crate) fn renew(&self, config: &Config, sites: Sites) -> Weak<Proxy> {
        let before = self.now.load_full();
        let proxy = before.proxy.renewed(config, sites);
        self.now.store(Arc::new(Now::new(proxy, &config.server)));
        Arc::downgrade(&before.proxy)
    }

    /// Figures of the origins there are now.
    pub(crate) fn origins_exposition(&self) -> String {
        self.now.load().proxy.origins.exposition()
    }

    async fn reply(&self, peer: Peer, mut request: Request<Incoming>) -> Response<Answered> {
        if request.method().as_str().eq_ignore_ascii_case("PURGE") {
            // Boxed, as all that is rare: the future of an answer is moved about.
            return Box::pin(self.now.load_full().purge(peer, &request)).await;
        }
        if let Err(detail) = one_host(&mut request) {
            return refused(StatusCode::BAD_REQUEST, detail, Refused::Host);
        }
        // One count that threads share, not two.
        let proxy = self.now.load().proxy.clone();
        proxy.answer(peer, request).await
    }
}

impl Answer for Front {
    type Body = Logged;

    async fn answer(self: Arc<Self>, peer: Peer, request: Request<Incoming>) -> Response<Logged> {
        let begun = Instant::now();
        let entry = self.log.begin(peer, &request);
        let copied = peer.secure || request.version() == Version::HTTP_2;
        let mut response = self.reply(peer, request).await;
        let mapped = response.extensions_mut().remove::<FromMap>();
        if let Some(&reason) = response.extensions().get::<Refused>() {
            self.figures.refuse(reason);
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.figures.upgraded.add(1);
        }
        self.figures.answered(begun.elapsed());
        Logged::new(response, entry, mapped.map(|FromMap(hit)| Pieces::new(hit, copied)))
    }
}

impl Now {
    fn new(proxy: Proxy, server: &Server) -> Self {
        Self { proxy: Arc::new(proxy), purge_from: server.purge_method_from.clone() }
    }

    /// Takes one URL, with all its variations and variants. Whoever is not allowed learns nothing but that (H25).
    async fn purge(&self, peer: Peer, request: &Request<Incoming>) -> Response<Answered> {
        let allowed = |addr: IpAddr| self.purge_from.iter().any(|network| network.contains(&addr.to_canonical()));
        // A proxy's word never allows what its own address does not, but its clients are not the proxy.
        let client = self.proxy.stated_client(peer, request.headers());
        let spoken_for =
            client.is_none_or(|text| std::str::from_utf8(text).is_ok_and(|text| text.parse().is_ok_and(allowed)));
        if request.method().as_str() != "PURGE" || !allowed(peer.addr.ip()) || !spoken_for {
            return refused(StatusCode::FORBIDDEN, "purge", Refused::Purge);
        }
        match self.purged(peer, request).await {
            Ok(response) => response,
            Err(problem) => {
                let (status, headers, body) = problem.into_parts();
                own(status, headers, body)
            }
        }
    }

    async fn purged(&self, peer: Peer, request: &Request<Incoming>) -> Result<Response<Answered>, Problem> {
        let action = match request.headers().get(PURGE_ACTION).map(|value| value.to_str().unwrap_or_default()) {
            None | Some("delete") => Action::Delete,
            Some("invalidate") => Action::Invalidate,
            Some("soft") => Action::Soft,
            Some(_) => return Err(Problem::bad("Purge-Action: one of \"delete\", \"invalidate\", \"soft\"")),
        };
        let host = host(request).map_err(Problem::bad)?;
        let path = request.uri().path_and_query().map_or("/", |text| text.as_str());
        let url = format!("{}://{host}{path}", self.proxy.scheme(peer, request.headers()));
        let purge = Purge::batch(vec![Selector::Url(url)]).action(action).by(format!("PURGE {}", peer.addr.ip()));
        let cache = self.proxy.cache.clone();
        let record = tokio::task::spawn_blocking(move || cache.purge(&purge)).await;
        let record = record
            .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the request could not be carried out"))??;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(own(StatusCode::OK, headers, acknowledgement(&record).to_string()))
    }
}

fn own(status: StatusCode, mut headers: HeaderMap, body: String) -> Response<Answered> {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let mut response = Response::new(Answered::text(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The host of a request that names one, and no other.
fn host<B>(request: &Request<B>) -> Result<String, &'static str> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return Err("more than one Host");
    }
    let host = host.map(|host| host.to_str().map_err(|_| "Host is no host")).transpose()?;
    let text = match (request.uri().authority(), host) {
        (Some(target), Some(host)) if !target.as_str().eq_ignore_ascii_case(host) => {
            return Err("Host is not the target's");
        }
        (Some(target), _) => target.as_str(),
        (None, Some(host)) => host,
        (None, None) => return Err("no Host"),
    };
    let sound = text.parse::<Authority>().is_ok_and(|authority| !authority.host().is_empty());
    if !sound || text.contains('@') { Err("Host is no host") } else { Ok(text.to_owned()) }
}

/// Refuses targets that contradict `Host`, which recipients would resolve differently, and says for HTTP/2 what HTTP/1.1 would have.
fn one_host<B>(request: &mut Request<B>) -> Result<(), &'static str> {
    let http2 = request.version() == Version::HTTP_2;
    if request.uri().authority().is_some() && (http2 || request.headers().contains_key(header::HOST)) {
        let host = host(request)?;
        if http2 && request.method() != Method::CONNECT {
            let host = HeaderValue::from_str(&host).map_err(|_| "Host is no host")?;
            request.headers_mut().insert(header::HOST, host);
        }
    }
    if http2 {
        join_cookies(request.headers_mut());
    }
    Ok(())
}

/// HTTP/2 lets a client send its cookies one by one; to others they are one field (RFC 9113 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (cookies.next(), cookies.next()) else { return };
    let mut all = first.as_bytes().to_vec();
    for cookie in std::iter::once(second).chain(cookies) {
        all.extend_from_slice(b"; ");
        all.extend_from_slice(cookie.as_bytes());
    }
    if let Ok(all) = HeaderValue::from_bytes(&all) {
        headers.insert(header::COOKIE, all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_and_its_host_agree() {
        let of = |target: &str, hosts: &[&str]| {
            let mut request = Request::builder().uri(target);
            for host in hosts {
                request = request.header(header::HOST, *host);
            }
            one_host(&mut request.body(()).expect("a request"))
        };
        assert!(of("/p", &["h.test"]).is_ok());
        assert!(of("http://h.test/p", &["H.test"]).is_ok());
        assert!(of("http://h.test/p", &["h.test:80"]).is_err());
        assert!(of("http://h.test/p", &["other.test"]).is_err());
        assert!(of("http://h.test/p", &["h.test", "h.test"]).is_err());
    }

    #[test]
    fn cookies_become_one_field() {
        let mut headers = HeaderMap::new();
        for cookie in ["a=1", "b=2", "c=3"] {
            headers.append(header::COOKIE, HeaderValue::from_static(cookie));
        }
        join_cookies(&mut headers);
        assert_eq!(headers.get_all(header::COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
    }
}
