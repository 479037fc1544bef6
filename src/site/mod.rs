//! Sites: which hosts there are, and how requests for them become keys.
//!
//! A site's aliases, merged schemes and key policy are applied to the keys of requests ([`Sites::key`]) and, by the same functions, to the
//! selectors of purges: a purge of any name of a page reaches the key it is stored under.

mod policy;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use http::HeaderMap;

pub use policy::{KeyPolicy, Query};

use crate::key::canonical::{self, Scheme};
use crate::key::{Key, KeyError, KeyErrorKind, Layout, MAX_KEY};
use crate::purge::Selector;

/// Where a site is deployed. A host is in exactly one site, hence in one environment; a purge of one never touches the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Environment {
    /// Seen by visitors.
    #[default]
    Production,
    /// For trials.
    Staging,
}

/// One site: hosts with a common policy. A plain value; [`Sites::new`] checks it.
#[derive(Debug, Clone, Default)]
#[must_use = "it does nothing before `Sites::new` gets it"]
pub struct Site {
    hosts: Vec<String>,
    aliases: Vec<String>,
    environment: Environment,
    merge_schemes: bool,
    policy: KeyPolicy,
}

impl Site {
    /// A site of these hosts, without ports; `*` is every host of no other site.
    pub fn new<S: Into<String>>(hosts: impl IntoIterator<Item = S>) -> Self {
        Self { hosts: hosts.into_iter().map(Into::into).collect(), ..Self::default() }
    }
    /// With aliases: keys and selectors of these become those of the first host. Default: none.
    pub fn aliases<S: Into<String>>(mut self, aliases: impl IntoIterator<Item = S>) -> Self {
        self.aliases = aliases.into_iter().map(Into::into).collect();
        self
    }
    /// With another environment. Default: production.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }
    /// Whether http and https share keys, which then are those of http. Default: no.
    pub fn merge_schemes(mut self, yes: bool) -> Self {
        self.merge_schemes = yes;
        self
    }
    /// With a key policy. Default: the URL as it is, no variation.
    pub fn policy(mut self, policy: KeyPolicy) -> Self {
        self.policy = policy;
        self
    }
}

/// A site as it was checked.
#[derive(Debug)]
struct Checked {
    first: Box<[u8]>,
    environment: Environment,
    merge_schemes: bool,
    policy: policy::Checked,
}

/// The sites of a configuration, looked up by host. Cheap to clone.
///
/// Without any site every host is accepted and keys are the URLs as they are.
///
/// ```
/// use oust::site::{KeyPolicy, Query, Site, Sites};
/// let site = Site::new(["www.example.com"]).aliases(["example.com"]).policy(KeyPolicy::new().query(Query::Sort).device(true));
/// let sites = Sites::new([site])?;
/// let mut request = http::HeaderMap::new();
/// request.insert("user-agent", "Mozilla/5.0 (iPhone) Mobile/15E148".parse()?);
/// let key = sites.key(b"http", b"example.com", b"/?b&a", &request)?;
/// assert_eq!(key.to_string(), "http://www.example.com/?a&b@@device=mobile");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Sites {
    table: Option<Arc<Table>>,
}

#[derive(Debug)]
struct Table {
    sites: Vec<Checked>,
    /// Canonical name to site, and whether it is an alias there.
    names: HashMap<Box<[u8]>, (usize, bool)>,
    catch_all: Option<usize>,
}

impl Table {
    /// The site of a host with its index, and whether the host is an alias there.
    fn find(&self, host: &[u8]) -> Option<(usize, &Checked, bool)> {
        let (index, alias) = self.names.get(host).copied().or_else(|| Some((self.catch_all?, false)))?;
        Some((index, self.sites.get(index)?, alias))
    }
}

/// Where keys of a canonical origin really are.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) scheme: Scheme,
    pub(crate) host: Vec<u8>,
    /// None for the scheme's own.
    pub(crate) port: Option<u16>,
    policy: Option<&'a policy::Checked>,
}

impl Place<'_> {
    /// Appends `scheme://host[:port]`; returns where the host begins and ends.
    pub(crate) fn push(&self, out: &mut Vec<u8>) -> (usize, usize) {
        out.extend_from_slice(self.scheme.prefix());
        let host = out.len();
        out.extend_from_slice(&self.host);
        let host_end = out.len();
        canonical::push_port(out, self.port, self.scheme);
        (host, host_end)
    }

    /// Whether the key policy leaves queries as they are.
    pub(crate) fn keeps_query(&self) -> bool {
        self.policy.is_none_or(policy::Checked::keeps_query)
    }
}

