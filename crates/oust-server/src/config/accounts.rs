//! `[[account]]`: who may purge what through the CDN APIs.
//!
//! Secrets never reach a message: what is wrong with one is told by its place.

use oust_api::{Account, Azion, Cdnetworks, ImageKit, Medianova, Naver, Rate};
use toml::de::DeTable;

use super::AccountEntry;
use super::reader::{Reader, Value, non_empty, set};

impl Reader<'_> {
    pub(super) fn accounts(&mut self, value: &Value<'_>) -> Vec<AccountEntry> {
        let mut accounts: Vec<AccountEntry> = Vec::new();
        let Some(array) = value.get_ref().as_array() else {
            self.wrong::<()>(value, "[[account]] tables");
            return accounts;
        };
        for item in array.iter() {
            let Some(table) = self.table(item, "[[account]]") else { continue };
            let account = self.account(item.span().start, table);
            if !account.name.is_empty() && accounts.iter().any(|other| other.account.name == account.name) {
                self.fault(item.span().start, format!("two accounts are called {:?}", account.name));
            }
            accounts.push(AccountEntry { account, at: item.span().start });
        }
        accounts
    }

    fn account(&mut self, at: usize, table: &DeTable<'_>) -> Account {
        let mut account = Account::default();
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "name" => set(&mut account.name, self.secret(value)),
                "hosts" => account.hosts = self.list(value, "a host name, or \"*.\" before one", non_empty),
                "azion" => account.azion = self.azion(value),
                "naver" => account.naver = self.naver(value),
                "medianova" => account.medianova = self.medianova(value),
                "cdnetworks" => account.cdnetworks = self.cdnetworks(value),
                "imagekit" => account.imagekit = self.imagekit(value),
                "webhook_private" => set(&mut account.webhook_private, self.flag(value)),
                other => self.unknown(key.span().start, other, "[[account]]"),
            }
        }
        self.needs(at, table, "an [[account]]", &["name", "hosts"]);
        let dialects = ["azion", "naver", "medianova", "cdnetworks", "imagekit"];
        if !dialects.iter().any(|dialect| table.contains_key(*dialect)) {
            self.fault(
                at,
                format!("an [[account]] needs one of {}", dialects.map(|name| format!("`{name}`")).join(", ")),
            );
        }
        account
    }

    fn azion(&mut self, value: &Value<'_>) -> Option<Azion> {
        let table = self.table(value, "`azion`")?;
        let mut azion = Azion::default();
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "tokens" => azion.tokens = self.secrets(value),
                "url" => set(&mut azion.url, self.rate(value)),
                "wildcard" => set(&mut azion.wildcard, self.rate(value)),
                other => self.unknown(key.span().start, other, "`azion`"),
            }
        }
        self.needs(value.span().start, table, "`azion`", &["tokens"]);
        Some(azion)
    }

    fn naver(&mut self, value: &Value<'_>) -> Option<Naver> {
        let table = self.table(value, "`naver`")?;
        let mut naver = Naver::default();
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "access_key" => set(&mut naver.access_key, self.secret(value)),
                "secret_key" => set(&mut naver.secret_key, self.secret(value)),
                "edge_id" => set(&mut naver.edge_id, self.number(value)),
                other => self.unknown(key.span().start, other, "`naver`"),
            }
        }
        self.needs(value.span().start, table, "`naver`", &["access_key", "secret_key", "edge_id"]);
        Some(naver)
    }

    fn medianova(&mut self, value: &Value<'_>) -> Option<Medianova> {
        let table = self.table(value, "`medianova`")?;
        let mut medianova = Medianova::default();
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "organization" => set(&mut medianova.organization, self.secret(value)),
                "resources" => {
                    for (id, host) in self.table(value, "`resources`").into_iter().flatten() {
                        if let Some(host) = self.secret(host) {
                            medianova.resources.insert(id.get_ref().as_ref().to_owned(), host);
                        }
                    }
                }
                "tokens" => medianova.tokens = self.secrets(value),
                "api_key" => set(&mut medianova.api_key, self.secret(value)),
                "api_secret" => set(&mut medianova.api_secret, self.secret(value)),
                other => self.unknown(key.span().start, other, "`medianova`"),
            }
        }
        let at = value.span().start;
        self.needs(at, table, "`medianova`", &["organization", "resources"]);
        let pair = self.pair(at, table, "`medianova`", "api_key", "api_secret");
        if !pair && !table.contains_key("tokens") {
            self.fault(at, "`medianova` needs `tokens`, or `api_key` and `api_secret`");
        }
        Some(medianova)
    }

    fn cdnetworks(&mut self, value: &Value<'_>) -> Option<Cdnetworks> {
        let table = self.table(value, "`cdnetworks`")?;
        let mut cdnetworks = Cdnetworks::default();
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "user" => set(&mut cdnetworks.user, self.secret(value)),
                "api_key" => set(&mut cdnetworks.api_key, self.secret(value)),
                "access_key" => set(&mut cdnetworks.access_key, self.secret(value)),
                "secret_key" => set(&mut cdnetworks.secret_key, self.secret(value)),
                "rate" => set(&mut cdnetworks.rate, self.rate(value)),
                other => self.unknown(key.span().start, other, "`cdnetworks`"),
            }
        }
        let at = value.span().start;
        let basic = self.pair(at, table, "`cdnetworks`", "user", "api_key");
        let signed = self.pair(at, table, "`cdnetworks`", "access_key", "secret_key");
        if !basic && !signed {
            self.fault(at, "`cdnetworks` needs `user` and `api_key`, or `access_key` and `secret_key`");
        }
        Some(cdnetworks)
    }

    fn imagekit(&mut self, value: &Value<'_>) -> Option<ImageKit> {
        let table = self.table(value, "`imagekit`")?;
        let mut imagekit = ImageKit::default();
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "private_key" => set(&mut imagekit.private_key, self.secret(value)),
                "monthly" => set(&mut imagekit.monthly, self.number(value)),
                "wildcard" => set(&mut imagekit.wildcard, self.flag(value)),
                other => self.unknown(key.span().start, other, "`imagekit`"),
            }
        }
        self.needs(value.span().start, table, "`imagekit`", &["private_key"]);
        Some(imagekit)
    }

    pub(super) fn needs(&mut self, at: usize, table: &DeTable<'_>, place: &str, fields: &[&str]) {
        for field in fields.iter().filter(|field| !table.contains_key(**field)) {
            self.fault(at, format!("{place} needs `{field}`"));
        }
    }

    /// Whether two fields that need each other are there; one alone is a fault, and counts.
    fn pair(&mut self, at: usize, table: &DeTable<'_>, place: &str, one: &str, other: &str) -> bool {
        let (has_one, has_other) = (table.contains_key(one), table.contains_key(other));
        if has_one != has_other {
            let (has, lacks) = if has_one { (one, other) } else { (other, one) };
            self.fault(at, format!("{place} has `{has}` and needs `{lacks}` too"));
        }
        has_one || has_other
    }

    /// A text that is not empty: an empty secret would be known to everybody.
    fn secret(&mut self, value: &Value<'_>) -> Option<String> {
        let text = self.text(value)?;
        if text.is_empty() {
            self.fault(value.span().start, "expected a string that is not empty");
        }
        Some(text)
    }

    fn secrets(&mut self, value: &Value<'_>) -> Vec<String> {
        let secrets = self.list(value, "a string that is not empty", non_empty);
        if value.get_ref().as_array().is_some_and(|array| array.is_empty()) {
            self.fault(value.span().start, "expected at least one token");
        }
        secrets
    }

    fn rate(&mut self, value: &Value<'_>) -> Option<Rate> {
        self.parsed(value, "a rate: <requests>/<time>, such as \"200/60s\"")
    }

    fn number(&mut self, value: &Value<'_>) -> Option<u64> {
        let number = value.get_ref().as_integer();
        let number = number.and_then(|number| u64::from_str_radix(number.as_str(), number.radix()).ok());
        if number.is_none() {
            self.fault(value.span().start, "expected a whole number, 0 or more");
        }
        number
    }
}
