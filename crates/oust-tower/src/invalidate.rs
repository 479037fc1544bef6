//! What an answer to an unsafe method ends (RFC 9111 4.4, RFC 9875), and the groups that can be ended so.

use http::header::HeaderMap;
use http::request::Parts;
use http::{Method, StatusCode};
use oust::freshness::{groups, invalidation};
use oust::{Action, Key, Purge, Selector};

use super::key::{KeyFor, parts_of};
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
        may_change(&request.method).then(|| Self { request: request.clone() })
    }

    /// Ends the request's own URL, since it may have been carried out.
    pub(crate) fn in_doubt<K, R>(self, shared: &Shared<K, R>, key: Option<&Key>) {
        if let Some(key) = key {
            shared.cache.end_url(key);
        }
    }

    /// Ends what the answer to the request says. When this is ready, no later lookup finds it, and no fill in flight stores it.
    ///
    /// # Errors
    ///
    /// The word for it if the groups could not be purged.
    pub(crate) async fn apply<K: KeyFor, R: Runtime>(
        self,
        shared: &Shared<K, R>,
        options: &Options,
        key: Option<&Key>,
        status: StatusCode,
        answer: &HeaderMap,
    ) -> Result<(), &'static str> {
        let mut request = self.request;
        let Some(key) = key.filter(|_| invalidation::invalidates(&request.method, status)) else { return Ok(()) };
        shared.cache.end_url(key);
        let (scheme, authority, path_and_query) = parts_of(key);
        let target = format!("{scheme}://{authority}{path_and_query}");
        for url in invalidation::targets(&target, answer).into_iter().skip(1) {
            let Ok(uri) = url.parse() else { continue };
            request.uri = uri;
            if let Ok(named) = shared.keys.key_for(&request) {
                shared.cache.end_url(&named);
            }
        }
        let named = if options.groups { groups::invalidated(answer) } else { Vec::new() };
        if named.is_empty() {
            return Ok(());
        }
        let origin = origin(key);
        let selectors: Vec<Selector> = named.iter().map(|group| Selector::Tag(groups::tag(&origin, group))).collect();
        let cache = shared.cache.clone();
        // A purge may wait for a disk.
        let purge = Purge::batch(selectors).action(Action::Invalidate).by("cache-groups");
        let purged = shared.runtime.blocking(move || cache.purge(&purge).map(drop));
        match purged.await {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => Err("group-purge-failed"),
        }
    }
}

/// The tags of the groups a response to a request for `key` is in.
pub(crate) fn group_tags(key: &Key, response: &HeaderMap) -> Vec<Vec<u8>> {
    let groups = groups::groups(response);
    if groups.is_empty() {
        return Vec::new();
    }
    let origin = origin(key);
    groups.iter().map(|group| groups::tag(&origin, group).into_bytes()).collect()
}

/// Whether some answer to this method would end something.
fn may_change(method: &Method) -> bool {
    invalidation::invalidates(method, StatusCode::OK)
}

fn origin(key: &Key) -> String {
    let (scheme, authority, _) = parts_of(key);
    format!("{scheme}://{authority}")
}
