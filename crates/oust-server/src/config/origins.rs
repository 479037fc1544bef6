//! Where a site's responses come from, and how its origins are asked.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::PathAndQuery;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use toml::de::DeTable;

use super::reader::{Reader, Value, set};

/// Address of an origin: `http://authority` or `https://authority`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) https: bool,
    /// Host and port as they are written.
    pub(crate) authority: String,
    /// Name or address, without brackets.
    pub(crate) host: String,
    /// Port, written or the scheme's own.
    pub(crate) port: u16,
}

impl std::str::FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
        let https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(other) => return Err(format!("origins are http:// or https:// URLs, not {other}://")),
            None => return Err("an origin is a URL: http://host[:port] or https://host[:port]".to_owned()),
        };
        let authority = uri.authority().ok_or("an origin needs a host")?;
        if authority.as_str().contains('@') {
            return Err("an origin has no user or password".to_owned());
        }
        if uri.path_and_query().is_some_and(|rest| rest.as_str() != "/") {
            return Err("an origin has no path: requests keep their own".to_owned());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err("an origin needs a host".to_owned());
        }
        if https && ServerName::try_from(host.as_str()).is_err() {
            return Err(format!("{host:?} is no name or address that a certificate could be for"));
        }
        let port = match authority.port() {
            None => {
                if authority.as_str().ends_with(':') {
                    return Err("a port is missing after the colon".to_owned());
                }
                if https { 443 } else { 80 }
            }
            Some(port) => match port.as_u16() {
                0 => return Err("port 0 is no port to connect to".to_owned()),
                port => port,
            },
        };
        Ok(Self { https, authority: authority.as_str().to_owned(), host, port })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.authority)
    }
}

/// How the origins of one site are asked.
#[derive(Debug, Clone)]
pub(crate) struct Fetching {
    /// Active checks; `None`: only what requests meet with counts.
    pub(crate) health: Option<HealthCheck>,
    /// For finding the address and connecting, and again for the TLS handshake.
    pub(crate) connect_timeout: Duration,
    /// For the head of an answer, from the last byte of the request; `None`: the server's `body_timeout`.
    pub(crate) first_byte_timeout: Option<Duration>,
    /// Attempts after the first.
    pub(crate) retries: usize,
    /// Fetches at a time, 0: any number.
    pub(crate) max_fetches: usize,
    pub(crate) tls: OriginTls,
    pub(crate) http2: OriginHttp2,
}

impl Default for Fetching {
    fn default() -> Self {
        Self {
            health: None,
            connect_timeout: Duration::from_secs(3),
            first_byte_timeout: None,
            retries: 2,
            max_fetches: 0,
            tls: OriginTls::default(),
            http2: OriginHttp2::Auto,
        }
    }
}

/// Whom TLS to an origin trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OriginTls {
    /// The only certificates trusted; `None`: those of the system.
    pub(crate) ca: Option<Arc<[CertificateDer<'static>]>>,
    /// The name that is asked for and that the certificate has to be for; `None`: the origin's host.
    pub(crate) sni: Option<String>,
}

/// When origins are spoken to by HTTP/2.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum OriginHttp2 {
    /// Where TLS agrees on it.
    #[default]
    Auto,
    /// Always; without TLS by prior knowledge.
    Always,
    Never,
}

/// A site's `health`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HealthCheck {
    pub(crate) path: PathAndQuery,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    /// Failed checks in a row that take an origin out.
    pub(crate) unhealthy: usize,
    /// Good checks in a row that take it in again.
    pub(crate) healthy: usize,
    /// The status of a good answer.
    pub(crate) status: usize,
}

