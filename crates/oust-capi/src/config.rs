//! The configuration string: TOML, a subset of the server's file.
//!
//! A fault is told with its line, column and field. No message holds a value of an `[[account]]`: these are secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http::HeaderName;
use oust::disk::media::Access;
use oust::freshness::Policy;
use oust::site::{Environment, KeyPolicy, Query, Site, Sites};
use oust::{Config, L2Config};
use oust_api::{Account, Api, Azion, Cdnetworks, ImageKit, Medianova, Naver, Rate};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use toml::Spanned;

use crate::error::Fault;
use crate::ffi::cache::CacheBox;
use crate::ffi::types::oust_code;

/// Most selectors of a purge where nothing else is said; the engine's own default.
const MAX_BATCH: usize = 10_000;

/// A configuration that was read, with its text for telling places.
pub(crate) struct Configuration<'a> {
    text: &'a str,
    file: File,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    edge: Edge,
    l2: Option<L2>,
    purge: Limits,
    ttl: Ttl,
    site: Vec<Spanned<SiteEntry>>,
    account: Vec<Spanned<AccountEntry>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Edge {
    size: Option<Size>,
    max_object: Option<Size>,
    shards: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct L2 {
    dir: PathBuf,
    size: Size,
    segment: Option<Size>,
    #[serde(default)]
    media: Media,
    write_rate: Option<Size>,
    readers: Option<usize>,
    #[serde(default)]
    distrust: bool,
    #[serde(default)]
    adopt: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Media {
    #[default]
    Mmap,
    Pread,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    max_rules: Option<usize>,
    max_batch: Option<usize>,
    history: Option<usize>,
    background_sweep: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Ttl {
    default: Option<Parsed<Period>>,
    negative: Option<Parsed<Period>>,
    minimum: Option<Parsed<Period>>,
    maximum: Option<Parsed<Period>>,
    stale_if_error: Option<Parsed<Period>>,
    heuristics: Option<bool>,
    targeted: Option<Vec<Parsed<Name>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SiteEntry {
    hosts: Vec<String>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    environment: Placed,
    #[serde(default)]
    merge_schemes: bool,
    #[serde(default)]
    key: KeyRules,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Placed {
    #[default]
    Production,
    Staging,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct KeyRules {
    query: QueryRule,
    cookies: Vec<String>,
    headers: Vec<String>,
    device: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum QueryRule {
    #[default]
    Keep,
    Sort,
    Drop,
    Allow(Vec<String>),
    Deny(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountEntry {
    name: String,
    hosts: Vec<String>,
    azion: Option<AzionEntry>,
    naver: Option<NaverEntry>,
    medianova: Option<MedianovaEntry>,
    cdnetworks: Option<CdnetworksEntry>,
    imagekit: Option<ImageKitEntry>,
    #[serde(default)]
    webhook_private: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AzionEntry {
    tokens: Vec<Secret>,
    url: Option<Parsed<Rate>>,
    wildcard: Option<Parsed<Rate>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NaverEntry {
    access_key: Secret,
    secret_key: Secret,
    edge_id: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MedianovaEntry {
    organization: String,
    resources: BTreeMap<String, String>,
    #[serde(default)]
    tokens: Vec<Secret>,
    api_key: Option<Secret>,
    api_secret: Option<Secret>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CdnetworksEntry {
    user: Option<Secret>,
    api_key: Option<Secret>,
    access_key: Option<Secret>,
    secret_key: Option<Secret>,
    rate: Option<Parsed<Rate>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageKitEntry {
    private_key: Secret,
    monthly: Option<u64>,
    #[serde(default)]
    wildcard: bool,
}

impl<'a> Configuration<'a> {
    /// Reads a text.
    pub(crate) fn read(text: &'a str) -> Result<Self, Fault> {
        let parsed = toml::Deserializer::parse(text).map_err(|error| at(text, error.span(), "", error.message()))?;
        let file = serde_path_to_error::deserialize(parsed).map_err(|error| {
            let path = error.path().to_string();
            let inner = error.into_inner();
            let message = inner.message();
            // What stands where something else belongs may be a secret.
            let message = match message.split_once(", expected ").filter(|_| path.starts_with("account")) {
                Some((_, wanted)) => format!("expected {wanted}"),
                None => message.to_owned(),
            };
            at(text, inner.span(), if path == "." { "" } else { &path }, &message)
        })?;
        Ok(Self { text, file })
    }

    /// Opens the cache it describes.
    pub(crate) fn open(self) -> Result<CacheBox, Fault> {
        let Self { text, file } = self;
        let mut config = Config::new().sites(sites(text, &file.site)?);
        let Edge { size, max_object, shards } = file.edge;
        config = set(config, size.map(|Size(bytes)| bytes), Config::edge_size);
        config = set(config, max_object.map(|Size(bytes)| bytes), Config::max_object);
        config = set(config, shards, Config::shards);
        let Limits { max_rules, max_batch, history, background_sweep } = file.purge;
        config = set(config, max_rules, Config::max_rules);
        config = set(config, max_batch, Config::max_batch);
        config = set(config, history, Config::history);
        config = set(config, background_sweep, Config::background_sweep);
        config = set(config, file.l2, |config, l2| config.l2(l2.into()));
        let cache = config.build()?;
        let api = match file.account.as_slice() {
            [] => None,
            accounts => Some(api(text, &cache, accounts)?),
        };
        let max_batch = max_batch.unwrap_or(MAX_BATCH);
        Ok(CacheBox { cache, policy: file.ttl.into(), api, max_batch, due: parking_lot::Mutex::default() })
    }
}

fn set<C, T>(config: C, value: Option<T>, with: impl FnOnce(C, T) -> C) -> C {
    match value {
        Some(value) => with(config, value),
        None => config,
    }
}

fn sites(text: &str, entries: &[Spanned<SiteEntry>]) -> Result<Sites, Fault> {
    let all: Vec<Site> = entries.iter().map(|entry| entry.get_ref().into()).collect();
    Sites::new(all.iter().cloned()).map_err(|error| {
        // It stops at the first site that is wrong: the shortest list with an error ends with that one.
        let wrong = (0..all.len()).find(|&last| Sites::new(all.iter().take(last + 1).cloned()).is_err());
        let span = wrong.and_then(|wrong| entries.get(wrong)).map(Spanned::span);
        at(text, span, "site", &error.to_string())
    })
}

fn api(text: &str, cache: &oust::Cache, entries: &[Spanned<AccountEntry>]) -> Result<Api, Fault> {
    let mut accounts = Vec::new();
    for entry in entries {
        let account = entry.get_ref().account().map_err(|message| at(text, Some(entry.span()), "account", &message))?;
        accounts.push(account);
        // Each beside those before it: some faults are of two accounts.
        if let Err(error) = Api::new(cache.clone(), accounts.iter().cloned()) {
            return Err(at(text, Some(entry.span()), "account", &error.to_string()));
        }
    }
    Api::new(cache.clone(), accounts).map_err(|error| at(text, None, "account", &error.to_string()))
}

/// A fault with its place in the text.
fn at(text: &str, span: Option<Range<usize>>, field: &str, message: &str) -> Fault {
    let mut told = String::new();
    if let Some(span) = span {
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(start..).unwrap_or_default().chars().count() + 1;
        told = format!("line {line}, column {column}: ");
    }
    if !field.is_empty() {
        told.push_str(field);
        told.push_str(": ");
    }
    told.push_str(message.trim_end());
    Fault::new(oust_code::OUST_E_CONFIG, told)
}

impl From<L2> for L2Config {
    fn from(l2: L2) -> Self {
        let access = match l2.media {
            Media::Mmap => Access::Mmap,
            Media::Pread => Access::Pread,
        };
        let config = Self::directory(l2.dir, l2.size.0).access(access).distrust(l2.distrust).adopt(l2.adopt);
        let config = set(config, l2.segment.map(|Size(bytes)| bytes), Self::segment_size);
        let config = set(config, l2.write_rate.map(|Size(bytes)| bytes), Self::write_rate);
        set(config, l2.readers, Self::readers)
    }
}

impl From<Ttl> for Policy {
    fn from(ttl: Ttl) -> Self {
        let period = |period: Option<Parsed<Period>>| period.map(|Parsed(Period(duration))| duration);
        let policy = set(Self::new(), period(ttl.default), Self::default_ttl);
        let policy = set(policy, period(ttl.negative), Self::negative_ttl);
        let policy = set(policy, period(ttl.minimum), Self::minimum_ttl);
        let policy = set(policy, period(ttl.maximum), Self::maximum_ttl);
        let policy = set(policy, period(ttl.stale_if_error), Self::stale_if_error);
        let policy = set(policy, ttl.heuristics, Self::heuristics);
        let names = |names: Vec<Parsed<Name>>| names.into_iter().map(|Parsed(Name(name))| name);
        set(policy, ttl.targeted, |policy, fields| policy.targeted(names(fields)))
    }
}

impl From<&SiteEntry> for Site {
    fn from(entry: &SiteEntry) -> Self {
        let query = match &entry.key.query {
            QueryRule::Keep => Query::Keep,
            QueryRule::Sort => Query::Sort,
            QueryRule::Drop => Query::Drop,
            QueryRule::Allow(names) => Query::Allow(names.clone()),
            QueryRule::Deny(names) => Query::Deny(names.clone()),
        };
        let policy = KeyPolicy::new()
            .query(query)
            .cookies(entry.key.cookies.iter().cloned())
            .headers(entry.key.headers.iter().cloned())
            .device(entry.key.device);
        let environment = match entry.environment {
            Placed::Production => Environment::Production,
            Placed::Staging => Environment::Staging,
        };
        Self::new(entry.hosts.iter().cloned())
            .aliases(entry.aliases.iter().cloned())
            .environment(environment)
            .merge_schemes(entry.merge_schemes)
            .policy(policy)
    }
}

impl AccountEntry {
    fn account(&self) -> Result<Account, String> {
        let mut account = Account::new(self.name.clone(), self.hosts.iter().cloned());
        account.webhook_private = self.webhook_private;
        account.azion = self.azion.as_ref().map(|of| {
            let mut azion = Azion { tokens: secrets(&of.tokens), ..Azion::default() };
            azion.url = of.url.as_ref().map_or(azion.url, |Parsed(rate)| *rate);
            azion.wildcard = of.wildcard.as_ref().map_or(azion.wildcard, |Parsed(rate)| *rate);
            azion
        });
        account.naver = self.naver.as_ref().map(|of| Naver {
            access_key: of.access_key.0.clone(),
            secret_key: of.secret_key.0.clone(),
            edge_id: of.edge_id,
        });
        account.medianova = self.medianova.as_ref().map(MedianovaEntry::checked).transpose()?;
        account.cdnetworks = self.cdnetworks.as_ref().map(CdnetworksEntry::checked).transpose()?;
        account.imagekit = self.imagekit.as_ref().map(|of| ImageKit {
            private_key: of.private_key.0.clone(),
            monthly: of.monthly.unwrap_or_else(|| ImageKit::default().monthly),
            wildcard: of.wildcard,
        });
        Ok(account)
    }
}

impl MedianovaEntry {
    fn checked(&self) -> Result<Medianova, String> {
        let (api_key, api_secret) = pair("medianova", ("api_key", &self.api_key), ("api_secret", &self.api_secret))?;
        if api_key.is_empty() && self.tokens.is_empty() {
            return Err("`medianova` needs `tokens`, or `api_key` and `api_secret`".to_owned());
        }
        Ok(Medianova {
            organization: self.organization.clone(),
            resources: self.resources.clone(),
            tokens: secrets(&self.tokens),
            api_key,
            api_secret,
        })
    }
}

impl CdnetworksEntry {
    fn checked(&self) -> Result<Cdnetworks, String> {
        let (user, api_key) = pair("cdnetworks", ("user", &self.user), ("api_key", &self.api_key))?;
        let (access_key, secret_key) =
            pair("cdnetworks", ("access_key", &self.access_key), ("secret_key", &self.secret_key))?;
        if user.is_empty() && access_key.is_empty() {
            return Err("`cdnetworks` needs `user` and `api_key`, or `access_key` and `secret_key`".to_owned());
        }
        let rate = self.rate.as_ref().map_or_else(|| Cdnetworks::default().rate, |Parsed(rate)| *rate);
        Ok(Cdnetworks { user, api_key, access_key, secret_key, rate })
    }
}

fn secrets(list: &[Secret]) -> Vec<String> {
    list.iter().map(|Secret(text)| text.clone()).collect()
}

/// Two fields that need each other, both empty where there is neither.
fn pair(
    of: &str,
    (one, has_one): (&str, &Option<Secret>),
    (other, has_other): (&str, &Option<Secret>),
) -> Result<(String, String), String> {
    match (has_one, has_other) {
        (Some(Secret(one)), Some(Secret(other))) => Ok((one.clone(), other.clone())),
        (None, None) => Ok((String::new(), String::new())),
        (Some(_), None) => Err(format!("`{of}` has `{one}` and needs `{other}` too")),
        (None, Some(_)) => Err(format!("`{of}` has `{other}` and needs `{one}` too")),
    }
}

/// A size: bytes, or with `KiB`, `MiB`, `GiB` or `TiB`.
#[derive(Debug, Clone, Copy)]
struct Size(u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl Visitor<'_> for Of {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size: bytes, or a text such as \"64MiB\"")
            }
            fn visit_i64<E: Error>(self, bytes: i64) -> Result<Size, E> {
                u64::try_from(bytes).map(Size).map_err(|_| E::custom("a size is not negative"))
            }
            fn visit_u64<E: Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                let text = text.trim();
                let digits = text.bytes().take_while(u8::is_ascii_digit).count();
                let (number, unit) = text.split_at(digits);
                let shift = match unit.trim_start() {
                    "" => 0,
                    "KiB" => 10,
                    "MiB" => 20,
                    "GiB" => 30,
                    "TiB" => 40,
                    _ => return Err(E::custom("no size: bytes, or a number with KiB, MiB, GiB or TiB")),
                };
                let number: u64 = number.parse().map_err(|_| E::custom("no size: a whole number comes first"))?;
                number.checked_mul(1 << shift).map(Size).ok_or_else(|| E::custom("too large"))
            }
        }
        deserializer.deserialize_any(Of)
    }
}

/// A text that is read by `FromStr`.
#[derive(Debug, Clone)]
struct Parsed<T>(T);

impl<'de, T: FromStr<Err = String>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of<T>(PhantomData<T>);
        impl<T: FromStr<Err = String>> Visitor<'_> for Of<T> {
            type Value = Parsed<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Parsed<T>, E> {
                text.parse().map(Parsed).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Of(PhantomData))
    }
}

/// A duration such as `10s`.
#[derive(Debug, Clone, Copy)]
struct Period(Duration);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text).map(Self).map_err(|error| format!("{text:?}: {error}"))
    }
}

/// A header field's name.
#[derive(Debug, Clone)]
struct Name(HeaderName);

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        HeaderName::from_bytes(text.as_bytes()).map(Self).map_err(|_| format!("{text:?} is no name of a header field"))
    }
}

/// A text that is not empty and in no message: an empty secret would be known to everybody.
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        const WANTED: &str = "expected a string that is not empty";
        impl Visitor<'_> for Of {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string that is not empty")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
                if text.is_empty() { Err(E::custom(WANTED)) } else { Ok(Secret(text.to_owned())) }
            }
            // What stands in its place may be the secret in another form.
            fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
                Err(E::custom(WANTED))
            }
            fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
                Err(E::custom(WANTED))
            }
        }
        deserializer.deserialize_any(Of)
    }
}

#[cfg(test)]
mod tests;