impl Sites {
    /// Checks sites and makes them searchable.
    ///
    /// # Errors
    ///
    /// If a site has no host, a name is not one or has a port, a host is in two places, two sites are the catch-all, an alias has no first
    /// host to become, or a policy names what is no field or cookie name. The error names it.
    pub fn new(sites: impl IntoIterator<Item = Site>) -> Result<Self, SitesError> {
        let mut table = Table { sites: Vec::new(), names: HashMap::new(), catch_all: None };
        for site in sites {
            let index = table.sites.len();
            let mut first: Option<Box<[u8]>> = None;
            let names =
                site.hosts.iter().map(|host| (host, false)).chain(site.aliases.iter().map(|alias| (alias, true)));
            for (text, alias) in names {
                if text == "*" {
                    if alias || table.catch_all.replace(index).is_some() {
                        return Err(SitesError(if alias {
                            "'*' cannot be an alias".to_owned()
                        } else {
                            "'*' is the host of two sites".to_owned()
                        }));
                    }
                    first.get_or_insert_with(|| Box::from(&b"*"[..]));
                    continue;
                }
                let mut name = Vec::new();
                canonical::push_host(&mut name, text.as_bytes(), 0)
                    .map_err(|error| SitesError(format!("'{text}': {error}")))?;
                let name = name.into_boxed_slice();
                first.get_or_insert_with(|| name.clone());
                if alias && first.as_deref() == Some(b"*") {
                    return Err(SitesError(format!(
                        "the alias '{text}' has no first host to become: the site's is '*'"
                    )));
                }
                if table.names.insert(name, (index, alias)).is_some() {
                    return Err(SitesError(format!("the host '{text}' is named twice; a host is in exactly one site")));
                }
            }
            let Some(first) = first.filter(|_| !site.hosts.is_empty()) else {
                return Err(SitesError("a site without hosts".to_owned()));
            };
            table.sites.push(Checked {
                first,
                environment: site.environment,
                merge_schemes: site.merge_schemes,
                policy: policy::Checked::new(site.policy)?,
            });
        }
        Ok(Self { table: if table.sites.is_empty() { None } else { Some(Arc::new(table)) } })
    }

    /// The key of a request.
    ///
    /// `authority` is the request's own (`:authority` or `Host`), `scheme` the one it came by, `path_and_query` its target in origin form. One
    /// allocation where the site has no policy; two or three and O(header fields the policy names) otherwise.
    ///
    /// # Errors
    ///
    /// [`RequestError::is_unknown_host`] if no site has the host (421), else the request is malformed (400).
    pub fn key(
        &self,
        scheme: &[u8],
        authority: &[u8],
        path_and_query: &[u8],
        headers: &HeaderMap,
    ) -> Result<Key, RequestError> {
        self.key_and_site(scheme, authority, path_and_query, headers).map(|(key, _)| key)
    }

    /// As [`key`](Self::key), with the index of the request's site in the list these were made from; 0 where there are no sites.
    ///
    /// # Errors
    ///
    /// As [`key`](Self::key).
    pub fn key_and_site(
        &self,
        scheme: &[u8],
        authority: &[u8],
        path_and_query: &[u8],
        headers: &HeaderMap,
    ) -> Result<(Key, usize), RequestError> {
        let key = Key::from_parts(scheme, authority, path_and_query)?;
        let Some(table) = &self.table else { return Ok((key, 0)) };
        let Some((index, site, alias)) = table.find(key.as_ref().host()) else {
            return Err(RequestError(RequestErrorKind::UnknownHost));
        };
        let key = Self::rewrite_in(key, site, alias)?;
        match site.policy.variation(headers) {
            None => Ok((key, index)),
            Some(variation) => Ok((key.with_variation(&variation)?, index)),
        }
    }

    /// The environment a host is deployed in; `None` if no site has it. `host` is a name as a client writes it, without port.
    pub fn environment(&self, host: &str) -> Option<Environment> {
        let Some(table) = &self.table else { return Some(Environment::default()) };
        let mut name = Vec::new();
        canonical::push_host(&mut name, host.as_bytes(), 0).ok()?;
        table.find(&name).map(|(_, site, _)| site.environment)
    }

