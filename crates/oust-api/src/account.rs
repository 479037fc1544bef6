//! Who may purge what, and what each vendor's clients prove it with.
//!
//! Invariant: an account never sees or purges another's hosts or tasks, in any dialect. Secrets are compared in constant time and never shown:
//! no type here that holds one prints it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use oust::purge::Matcher;
use oust::site::Sites;
use oust::{Key, Selector};
use subtle::ConstantTimeEq;

use crate::rate::Rate;

/// An account: the hosts it may purge, and its credentials in each dialect it uses. A plain value; [`Api::new`](crate::Api::new) checks it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Its name, which purges carry into the history.
    pub name: String,
    /// Hosts it may purge: names, or `*.h` for all below `h`.
    pub hosts: Vec<String>,
    /// As a client of Azion.
    pub azion: Option<Azion>,
    /// As a client of Naver Cloud Global Edge.
    pub naver: Option<Naver>,
    /// As a client of Medianova.
    pub medianova: Option<Medianova>,
    /// As a client of CDNetworks.
    pub cdnetworks: Option<Cdnetworks>,
    /// As a client of ImageKit.
    pub imagekit: Option<ImageKit>,
    /// Whether its webhooks may call private addresses.
    pub webhook_private: bool,
}

impl Account {
    /// An account of these hosts, without credentials.
    pub fn new<S: Into<String>>(name: impl Into<String>, hosts: impl IntoIterator<Item = S>) -> Self {
        Self { name: name.into(), hosts: hosts.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("name", &self.name).field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// Credentials and rates at Azion.
#[derive(Clone, PartialEq, Eq)]
pub struct Azion {
    /// Tokens of `Authorization: Token ...`.
    pub tokens: Vec<String>,
    /// Rate of url and cachekey requests together. Default 200 in 60 s.
    pub url: Rate,
    /// Rate of wildcard requests. Default 2,000 in 24 h.
    pub wildcard: Rate,
}

impl Default for Azion {
    fn default() -> Self {
        Self { tokens: Vec::new(), url: Rate::new(200, 60), wildcard: Rate::new(2000, 24 * 3600) }
    }
}

/// Credentials at Naver.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Naver {
    /// `x-ncp-iam-access-key`.
    pub access_key: String,
    /// What requests are signed with.
    pub secret_key: String,
    /// The edge whose hosts are the account's.
    pub edge_id: u64,
}

/// Credentials at Medianova.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Medianova {
    /// UUID of the organization.
    pub organization: String,
    /// Resources: UUID to host.
    pub resources: BTreeMap<String, String>,
    /// Tokens that do not expire, as `Authorization: Bearer` or `org-token`.
    pub tokens: Vec<String>,
    /// With `api_secret`, what a token is had for.
    pub api_key: String,
    /// See `api_key`.
    pub api_secret: String,
}

/// Credentials and rate at CDNetworks.
#[derive(Clone, PartialEq, Eq)]
pub struct Cdnetworks {
    /// Account name of the Basic scheme.
    pub user: String,
    /// Its key.
    pub api_key: String,
    /// Access key of the AK/SK scheme.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
    /// Rate of purges. Default 300 in 5 minutes.
    pub rate: Rate,
}

impl Default for Cdnetworks {
    fn default() -> Self {
        Self {
            user: String::new(),
            api_key: String::new(),
            access_key: String::new(),
            secret_key: String::new(),
            rate: Rate::new(300, 300),
        }
    }
}

/// Credentials and quota at ImageKit.
#[derive(Clone, PartialEq, Eq)]
pub struct ImageKit {
    /// The private key, user name of the Basic scheme.
    pub private_key: String,
    /// Purges in 30 days. Default 1,000.
    pub monthly: u64,
    /// Whether a trailing `*` is admitted.
    pub wildcard: bool,
}

impl Default for ImageKit {
    fn default() -> Self {
        Self { private_key: String::new(), monthly: 1000, wildcard: false }
    }
}

macro_rules! secretive {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}
secretive!(Azion, Naver, Medianova, Cdnetworks, ImageKit);

/// The hosts of an account, canonical, aliases applied.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    /// Names as selectors name them: `h` or `*.h`.
    entries: Vec<String>,
}

