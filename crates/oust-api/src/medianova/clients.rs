//! Whose a token, an API key and a resource are.

use std::collections::HashMap;

use super::session::Sessions;
use crate::account::{AccountError, Medianova, canonical_host, same_secret};
use crate::shared::{Member, Shared};

/// The accounts' resources, by account, and the tokens they logged in for.
#[derive(Debug)]
pub(super) struct Clients {
    /// By account: canonical host by resource. UUIDs are in lower case, since their case does not count.
    resources: Vec<HashMap<String, String>>,
    pub(super) sessions: Sessions,
}

impl Clients {
    /// # Errors
    ///
    /// Names the account and what is wrong: a resource whose host is not the account's, a credential that is empty or that two accounts share.
    pub(super) fn new(shared: &Shared) -> Result<Self, AccountError> {
        let mut resources: Vec<HashMap<String, String>> = Vec::new();
        let mut earlier: Vec<&Medianova> = Vec::new();
        for member in &shared.accounts {
            let named = |wrong: String| AccountError(format!("account '{}': medianova: {wrong}", member.account.name));
            let Some(medianova) = &member.account.medianova else {
                resources.push(HashMap::new());
                continue;
            };
            check(medianova, &earlier).map_err(named)?;
            resources.push(hosts(medianova, member, shared).map_err(named)?);
            earlier.push(medianova);
        }
        Ok(Self { sessions: Sessions::new(resources.len()), resources })
    }

    /// The account that a token is of: one that does not expire, or one that was logged in for.
    pub(super) fn of_token(&self, shared: &Shared, token: &str, now_ms: u64) -> Option<usize> {
        let fixed = shared.whose(|account| {
            let tokens = account.medianova.iter().flat_map(|client| &client.tokens);
            tokens.fold(false, |found, kept| same_secret(token.as_bytes(), kept.as_bytes()) | found)
        });
        fixed.or_else(|| self.sessions.account(token, now_ms))
    }

    /// The account that an API key and its secret are of.
    pub(super) fn of_key(shared: &Shared, key: &str, secret: &str) -> Option<usize> {
        shared.whose(|account| {
            account.medianova.as_ref().is_some_and(|client| {
                same_secret(key.as_bytes(), client.api_key.as_bytes())
                    & same_secret(secret.as_bytes(), client.api_secret.as_bytes())
            })
        })
    }

    /// The host of a resource of an account.
    pub(super) fn host(&self, account: usize, resource: &str) -> Option<&str> {
        self.resources.get(account)?.get(&resource.to_ascii_lowercase()).map(String::as_str)
    }
}

/// Checks an account's credentials by themselves and against those of the accounts before it.
fn check(client: &Medianova, earlier: &[&Medianova]) -> Result<(), String> {
    if client.organization.is_empty() {
        return Err("organization is empty".to_owned());
    }
    if client.tokens.iter().any(String::is_empty) {
        return Err("one of tokens is empty".to_owned());
    }
    if client.api_key.is_empty() != client.api_secret.is_empty() {
        return Err("api_key and api_secret go together".to_owned());
    }
    for other in earlier {
        if client.tokens.iter().any(|token| other.tokens.contains(token)) {
            return Err("one of tokens is that of another account too".to_owned());
        }
        if !client.api_key.is_empty() && client.api_key == other.api_key {
            return Err("api_key is that of another account too".to_owned());
        }
        if client.organization.eq_ignore_ascii_case(&other.organization) {
            let shared = |uuid: &&String| other.resources.keys().any(|key| key.eq_ignore_ascii_case(uuid));
            if let Some(uuid) = client.resources.keys().find(shared) {
                return Err(format!("resource '{uuid}' is that of another account too"));
            }
        }
    }
    Ok(())
}

/// The hosts of an account's resources.
fn hosts(client: &Medianova, member: &Member, shared: &Shared) -> Result<HashMap<String, String>, String> {
    let mut hosts = HashMap::new();
    for (uuid, name) in &client.resources {
        let host = canonical_host(name, &shared.cache.sites())
            .map_err(|reason| format!("host '{name}' of resource '{uuid}': {reason}"))?;
        if !member.hosts.contains(&host) {
            return Err(format!("host '{name}' of resource '{uuid}' is not among the account's hosts"));
        }
        if hosts.insert(uuid.to_ascii_lowercase(), host).is_some() {
            return Err(format!("resource '{uuid}' is there twice"));
        }
    }
    Ok(hosts)
}
