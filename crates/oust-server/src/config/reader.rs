//! From TOML to [`Config`], collecting every fault with its place.
//!
//! The tables are walked by hand rather than deserialised, so that one reading finds all faults, each with its place.

use std::time::Duration;

use http::header::HeaderName;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Config, KeyRules, QueryRule, Site, parse_size};

/// Something wrong at a byte of the text.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) message: String,
}

/// What the engine needs at least, and the largest object it holds; it checks both again.
const MIN_EDGE: u64 = 1 << 20;
const MAX_OBJECT: u64 = 2 << 30;

pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// Reads a configuration; what it says is meaningful only if `faults` stays empty.
pub(super) fn read(text: &str, faults: &mut Vec<Fault>) -> Config {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut config = Config::default();
    if !errors.is_empty() {
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            faults.push(Fault { at, message: error.message().to_owned() });
        }
        return config;
    }
    let mut reader = Reader { faults };
    for (key, value) in root.get_ref() {
        match key.get_ref().as_ref() {
            "server" => reader.server(value, &mut config),
            "edge" => reader.edge(value, &mut config),
            "purge" => reader.purge(value, &mut config),
            "http" => reader.http(value, &mut config),
            "site" => reader.sites(value, &mut config),
            "l2" => config.l2 = reader.l2(value),
            "certificate" => config.certificates = reader.certificate_files(value),
            "account" => config.accounts = reader.accounts(value),
            other => reader.unknown(key.span().start, other, "the top level"),
        }
    }
    let server = root.get_ref().get("server").and_then(|server| server.get_ref().as_table());
    if let Some(api) = server.and_then(|server| server.get("api"))
        && !root.get_ref().contains_key("account")
    {
        reader.fault(api.span().start, super::API_WITHOUT_ACCOUNT);
    }
    if let Some(tls) = server.and_then(|server| server.get("tls_listen"))
        && !config.server.tls_listen.is_empty()
        && !root.get_ref().contains_key("certificate")
    {
        reader.fault(tls.span().start, super::TLS_WITHOUT_CERTIFICATE);
    }
    config
}

/// Walks the tables.
pub(super) struct Reader<'f> {
    faults: &'f mut Vec<Fault>,
}

