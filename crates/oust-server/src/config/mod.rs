//! The server's configuration: a TOML file, flags on top, defaults below.

mod accounts;
mod origins;
mod reader;
mod server;
mod size;
mod tiers;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::header::HeaderName;
use ipnet::IpNet;

pub(crate) use origins::{Fetching, HealthCheck, Origin, OriginHttp2, OriginTls};
pub(crate) use size::parse_size;

/// Nobody could purge through such a listener, which is not what somebody who opens it means.
const API_WITHOUT_ACCOUNT: &str = "`api` is of no use without an [[account]]: nobody could purge through it";

/// A listener that could greet nobody.
const TLS_WITHOUT_CERTIFICATE: &str = "`tls_listen` needs a [[certificate]]";

/// Everything `serve` needs to know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    pub(crate) server: Server,
    pub(crate) edge: Edge,
    /// Absent: memory only.
    pub(crate) l2: Option<L2>,
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) purge: Limits,
    pub(crate) http: Http,
    pub(crate) sites: Vec<Site>,
    pub(crate) accounts: Vec<AccountEntry>,
}

/// One `[[account]]`. Its `Debug` shows no secret.
#[derive(Debug, Clone)]
pub(crate) struct AccountEntry {
    pub(crate) account: oust_api::Account,
    /// Where the file says so, for errors that are found later.
    at: usize,
}

impl AccountEntry {
    /// One that is in no file.
    pub(crate) fn new(account: oust_api::Account) -> Self {
        Self { account, at: 0 }
    }
}

/// `[server]`.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) tls_listen: Vec<SocketAddr>,
    pub(crate) admin: SocketAddr,
    /// The listener of the CDN purge APIs.
    pub(crate) api: Option<SocketAddr>,
    pub(crate) threads: usize,
    pub(crate) admin_tokens: Vec<Token>,
    pub(crate) max_connections: usize,
    pub(crate) header_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) drain_timeout: Duration,
    /// How long a connection without a request is kept.
    pub(crate) keep_alive_timeout: Duration,
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Who may send PURGE to `listen` and `tls_listen`.
    pub(crate) purge_method_from: Vec<IpNet>,
    pub(crate) access_log: AccessLog,
}

/// Where a line for each request goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum AccessLog {
    #[default]
    Off,
    Stdout,
    File(PathBuf),
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080)],
            tls_listen: Vec::new(),
            admin: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081),
            api: None,
            threads: 2,
            admin_tokens: Vec::new(),
            max_connections: 10_000,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(60),
            trusted_proxies: Vec::new(),
            purge_method_from: Vec::new(),
            access_log: AccessLog::Off,
        }
    }
}

/// One admin token. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) name: String,
    pub(crate) token: String,
    pub(crate) role: Role,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// What a token allows; each role includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Read,
    Purge,
    Admin,
}

/// `[edge]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) size: u64,
    pub(crate) max_object: u64,
}

impl Default for Edge {
    fn default() -> Self {
        Self { size: 256 << 20, max_object: 64 << 20 }
    }
}

/// `[l2]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct L2 {
    pub(crate) dir: PathBuf,
    /// In bytes.
    pub(crate) size: u64,
    /// Bytes of one segment file; `None`: 64 MiB, or less in a small tier.
    pub(crate) segment: Option<u64>,
    pub(crate) media: Media,
    /// `--distrust-l2`: what is stored is discarded.
    pub(crate) distrust: bool,
}

impl Default for L2 {
    fn default() -> Self {
        Self { dir: PathBuf::new(), size: 0, segment: None, media: Media::Mmap, distrust: false }
    }
}

/// How segment files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    Mmap,
    Pread,
}

/// One `[[certificate]]`: two PEM files.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    /// The chain, the server's own first.
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    /// Where the file says so, for errors that are found later.
    at: usize,
}

/// A site's `ttl`: what holds where a response says nothing, and bounds of what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ttl {
    pub(crate) default: Duration,
    /// Of errors.
    pub(crate) negative: Duration,
    pub(crate) minimum: Duration,
    pub(crate) maximum: Duration,
    /// How long something expired may be served when the origin fails.
    pub(crate) stale_if_error: Duration,
}

impl Default for Ttl {
    fn default() -> Self {
        Self {
            default: Duration::ZERO,
            negative: Duration::from_secs(10),
            minimum: Duration::ZERO,
            maximum: Duration::from_secs(365 * 86_400),
            stale_if_error: Duration::from_secs(60),
        }
    }
}

/// `[purge]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) max_rules: usize,
    pub(crate) max_batch: usize,
    pub(crate) history: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_rules: 100_000, max_batch: 10_000, history: 100_000 }
    }
}

/// `[http]`.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    /// Fields of RFC 9213, the most particular first.
    pub(crate) targeted: Vec<HeaderName>,
    pub(crate) tag_headers: Vec<HeaderName>,
    /// Whether `Cache-Groups` (RFC 9875) count.
    pub(crate) groups: bool,
    pub(crate) cache_status_key: bool,
}

