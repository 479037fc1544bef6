//! `[server]`: addresses, limits and who may do what.

use std::net::IpAddr;

use ipnet::IpNet;
use toml::de::{DeTable, DeValue};

use super::reader::{Reader, Value, set};
use super::{AccessLog, Config, Role, Token};

impl Reader<'_> {
    pub(super) fn server(&mut self, value: &Value<'_>, config: &mut Config) {
        let Some(table) = self.table(value, "[server]") else { return };
        let server = &mut config.server;
        let mut admin_at = 0;
        for (key, value) in table {
            let at = key.span().start;
            match key.get_ref().as_ref() {
                "listen" => {
                    let found = self.list(value, "an address such as \"127.0.0.1:8080\"", |text| text.parse().ok());
                    if found.is_empty() && value.get_ref().as_array().is_some_and(|array| array.is_empty()) {
                        self.fault(value.span().start, "`listen` needs at least one address");
                    }
                    server.listen = found;
                }
                "admin" => {
                    admin_at = value.span().start;
                    set(&mut server.admin, self.parsed(value, "an address such as \"127.0.0.1:8081\""));
                }
                "threads" => set(&mut server.threads, self.count(value, 1..=1024)),
                "max_connections" => set(&mut server.max_connections, self.count(value, 1..=10_000_000)),
                "header_timeout" => set(&mut server.header_timeout, self.duration(value)),
                "body_timeout" => set(&mut server.body_timeout, self.duration(value)),
                "drain_timeout" => set(&mut server.drain_timeout, self.duration(value)),
                "keep_alive_timeout" => set(&mut server.keep_alive_timeout, self.duration(value)),
                "trusted_proxies" => server.trusted_proxies = self.networks(value),
                "access_log" => set(&mut server.access_log, self.access_log(value)),
                "admin_tokens" => server.admin_tokens = self.tokens(value),
                "tls_listen" => {
                    server.tls_listen =
                        self.list(value, "an address such as \"127.0.0.1:8443\"", |text| text.parse().ok());
                }
                "api" => server.api = self.parsed(value, "an address such as \"127.0.0.1:8082\""),
                "purge_method_from" => server.purge_method_from = self.networks(value),
                other => self.unknown(at, other, "[server]"),
            }
        }
        if !server.admin.ip().is_loopback() && !table.contains_key("admin_tokens") {
            self.fault(admin_at, "an admin address that is not loopback needs `admin_tokens`, or anybody may purge");
        }
    }

    fn networks(&mut self, value: &Value<'_>) -> Vec<IpNet> {
        self.list(value, "an address or network such as \"10.0.0.0/8\"", |text| {
            text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(Into::into))
        })
    }

    fn access_log(&mut self, value: &Value<'_>) -> Option<AccessLog> {
        let text = self.text(value)?;
        match text.as_str() {
            "" => self.wrong(value, "\"off\", \"stdout\" or the name of a file"),
            "off" => Some(AccessLog::Off),
            "stdout" => Some(AccessLog::Stdout),
            _ => Some(AccessLog::File(text.into())),
        }
    }

    fn tokens(&mut self, value: &Value<'_>) -> Vec<Token> {
        let mut tokens: Vec<Token> = Vec::new();
        let Some(array) = value.get_ref().as_array() else {
            self.wrong::<()>(value, "an array of tokens");
            return tokens;
        };
        for item in array.iter() {
            let token = match item.get_ref() {
                DeValue::String(text) => {
                    Some(Token { name: "admin".to_owned(), token: text.to_string(), role: Role::Admin })
                }
                DeValue::Table(table) => self.token(item, table),
                _ => self.wrong(item, "a token, or { name, token, role }"),
            };
            let Some(token) = token else { continue };
            // What cannot be sent in an Authorization field would be a token that never works.
            if token.token.is_empty() || !token.token.bytes().all(|byte| byte.is_ascii_graphic()) {
                self.fault(item.span().start, "a token is made of visible ASCII characters, at least one");
            } else if tokens.iter().any(|other| other.token == token.token) {
                self.fault(item.span().start, "this token is listed twice");
            } else {
                tokens.push(token);
            }
        }
        tokens
    }

    fn token(&mut self, item: &Value<'_>, table: &DeTable<'_>) -> Option<Token> {
        let (mut name, mut token, mut role) = (None, None, None);
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "name" => name = self.text(value),
                "token" => token = self.text(value),
                "role" => {
                    role = match value.get_ref().as_str() {
                        Some("read") => Some(Role::Read),
                        Some("purge") => Some(Role::Purge),
                        Some("admin") => Some(Role::Admin),
                        _ => self.wrong(value, "\"read\", \"purge\" or \"admin\""),
                    };
                }
                other => self.unknown(key.span().start, other, "a token"),
            }
        }
        match (name, token, role) {
            (Some(name), Some(token), Some(role)) => Some(Token { name, token, role }),
            _ => {
                self.fault(item.span().start, "a token table needs `name`, `token` and `role`");
                None
            }
        }
    }
}