impl Hosts {
    /// # Errors
    ///
    /// Names the entry that is no host.
    pub(crate) fn new(names: &[String], sites: &Sites) -> Result<Self, AccountError> {
        let canonical = |name: &String| {
            let (below, host) = name.strip_prefix("*.").map_or(("", name.as_str()), |host| ("*.", host));
            let host =
                canonical_host(host, sites).map_err(|reason| AccountError(format!("host '{name}': {reason}")))?;
            Ok(format!("{below}{host}"))
        };
        let hosts = Self { entries: names.iter().map(canonical).collect::<Result<_, _>>()? };
        if let Some((name, _)) = names.iter().zip(&hosts.entries).find(|(_, entry)| hosts.leads_away(entry, sites)) {
            let reason = "a name below it is an alias of a host that is not below it; list that host too";
            return Err(AccountError(format!("host '{name}': {reason}")));
        }
        Ok(hosts)
    }

    /// Whether an entry `*.h` takes hosts that are neither below `h` nor listed by name: those that names below it are aliases of.
    fn leads_away(&self, entry: &str, sites: &Sites) -> bool {
        let Ok(matcher) = Matcher::new(&Selector::Host(entry.to_owned()), sites) else { return true };
        let listed = |host: &String| {
            let key = Key::from_url(format!("http://{host}/").as_bytes());
            *host != entry
                && key.is_ok_and(|key| key.as_ref().host() == host.as_bytes() && matcher.matches(key.as_ref()))
        };
        let by_name: BTreeSet<&String> =
            self.entries.iter().filter(|host| listed(host) && !is_below(host, entry)).collect();
        // One place is the entry itself.
        matcher.cost().places > by_name.len().saturating_add(1)
    }

    /// Whether a canonical host is among them.
    pub(crate) fn contains(&self, host: &str) -> bool {
        self.entries.iter().any(|entry| entry == host || is_below(host, entry))
    }

    /// Names as selectors name them: `h`, or `*.h` for all below.
    pub(crate) fn entries(&self) -> &[String] {
        &self.entries
    }
}

/// Whether a canonical host is below `h`, given an entry `*.h`.
fn is_below(host: &str, entry: &str) -> bool {
    let parent = entry.strip_prefix("*.");
    let labels = parent.and_then(|parent| host.strip_suffix(parent));
    labels.is_some_and(|labels| labels.len() > 1 && labels.ends_with('.'))
}

/// The canonical name of a host as anybody writes it, a site's alias replaced by the site's first host.
pub(crate) fn canonical_host(host: &str, sites: &Sites) -> Result<String, String> {
    if host.contains(['/', '?', '#', '@', ':', '*']) && !host.starts_with('[') {
        return Err("a host is a name, without scheme, port or path".to_owned());
    }
    let matcher = Matcher::new(&Selector::Url(format!("http://{host}/")), sites).map_err(|error| error.to_string())?;
    let hosts = matcher.hosts().unwrap_or_default();
    hosts.first().map(|host| (*host).to_owned()).ok_or_else(|| "no host".to_owned())
}

/// Whether two secrets are the same, in time that depends on their length alone.
pub(crate) fn same_secret(given: &[u8], kept: &[u8]) -> bool {
    bool::from(given.ct_eq(kept)) && !kept.is_empty()
}

/// Why accounts are refused; the text names the account and the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountError(pub(crate) String);

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AccountError {}

/// The canonical host of a URL, as a client wrote it; used where only the host is wanted.
pub(crate) fn host_of_url(url: &str) -> Option<String> {
    let key = Key::from_url(url.as_bytes()).ok()?;
    Some(String::from_utf8_lossy(key.as_ref().host()).into_owned())
}
