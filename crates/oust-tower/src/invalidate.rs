//! What an answer to an unsafe method ends (RFC 9111 4.4, RFC 9875).

use http::header::{self, HeaderMap};
use http::request::Parts;
use http::{Method, StatusCode, Uri};
use oust::Key;

use super::key::KeyFor;
use super::options::Options;
use super::runtime::Runtime;
use super::service::Shared;

/// An unsafe request, or one whose method nobody knows.
pub(crate) struct Invalidation {
    request: Parts,
}

impl Invalidation {
    /// `None` for methods that change nothing.
    pub(crate) fn of(request: &Parts) -> Option<Self> {
        let safe = matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
            || matches!(request.method.as_str(), "PROPFIND" | "REPORT" | "SEARCH" | "QUERY");
        (!safe).then(|| Self { request: request.clone() })
    }

    /// Ends what the answer to the request says. When this is ready, no later lookup finds it.
    ///
    /// # Errors
    ///
    /// The word for it if a group could not be purged.
    pub(crate) async fn apply<K: KeyFor, R: Runtime>(
        self,
        shared: &Shared<K, R>,
        options: &Options,
        key: Option<&Key>,
        status: StatusCode,
        answer: &HeaderMap,
    ) -> Result<(), &'static str> {
        let _ = options;
        let Some(key) = key.filter(|_| status.is_success() || status.is_redirection()) else { return Ok(()) };
        shared.cache.end_url(key);
        let mut request = self.request;
        let asked = std::mem::take(&mut request.uri);
        for name in [header::LOCATION, header::CONTENT_LOCATION] {
            for value in answer.get_all(name) {
                let Some(uri) = value.to_str().ok().and_then(|text| resolve(&asked, text)) else { continue };
                request.uri = uri;
                if let Ok(named) = shared.keys.key_for(&request).map_err(drop)
                    && named.as_ref().scheme() == key.as_ref().scheme()
                    && named.as_ref().authority() == key.as_ref().authority()
                {
                    shared.cache.end_url(&named);
                }
            }
        }
        Ok(())
    }
}

/// The tags of the groups a response is in.
pub(crate) fn group_tags(_key: &Key, _headers: &HeaderMap) -> Vec<Vec<u8>> {
    Vec::new()
}

/// The URL that `reference` names beside `base` (RFC 3986 5.2); dot segments are left to the canonical form of keys.
fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next()?.trim();
    let path = base.path();
    let path_and_query = if reference.is_empty() {
        base.path_and_query()?.as_str().to_owned()
    } else if let Some(rest) = reference.strip_prefix("//") {
        return format!("{}://{rest}", base.scheme_str()?).parse().ok();
    } else if reference.starts_with('/') {
        reference.to_owned()
    } else if reference.starts_with('?') {
        format!("{path}{reference}")
    } else if has_scheme(reference) {
        return reference.parse().ok();
    } else {
        let directory = path.rfind('/').and_then(|end| path.get(..=end)).unwrap_or("/");
        format!("{directory}{reference}")
    };
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(path_and_query.parse().ok()?);
    Uri::from_parts(parts).ok()
}

fn has_scheme(reference: &str) -> bool {
    let before = reference.split(['/', '?']).next().unwrap_or_default();
    before.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    })
}
