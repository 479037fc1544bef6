//! Key policies: what of a request besides its URL, and how much of its query, tells keys apart.

use http::header::{COOKIE, USER_AGENT};
use http::{HeaderMap, HeaderName};

use super::SitesError;
use crate::key::canonical::{self, Part, Stray};

/// What becomes of the query in a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Query {
    /// As it is.
    #[default]
    Keep,
    /// Parameters in the order of their names; those of one name keep theirs.
    Sort,
    /// Removed, with its `?`.
    Drop,
    /// Only parameters of these names, in their order; if none is left, without the `?`.
    Allow(Vec<String>),
    /// All but parameters of these names, likewise.
    Deny(Vec<String>),
}

/// What makes a key of a request. Default: the URL as it is and no variation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct KeyPolicy {
    query: Query,
    cookies: Vec<String>,
    headers: Vec<String>,
    device: bool,
}

impl KeyPolicy {
    /// The default policy.
    pub fn new() -> Self {
        Self::default()
    }
    /// With another treatment of queries.
    pub fn query(mut self, query: Query) -> Self {
        self.query = query;
        self
    }
    /// With the values of these cookies in the variation.
    pub fn cookies<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.cookies = names.into_iter().map(Into::into).collect();
        self
    }
    /// With the values of these request header fields in the variation.
    pub fn headers<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.headers = names.into_iter().map(Into::into).collect();
        self
    }
    /// With the class of the device in the variation: `mobile`, `tablet` or `desktop`, told from `User-Agent` where there is one.
    pub fn device(mut self, yes: bool) -> Self {
        self.device = yes;
        self
    }
}

/// A policy whose names are valid; query names are canonical.
#[derive(Debug)]
pub(super) struct Checked {
    query: CheckedQuery,
    cookies: Vec<Box<[u8]>>,
    headers: Vec<HeaderName>,
    device: bool,
}

#[derive(Debug)]
enum CheckedQuery {
    Keep,
    Sort,
    Drop,
    Only { names: Vec<Vec<u8>>, listed: bool },
}

impl Checked {
    pub(super) fn new(policy: KeyPolicy) -> Result<Self, SitesError> {
        let names = |names: Vec<String>| {
            let canonical = |name: String| {
                let mut out = Vec::new();
                if name.is_empty() || name.contains(['&', '=']) {
                    return Err(SitesError(format!("'{name}' is no name of a query parameter")));
                }
                canonical::push(&mut out, name.as_bytes(), Part::Query, Stray::Encode, 0)
                    .map_err(|error| SitesError(format!("'{name}': {error}")))?;
                Ok(out)
            };
            names.into_iter().map(canonical).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            query: match policy.query {
                Query::Keep => CheckedQuery::Keep,
                Query::Sort => CheckedQuery::Sort,
                Query::Drop => CheckedQuery::Drop,
                Query::Allow(list) => CheckedQuery::Only { names: names(list)?, listed: true },
                Query::Deny(list) => CheckedQuery::Only { names: names(list)?, listed: false },
            },
            cookies: policy
                .cookies
                .into_iter()
                // A cookie's name is a token (RFC 6265 4.1.1), as a field's is, but case-sensitive.
                .map(|name| match HeaderName::from_bytes(name.as_bytes()) {
                    Ok(_) => Ok(name.into_bytes().into_boxed_slice()),
                    Err(_) => Err(SitesError(format!("'{name}' is no cookie name"))),
                })
                .collect::<Result<_, _>>()?,
            headers: policy
                .headers
                .into_iter()
                .map(|name| {
                    HeaderName::from_bytes(name.as_bytes())
                        .map_err(|_| SitesError(format!("'{name}' is no header field name")))
                })
                .collect::<Result<_, _>>()?,
            device: policy.device,
        })
    }

    pub(super) fn keeps_query(&self) -> bool {
        matches!(self.query, CheckedQuery::Keep)
    }

    /// Appends what the policy leaves of a canonical query, with its `?` unless nothing is left.
    pub(super) fn push_query(&self, out: &mut Vec<u8>, query: &[u8]) {
        fn name(parameter: &[u8]) -> &[u8] {
            parameter.split(|&b| b == b'=').next().unwrap_or_default()
        }
        let parameters = query.split(|&b| b == b'&');
        let mut kept: Vec<&[u8]> = match &self.query {
            CheckedQuery::Keep | CheckedQuery::Sort => parameters.collect(),
            CheckedQuery::Drop => return,
            CheckedQuery::Only { names, listed } => {
                let keeps = |parameter: &&[u8]| {
                    !parameter.is_empty() && names.iter().any(|own| own == name(parameter)) == *listed
                };
                let kept: Vec<&[u8]> = parameters.filter(keeps).collect();
                if kept.is_empty() {
                    return;
                }
                kept
            }
        };
        if matches!(self.query, CheckedQuery::Sort) {
            kept.sort_by(|a, b| name(a).cmp(name(b)));
        }
        for (index, parameter) in kept.into_iter().enumerate() {
            out.push(if index == 0 { b'?' } else { b'&' });
            out.extend_from_slice(parameter);
        }
    }

    /// The variation of a request: `name=value` of the policy's header fields, cookies and the device, joined by `;`; none if none is present.
    pub(super) fn variation(&self, headers: &HeaderMap) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for name in &self.headers {
            let values = headers.get_all(name).iter().map(|value| value.as_bytes().trim_ascii());
            push_values(&mut out, name.as_str().as_bytes(), values);
        }
        for name in &self.cookies {
            let pairs = headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|&b| b == b';'));
            let values = pairs.filter_map(|pair| {
                let (own, value) = pair.split_at_checked(memchr::memchr(b'=', pair)?)?;
                (own.trim_ascii() == &**name).then(|| value.get(1..).unwrap_or_default().trim_ascii())
            });
            push_values(&mut out, name, values);
        }
        if self.device
            && let Some(agent) = headers.get(USER_AGENT)
        {
            push_values(&mut out, b"device", std::iter::once(device(agent.as_bytes())));
        }
        (!out.is_empty()).then_some(out)
    }
}

/// Appends `name=value,value` after a `;` where needed; nothing if there is no value.
fn push_values<'a>(out: &mut Vec<u8>, name: &[u8], values: impl Iterator<Item = &'a [u8]>) {
    for (index, value) in values.enumerate() {
        if index > 0 {
            out.push(b',');
        } else {
            if !out.is_empty() {
                out.push(b';');
            }
            out.extend_from_slice(name);
            out.push(b'=');
        }
        for &byte in value {
            if matches!(byte, b'%' | b';' | b'@') || !(0x21..=0x7e).contains(&byte) {
                out.extend_from_slice(format!("%{byte:02X}").as_bytes());
            } else {
                out.push(byte);
            }
        }
    }
}

/// The class of a device, told from its user agent by the words browsers agree on. O(agent), one allocation.
fn device(agent: &[u8]) -> &'static [u8] {
    let agent = agent.to_ascii_lowercase();
    let has = |word: &str| memchr::memmem::find(&agent, word.as_bytes()).is_some();
    let mobile = has("mobi") || has("iphone") || has("ipod") || has("opera mini") || has("blackberry");
    // Windows desktops with a pen call themselves "Tablet PC"; Android phones say "Mobile", its tablets do not.
    let tablet =
        (has("tablet") && !has("tablet pc")) || has("ipad") || has("kindle") || has("silk/") || has("playbook");
    if tablet || (has("android") && !mobile) {
        b"tablet"
    } else if mobile {
        b"mobile"
    } else {
        b"desktop"
    }
}