impl Reader<'_> {
    pub(super) fn origins(&mut self, value: &Value<'_>) -> Vec<Origin> {
        let mut origins = Vec::new();
        let Some(array) = value.get_ref().as_array() else {
            self.wrong::<()>(value, "an array of origins");
            return origins;
        };
        if array.is_empty() {
            self.fault(value.span().start, "a site needs at least one origin");
        }
        for item in array.iter() {
            match item.get_ref().as_str().map(str::parse::<Origin>) {
                Some(Ok(origin)) if origins.contains(&origin) => {
                    self.fault(item.span().start, "this origin is listed twice");
                }
                Some(Ok(origin)) => origins.push(origin),
                Some(Err(message)) => self.fault(item.span().start, message),
                None => {
                    self.wrong::<()>(item, "an origin such as \"http://10.0.0.5:8000\"");
                }
            }
        }
        origins
    }

    /// A field of `[[site]]` that tells how its origins are asked; false if it is none.
    pub(super) fn fetching(&mut self, field: &str, value: &Value<'_>, rules: &mut Fetching) -> bool {
        match field {
            "health" => rules.health = self.health(value),
            "connect_timeout" => set(&mut rules.connect_timeout, self.period(value)),
            "first_byte_timeout" => rules.first_byte_timeout = self.period(value),
            "retries" => set(&mut rules.retries, self.count(value, 0..=10)),
            "max_fetches" => set(&mut rules.max_fetches, self.count(value, 0..=1_000_000)),
            "origin_ca" => rules.tls.ca = self.certificates(value),
            "origin_sni" => rules.tls.sni = self.server_name(value),
            "origin_http2" => match value.get_ref().as_str() {
                Some("auto") => rules.http2 = OriginHttp2::Auto,
                Some("always") => rules.http2 = OriginHttp2::Always,
                Some("never") => rules.http2 = OriginHttp2::Never,
                _ => {
                    self.wrong::<()>(value, "\"auto\", \"always\" or \"never\"");
                }
            },
            _ => return false,
        }
        true
    }

    /// What only a whole site can tell: TLS settings that nothing would use are a mistake about TLS.
    pub(super) fn check_fetching(&mut self, table: &DeTable<'_>, origins: &[Origin]) {
        if origins.is_empty() || origins.iter().any(|origin| origin.https) {
            return;
        }
        for field in ["origin_ca", "origin_sni"] {
            if let Some(value) = table.get(field) {
                self.fault(value.span().start, format!("`{field}` is of no use: no origin of this site is https"));
            }
        }
    }

    fn health(&mut self, value: &Value<'_>) -> Option<HealthCheck> {
        let table = self.table(value, "`health`")?;
        let mut check = HealthCheck {
            path: PathAndQuery::from_static("/"),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            unhealthy: 3,
            healthy: 2,
            status: 200,
        };
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "path" => set(&mut check.path, self.path(value)),
                "interval" => set(&mut check.interval, self.period(value)),
                "timeout" => set(&mut check.timeout, self.period(value)),
                "unhealthy" => set(&mut check.unhealthy, self.count(value, 1..=1000)),
                "healthy" => set(&mut check.healthy, self.count(value, 1..=1000)),
                "status" => set(&mut check.status, self.count(value, 200..=599)),
                other => self.unknown(key.span().start, other, "`health`"),
            }
        }
        if !table.contains_key("path") {
            self.fault(value.span().start, "`health` needs `path`");
        }
        Some(check)
    }

    fn path(&mut self, value: &Value<'_>) -> Option<PathAndQuery> {
        let text = self.text(value)?;
        let path = text.parse().ok().filter(|_| text.starts_with('/'));
        if path.is_none() {
            self.fault(value.span().start, format!("{text:?} is no path such as \"/health\""));
        }
        path
    }

    /// A duration that is longer than none.
    fn period(&mut self, value: &Value<'_>) -> Option<Duration> {
        let period = self.duration(value)?;
        if period.is_zero() || period > Duration::from_secs(86_400) {
            self.fault(value.span().start, "expected a duration longer than 0s, a day at most");
            return None;
        }
        Some(period)
    }

    fn server_name(&mut self, value: &Value<'_>) -> Option<String> {
        let text = self.text(value)?;
        if ServerName::try_from(text.as_str()).is_err() {
            self.fault(value.span().start, format!("{text:?} is no name that a certificate could be for"));
            return None;
        }
        Some(text)
    }

    fn certificates(&mut self, value: &Value<'_>) -> Option<Arc<[CertificateDer<'static>]>> {
        let file = self.text(value)?;
        match read_certificates(Path::new(&file)) {
            Ok(certificates) => Some(certificates),
            Err(message) => {
                self.fault(value.span().start, format!("{file}: {message}"));
                None
            }
        }
    }
}

/// The certificates of a PEM file; each must be one that can be trusted.
fn read_certificates(file: &Path) -> Result<Arc<[CertificateDer<'static>]>, String> {
    let read = CertificateDer::pem_file_iter(file).map_err(|error| error.to_string())?;
    let certificates = read.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    if certificates.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|error| error.to_string())?;
    }
    Ok(certificates.into())
}
