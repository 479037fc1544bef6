//! Requests that ask for another protocol on their connection, such as WebSocket: both connections are joined when the origin agrees.
//!
//! Nothing of it is stored or looked up, and what goes through afterwards is not looked at.

use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use oust::Key;
use oust_tower::fields;

use super::body::Body;
use super::{Answered, Proxy};
use crate::engine;
use crate::listen::Hold;

const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// What a client asks for.
#[derive(Debug)]
pub(super) struct Wanted {
    protocol: HeaderValue,
    client: OnUpgrade,
    /// Keeps the client's place while the joined connections last.
    hold: Option<Hold>,
}

impl Wanted {
    /// Takes it from a request, before fields of one connection are dropped. `None` if it asks for nothing that can be had.
    pub(super) fn take(parts: &mut Parts) -> Option<Self> {
        // Without a second connection HTTP/2 needs no words for the first, and its own upgrade (`h2c`) is between two neighbours.
        if parts.version != Version::HTTP_11 || parts.headers.contains_key(HTTP2_SETTINGS) {
            return None;
        }
        // Every protocol in use is asked for by GET. An answer to an unsafe method must end its URL (RFC 9111 4.4), which is not done here: there the
        // offer is passed over (RFC 9110 7.8).
        if parts.method != Method::GET {
            return None;
        }
        let mut protocols = parts.headers.get_all(header::UPGRADE).iter();
        let (Some(protocol), None) = (protocols.next(), protocols.next()) else { return None };
        if !asks(&parts.headers) || is_http(protocol.as_bytes()) {
            return None;
        }
        let protocol = protocol.clone();
        let client = parts.extensions.remove::<OnUpgrade>()?;
        Some(Self { protocol, client, hold: parts.extensions.remove::<Hold>() })
    }

    /// The upgrade of the request this was taken from; `site` is a key of its site.
    pub(super) fn of(
        self,
        site: Key,
        method: Method,
        path_and_query: String,
        headers: HeaderMap,
        version: Version,
    ) -> Upgrade {
        Upgrade { wanted: self, site, method, path_and_query, headers, version }
    }
}

/// A request for another protocol, on its way to an origin.
#[derive(Debug)]
pub(super) struct Upgrade {
    wanted: Wanted,
    site: Key,
    method: Method,
    path_and_query: String,
    headers: HeaderMap,
    version: Version,
}

impl Upgrade {
    /// Asks the origin, and joins the connections if it switches. Any other answer is passed on as it is.
    pub(super) async fn pass(self, proxy: &Proxy) -> Response<Answered> {
        let Self { wanted, site, method, path_and_query, mut headers, version } = self;
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, wanted.protocol);
        proxy.options.add_via(&mut headers, version);
        let answer = proxy.origins.send(&engine::target(&site), method, &path_and_query, headers, Body::Empty).await;
        let mut response = match answer {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => response,
            Ok(mut response) => {
                proxy.figures.passed.add(1);
                fields::strip_hop_by_hop(response.headers_mut());
                return proxy.options.passed_answer(response, "bypass");
            }
            Err(failure) => {
                proxy.figures.origin_errors.add(1);
                return proxy.options.own_answer(failure.status(), failure.as_str());
            }
        };
        let origin = hyper::upgrade::on(&mut response);
        let (client, hold) = (wanted.client, wanted.hold);
        drop(tokio::spawn(async move {
            let _hold = hold;
            let (Ok(client), Ok(origin)) = tokio::join!(client, origin) else { return };
            let (mut client, mut origin) = (TokioIo::new(client), TokioIo::new(origin));
            let ended = tokio::io::copy_bidirectional(&mut client, &mut origin).await;
            tracing::debug!(?ended, "joined connections ended");
        }));
        let (parts, _) = response.into_parts();
        let mut headers = parts.headers;
        let protocol = headers.remove(header::UPGRADE);
        fields::strip_hop_by_hop(&mut headers);
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(protocol) = protocol {
            headers.insert(header::UPGRADE, protocol);
        }
        let mut response = Response::new(Answered::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = headers;
        response
    }
}

/// Whether any protocol of the list is HTTP again, or TLS: behind a connection that is joined its requests would be seen by nobody here, whatever
/// else was offered beside it.
fn is_http(protocols: &[u8]) -> bool {
    protocols.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).any(|protocol| {
        let name = protocol.split(|&byte| byte == b'/').next().unwrap_or_default();
        [&b"h2c"[..], b"h2", b"h3", b"http", b"tls"].iter().any(|http| name.eq_ignore_ascii_case(http))
    })
}

/// Whether `Connection` names `upgrade`, without which the field is not meant for us (RFC 9110 7.8).
fn asks(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}