impl Reader<'_> {
    pub(super) fn fault(&mut self, at: usize, message: impl Into<String>) {
        self.faults.push(Fault { at, message: message.into() });
    }

    pub(super) fn unknown(&mut self, at: usize, field: &str, place: &str) {
        self.fault(at, format!("unknown field `{field}` in {place}"));
    }

    pub(super) fn wrong<T>(&mut self, value: &Value<'_>, wanted: &str) -> Option<T> {
        let message = format!("expected {wanted}, found {}", value.get_ref().type_str());
        self.fault(value.span().start, message);
        None
    }

    pub(super) fn table<'v, 'i>(&mut self, value: &'v Value<'i>, place: &str) -> Option<&'v DeTable<'i>> {
        match value.get_ref().as_table() {
            Some(table) => Some(table),
            None => self.wrong(value, &format!("a table for {place}")),
        }
    }

    fn edge(&mut self, value: &Value<'_>, config: &mut Config) {
        let Some(table) = self.table(value, "[edge]") else { return };
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "size" => set(&mut config.edge.size, self.size(value, MIN_EDGE, u64::MAX)),
                "max_object" => set(&mut config.edge.max_object, self.size(value, 1, MAX_OBJECT)),
                other => self.unknown(key.span().start, other, "[edge]"),
            }
        }
    }

    fn purge(&mut self, value: &Value<'_>, config: &mut Config) {
        let Some(table) = self.table(value, "[purge]") else { return };
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "max_rules" => set(&mut config.purge.max_rules, self.count(value, 1..=100_000_000)),
                "max_batch" => set(&mut config.purge.max_batch, self.count(value, 1..=10_000_000)),
                "history" => set(&mut config.purge.history, self.count(value, 1..=100_000_000)),
                other => self.unknown(key.span().start, other, "[purge]"),
            }
        }
    }

    fn http(&mut self, value: &Value<'_>, config: &mut Config) {
        let Some(table) = self.table(value, "[http]") else { return };
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "tag_headers" => config.http.tag_headers = self.fields(value),
                "cache_status_key" => set(&mut config.http.cache_status_key, self.flag(value)),
                "targeted" => config.http.targeted = self.fields(value),
                "groups" => set(&mut config.http.groups, self.flag(value)),
                other => self.unknown(key.span().start, other, "[http]"),
            }
        }
    }

    fn fields(&mut self, value: &Value<'_>) -> Vec<HeaderName> {
        self.list(value, "a header field name", |text| HeaderName::from_bytes(text.as_bytes()).ok())
    }

    fn sites(&mut self, value: &Value<'_>, config: &mut Config) {
        let Some(array) = value.get_ref().as_array() else {
            self.wrong::<()>(value, "[[site]] tables");
            return;
        };
        for item in array.iter() {
            if let Some(table) = self.table(item, "[[site]]") {
                let site = self.site(item, table);
                config.sites.push(site);
            }
        }
    }

    fn site(&mut self, item: &Value<'_>, table: &DeTable<'_>) -> Site {
        let mut site = Site { span: Some(item.span()), ..Site::default() };
        for (key, value) in table {
            let at = key.span().start;
            match key.get_ref().as_ref() {
                "hosts" => {
                    site.span = Some(value.span());
                    site.hosts = self.list(value, "a host name", host);
                }
                "aliases" => site.aliases = self.list(value, "a host name", host),
                "origins" => site.origins = self.origins(value),
                "environment" => match value.get_ref().as_str() {
                    Some("production") => site.staging = false,
                    Some("staging") => site.staging = true,
                    _ => {
                        self.wrong::<()>(value, "\"production\" or \"staging\"");
                    }
                },
                "merge_schemes" => set(&mut site.merge_schemes, self.flag(value)),
                "key" => site.key = self.key(value),
                "ttl" => site.ttl = self.ttl(value),
                other if self.fetching(other, value, &mut site.fetching) => {}
                other => self.unknown(at, other, "[[site]]"),
            }
        }
        for (field, missing) in [("hosts", !table.contains_key("hosts")), ("origins", !table.contains_key("origins"))] {
            if missing {
                self.fault(item.span().start, format!("a [[site]] needs `{field}`"));
            }
        }
        self.check_fetching(table, &site.origins);
        site
    }

    fn key(&mut self, value: &Value<'_>) -> KeyRules {
        let mut rules = KeyRules::default();
        let Some(table) = self.table(value, "`key`") else { return rules };
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "query" => set(&mut rules.query, self.query(value)),
                "cookies" => rules.cookies = self.list(value, "a cookie name", non_empty),
                "headers" => {
                    rules.headers = self.list(value, "a header field name", |text| {
                        HeaderName::from_bytes(text.as_bytes()).ok().map(|name| name.as_str().to_owned())
                    });
                }
                "device" => set(&mut rules.device, self.flag(value)),
                other => self.unknown(key.span().start, other, "`key`"),
            }
        }
        rules
    }

    fn query(&mut self, value: &Value<'_>) -> Option<QueryRule> {
        const WANTED: &str = "\"keep\", \"sort\", \"drop\", { allow = [..] } or { deny = [..] }";
        if let Some(text) = value.get_ref().as_str() {
            return match text {
                "keep" => Some(QueryRule::Keep),
                "sort" => Some(QueryRule::Sort),
                "drop" => Some(QueryRule::Drop),
                _ => self.wrong(value, WANTED),
            };
        }
        let mut members = value.get_ref().as_table().into_iter().flatten();
        let (Some((key, list)), None) = (members.next(), members.next()) else { return self.wrong(value, WANTED) };
        match key.get_ref().as_ref() {
            "allow" => Some(QueryRule::Allow(self.list(list, "a parameter name", non_empty))),
            "deny" => Some(QueryRule::Deny(self.list(list, "a parameter name", non_empty))),
            _ => self.wrong(value, WANTED),
        }
    }

    pub(super) fn list<T>(&mut self, value: &Value<'_>, wanted: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let Some(array) = value.get_ref().as_array() else {
            self.wrong::<()>(value, &format!("an array, each {wanted}"));
            return Vec::new();
        };
        let mut list = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_str() {
                Some(text) => match parse(text) {
                    Some(parsed) => list.push(parsed),
                    None => self.fault(item.span().start, format!("{text:?} is not {wanted}")),
                },
                None => {
                    self.wrong::<()>(item, wanted);
                }
            }
        }
        list
    }

    pub(super) fn parsed<T: std::str::FromStr>(&mut self, value: &Value<'_>, wanted: &str) -> Option<T> {
        let Some(text) = value.get_ref().as_str() else { return self.wrong(value, wanted) };
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.fault(value.span().start, format!("{text:?} is not {wanted}"));
        }
        parsed
    }

    pub(super) fn text(&mut self, value: &Value<'_>) -> Option<String> {
        match value.get_ref().as_str() {
            Some(text) => Some(text.to_owned()),
            None => self.wrong(value, "a string"),
        }
    }

    pub(super) fn flag(&mut self, value: &Value<'_>) -> Option<bool> {
        match value.get_ref().as_bool() {
            Some(flag) => Some(flag),
            None => self.wrong(value, "true or false"),
        }
    }

    pub(super) fn count(&mut self, value: &Value<'_>, range: std::ops::RangeInclusive<usize>) -> Option<usize> {
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|number| usize::from_str_radix(number.as_str(), number.radix()).ok())
            .filter(|number| range.contains(number));
        match number {
            Some(number) => Some(number),
            None => {
                let message = format!("expected a whole number from {} to {}", range.start(), range.end());
                self.fault(value.span().start, message);
                None
            }
        }
    }

    pub(super) fn size(&mut self, value: &Value<'_>, least: u64, most: u64) -> Option<u64> {
        let size = match value.get_ref() {
            DeValue::String(text) => parse_size(text),
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| "a size is not negative and fits 64 bits".to_owned()),
            _ => return self.wrong(value, "a size: bytes, or \"256MiB\""),
        };
        let size = size.and_then(|size| match size {
            _ if size < least => Err(format!("the least size here is {least} bytes")),
            _ if size > most => Err(format!("the largest size here is {most} bytes")),
            size => Ok(size),
        });
        match size {
            Ok(size) => Some(size),
            Err(message) => {
                self.fault(value.span().start, message);
                None
            }
        }
    }

    pub(super) fn duration(&mut self, value: &Value<'_>) -> Option<Duration> {
        let Some(text) = value.get_ref().as_str() else { return self.wrong(value, "a duration such as \"10s\"") };
        match humantime::parse_duration(text) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.fault(value.span().start, format!("{text:?} is no duration such as \"10s\": {error}"));
                None
            }
        }
    }
}

pub(super) fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

pub(super) fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn host(text: &str) -> Option<String> {
    let plausible = text == "*" || (!text.is_empty() && !text.contains(['/', '*', '@', ' ', '?', '#']));
    plausible.then(|| text.to_owned())
}