impl Default for Http {
    fn default() -> Self {
        let tag_headers = ["surrogate-key", "cache-tag", "edge-cache-tag", "xkey", "x-cache-tags"];
        let targeted = ["oust-cache-control", "cdn-cache-control"];
        Self {
            targeted: targeted.map(HeaderName::from_static).to_vec(),
            tag_headers: tag_headers.map(HeaderName::from_static).to_vec(),
            groups: true,
            cache_status_key: false,
        }
    }
}

/// One `[[site]]`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Site {
    pub(crate) hosts: Vec<String>,
    pub(crate) aliases: Vec<String>,
    pub(crate) origins: Vec<Origin>,
    pub(crate) fetching: Fetching,
    pub(crate) staging: bool,
    pub(crate) merge_schemes: bool,
    pub(crate) key: KeyRules,
    pub(crate) ttl: Ttl,
    /// Where the file says so, for errors that are found later.
    pub(crate) span: Option<Range<usize>>,
}

impl Site {
    /// What `--origin` alone means: every host, this origin.
    pub(crate) fn any_host(origin: Origin) -> Self {
        Self { hosts: vec!["*".to_owned()], origins: vec![origin], ..Self::default() }
    }

    /// Whether requests and selectors have the same keys under both.
    pub(crate) fn same_keys(&self, other: &Self) -> bool {
        (&self.hosts, &self.aliases, self.staging, self.merge_schemes, &self.key)
            == (&other.hosts, &other.aliases, other.staging, other.merge_schemes, &other.key)
    }
}

/// A site's `key` policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyRules {
    pub(crate) query: QueryRule,
    pub(crate) cookies: Vec<String>,
    pub(crate) headers: Vec<String>,
    pub(crate) device: bool,
}

/// What of a query goes into the key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum QueryRule {
    #[default]
    Keep,
    Sort,
    Drop,
    Allow(Vec<String>),
    Deny(Vec<String>),
}

impl Config {
    /// Reads a file. Every error in it is reported, not only the first.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&name, &text),
            Err(error) => Err(ConfigErrors { file: name, errors: vec![ConfigError::general(error.to_string())] }),
        }
    }

    /// Reads the text of a file called `name`.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, ConfigErrors> {
        let mut faults = Vec::new();
        let config = reader::read(text, &mut faults);
        if faults.is_empty()
            && let Err((site, message)) = crate::engine::sites(&config.sites)
        {
            let span = site.and_then(|at| config.sites.get(at)).and_then(|site| site.span.clone());
            faults.push(reader::Fault { at: span.map_or(0, |span| span.start), message });
        }
        for certificate in &config.certificates {
            if let Err(message) = crate::listen::tls::check(certificate) {
                faults.push(reader::Fault { at: certificate.at, message });
            }
        }
        if faults.is_empty() {
            let wrong = crate::api::check(&config);
            faults.extend(wrong.into_iter().map(|(entry, message)| reader::Fault { at: entry.at, message }));
        }
        if faults.is_empty() {
            return Ok(config);
        }
        faults.sort_by_key(|fault| fault.at);
        let errors = faults
            .into_iter()
            .map(|fault| {
                let (line, column) = line_column(text, fault.at);
                ConfigError { at: Some((line, column)), message: fault.message }
            })
            .collect();
        Err(ConfigErrors { file: name.to_owned(), errors })
    }

    /// What only the whole, flags included, can tell.
    pub(crate) fn check_whole(&self) -> Result<(), String> {
        if self.sites.is_empty() {
            return Err("no site: give --origin URL or a [[site]] in the configuration".to_owned());
        }
        if self.server.api.is_some() && self.accounts.is_empty() {
            return Err(API_WITHOUT_ACCOUNT.to_owned());
        }
        if !self.server.tls_listen.is_empty() && self.certificates.is_empty() {
            return Err(TLS_WITHOUT_CERTIFICATE.to_owned());
        }
        if !self.server.admin.ip().is_loopback() && self.server.admin_tokens.is_empty() {
            return Err(format!(
                "server.admin {} is not loopback: admin_tokens are required, or anybody may purge",
                self.server.admin
            ));
        }
        Ok(())
    }
}

/// All errors of one file.
#[derive(Debug)]
pub(crate) struct ConfigErrors {
    pub(crate) file: String,
    pub(crate) errors: Vec<ConfigError>,
}

/// One error, with line and column (both from 1) where it has a place.
#[derive(Debug)]
pub(crate) struct ConfigError {
    pub(crate) at: Option<(usize, usize)>,
    pub(crate) message: String,
}

impl ConfigError {
    fn general(message: String) -> Self {
        Self { at: None, message }
    }
}

impl ConfigErrors {
    /// Each error with its place, a line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.to_string().lines().map(str::to_owned).collect()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            match error.at {
                Some((line, column)) => write!(f, "{}:{line}:{column}: {}", self.file, error.message)?,
                None => write!(f, "{}: {}", self.file, error.message)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Line and column, from 1, in characters, of a byte.
fn line_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before.get(start..).unwrap_or_default().chars().count() + 1)
}
