//! Which variation of a URL a request has: what its site's key policy makes of the header fields.

use http::header::HOST;
use http::{HeaderMap, HeaderValue};
use oust::Key;
use oust::key::KeyError;
use oust::site::Sites;

/// The key of a request for a URL with these header fields, given the key without variation. `Host` is the URL's own unless it is among them.
///
/// # Errors
///
/// If the key is too long with its variation.
pub(crate) fn of_request(key: Key, fields: &HeaderMap, sites: &Sites) -> Result<Key, KeyError> {
    let mut fields = fields.clone();
    if let Ok(authority) = HeaderValue::from_bytes(key.as_ref().authority()) {
        fields.entry(HOST).or_insert(authority);
    }
    let host = String::from_utf8_lossy(key.as_ref().host()).into_owned();
    match sites.variation(&host, &fields) {
        Some(variation) => key.with_variation(variation.as_bytes()),
        None => Ok(key),
    }
}