    /// What of each name decides how its requests become keys, as text, in order of names; `*` is every other host. Two sites with equal texts of a
    /// name give its requests the same keys.
    pub(crate) fn rules_of_names(&self) -> BTreeMap<String, String> {
        let describe = |site: &Checked, alias: bool| {
            let first = if alias { String::from_utf8_lossy(&site.first) } else { "".into() };
            format!("{first} {} {:?} {:?}", site.merge_schemes, site.environment, site.policy)
        };
        let Some(table) = &self.table else {
            let plain = policy::Checked::new(KeyPolicy::new()).map(|policy| Checked {
                first: Box::default(),
                environment: Environment::default(),
                merge_schemes: false,
                policy,
            });
            return plain.iter().map(|site| ("*".to_owned(), describe(site, false))).collect();
        };
        let of = |site: usize, alias| table.sites.get(site).map(|site| describe(site, alias)).unwrap_or_default();
        let named = table.names.iter().map(|(name, &(site, alias))| (lossy(name), of(site, alias)));
        let others = table.catch_all.map(|site| ("*".to_owned(), of(site, false)));
        named.chain(others).collect()
    }

    /// The variation a request with these fields has at a host by its site's policy, as text; `None` if it has none.
    pub fn variation(&self, host: &str, headers: &HeaderMap) -> Option<String> {
        let mut name = Vec::new();
        canonical::push_host(&mut name, host.as_bytes(), 0).ok()?;
        let variation = self.table.as_ref()?.find(&name)?.1.policy.variation(headers)?;
        String::from_utf8(variation).ok()
    }

    /// The key under which a URL's objects are: alias, merged schemes and query policy applied, the variation as it is.
    pub(crate) fn rewrite(&self, key: Key) -> Result<Key, KeyError> {
        match self.table.as_ref().and_then(|table| table.find(key.as_ref().host())) {
            Some((_, site, alias)) => Self::rewrite_in(key, site, alias),
            None => Ok(key),
        }
    }

    fn rewrite_in(key: Key, site: &Checked, alias: bool) -> Result<Key, KeyError> {
        let from = key.as_ref();
        let query = from.query().filter(|_| !site.policy.keeps_query());
        if !alias && query.is_none() && !(site.merge_schemes && from.scheme() == b"https") {
            return Ok(key);
        }
        let scheme = if from.scheme() == b"https" { Scheme::Https } else { Scheme::Http };
        let port = Some(from.port()).filter(|&port| port != scheme.default_port());
        let place = Self::place_in(scheme, from.host(), port, Some((site, alias)));
        let mut text = Vec::with_capacity(from.text().len().saturating_add(site.first.len()));
        let (host, host_end) = place.push(&mut text);
        let path = text.len();
        text.extend_from_slice(from.path());
        let path_end = text.len();
        match (from.query(), query) {
            (Some(query), Some(_)) => site.policy.push_query(&mut text, query),
            (Some(query), None) => {
                text.push(b'?');
                text.extend_from_slice(query);
            }
            (None, _) => {}
        }
        let url_end = text.len();
        if let Some(variation) = from.variation() {
            text.extend_from_slice(b"@@");
            text.extend_from_slice(variation);
        }
        if text.len() > MAX_KEY {
            return Err(KeyError::over(KeyErrorKind::TooLong, None, "key bytes", MAX_KEY));
        }
        let layout = Layout::new(text.len(), host, host_end, path, path_end, url_end)?;
        Ok(Key::from_canonical(text, layout))
    }

    fn place_in<'a>(scheme: Scheme, host: &[u8], port: Option<u16>, site: Option<(&'a Checked, bool)>) -> Place<'a> {
        let Some((site, alias)) = site else { return Place { scheme, host: host.to_vec(), port, policy: None } };
        Place {
            scheme: if site.merge_schemes { Scheme::Http } else { scheme },
            host: if alias { site.first.to_vec() } else { host.to_vec() },
            port,
            policy: Some(&site.policy),
        }
    }

    /// Where the keys of a canonical origin really are. `port` is none for the scheme's own.
    pub(crate) fn place(&self, scheme: Scheme, host: &[u8], port: Option<u16>) -> Place<'_> {
        let site = self.table.as_ref().and_then(|table| table.find(host));
        Self::place_in(scheme, host, port, site.map(|(_, site, alias)| (site, alias)))
    }

    /// Configured names below a canonical name under which a request or a selector may be stored differently than it is written, as the names to
    /// ask for.
    pub(crate) fn rewritten_below(&self, name: &[u8]) -> Vec<Vec<u8>> {
        let Some(table) = &self.table else { return Vec::new() };
        let names = table.names.iter().filter(|(host, _)| crate::purge::is_below(host, name));
        let rewrites = |&(site, alias): &(usize, bool)| {
            alias || table.sites.get(site).is_some_and(|site| site.merge_schemes || !site.policy.keeps_query())
        };
        names.filter(|(_, place)| rewrites(place)).map(|(host, _)| host.to_vec()).collect()
    }

    /// Configured names below a canonical name whose keys keep their scheme, sorted.
    pub(crate) fn unmerged_below(&self, name: &[u8]) -> Vec<Box<[u8]>> {
        let Some(table) = &self.table else { return Vec::new() };
        let unmerged = |site: usize| table.sites.get(site).is_some_and(|site| !site.merge_schemes);
        let mut names: Vec<Box<[u8]>> = table
            .names
            .iter()
            .filter(|&(host, &(site, _))| crate::purge::is_below(host, name) && unmerged(site))
            .map(|(host, _)| host.clone())
            .collect();
        names.sort_unstable();
        names
    }

    /// Where keys of hosts without a site of their own are; only scheme and query policy of it count.
    pub(crate) fn place_of_others(&self, scheme: Scheme) -> Place<'_> {
        let site = self.table.as_ref().and_then(|table| table.sites.get(table.catch_all?));
        Self::place_in(scheme, b"", None, site.map(|site| (site, false)))
    }

    /// What a host selector takes: names, ports, and whether below the name.
    pub(crate) fn host_places(&self, name: &[u8], port: Option<u16>, below: bool) -> Vec<(Vec<u8>, Option<u16>, bool)> {
        let Some(table) = &self.table else { return vec![(name.to_vec(), port, below)] };
        let mut places = Vec::new();
        let mut add = |name: &[u8], below: bool, merged: bool| {
            places.push((name.to_vec(), port, below));
            // Keys of https on its own port are, where schemes are merged, those of http on its own.
            if merged && port == Some(443) {
                places.push((name.to_vec(), Some(80), below));
            }
        };
        if below {
            let is_below =
                |host: &[u8]| host.strip_suffix(name).is_some_and(|labels| labels.len() > 1 && labels.ends_with(b"."));
            // Where hosts without a site of their own merge schemes, port 80 of the others is taken too.
            add(name, true, self.place_of_others(Scheme::Https).scheme == Scheme::Http);
            for (host, &(site, alias)) in &table.names {
                let Some(site) = table.sites.get(site).filter(|_| is_below(host)) else { continue };
                // Objects asked for by an alias below the name are stored under a first host that need not be.
                if alias && !is_below(&site.first) {
                    add(&site.first, false, site.merge_schemes);
                } else if site.merge_schemes && port == Some(443) {
                    add(host, false, true);
                }
            }
        } else {
            match table.find(name) {
                Some((_, site, alias)) => add(if alias { &site.first } else { name }, false, site.merge_schemes),
                None => add(name, false, false),
            }
        }
        places
    }
}

/// Names of hosts beyond which a change of sites purges everything.
const MOST_NAMES: usize = 1_000;

/// What to purge when sites with the first rules of names give way to sites with the second: hosts whose requests get other keys.
pub(crate) fn changed(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<Selector> {
    let rule = |rules: &BTreeMap<String, String>, name: &str| rules.get(name).or_else(|| rules.get("*")).cloned();
    if old.get("*") != new.get("*") || old.len().max(new.len()) > MOST_NAMES {
        return vec![Selector::All];
    }
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .filter(|name| rule(old, name) != rule(new, name))
        .map(|name| Selector::Host(name.clone()))
        .collect()
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// Why sites are refused; the text names the host or policy at fault.
#[derive(Debug, Clone)]
pub struct SitesError(String);

impl fmt::Display for SitesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SitesError {}

/// Why a request has no key.
#[derive(Debug, Clone)]
pub struct RequestError(RequestErrorKind);

#[derive(Debug, Clone)]
enum RequestErrorKind {
    UnknownHost,
    Malformed(KeyError),
}

impl From<KeyError> for RequestError {
    fn from(error: KeyError) -> Self {
        Self(RequestErrorKind::Malformed(error))
    }
}

impl RequestError {
    /// Whether no site has the host: to be answered 421 (RFC 9110 15.5.20).
    pub fn is_unknown_host(&self) -> bool {
        matches!(self.0, RequestErrorKind::UnknownHost)
    }

    /// What is wrong with the URL, unless the host is unknown: to be answered 400, or 414 if it is too long.
    pub fn malformed(&self) -> Option<&KeyError> {
        match &self.0 {
            RequestErrorKind::UnknownHost => None,
            RequestErrorKind::Malformed(error) => Some(error),
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            RequestErrorKind::UnknownHost => f.write_str("no site has this host"),
            RequestErrorKind::Malformed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RequestError {}
