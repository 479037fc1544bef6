//! Azion Real-Time Purge, versions 1 to 4.
//!
//! Invariants:
//!
//! 1. A request is refused or takes effect as a whole, but for URLs before version 4: those of foreign hosts are named, the others purged.
//! 2. Requests count once their account is known, whatever becomes of them: URLs and keys of all versions together, wildcards apart.

mod answer;
pub(crate) mod pattern;
mod request;

use http::{HeaderMap, Method, StatusCode};
use oust::purge::{Layers, PurgeErrorKind};
use oust::site::Sites;
use oust::{Action, Key, Selector};

use self::answer::{Outcome, Problem, with_fields};
use self::request::{Asked, Kind, Route, Version};
use crate::account::{Account, AccountError, canonical_host, same_secret};
use crate::call::{Call, Reply, empty};
use crate::rate::{Limiter, Rate};
use crate::shared::{Refused, Shared};
use crate::variation;

/// URLs and keys an account may name, over all requests.
const OBJECTS: Rate = Rate::new(10_000, 60);

/// The dialect's state.
#[derive(Debug)]
pub(crate) struct Dialect {
    /// By account, of those that have credentials here.
    quotas: Vec<Option<Quotas>>,
}

/// What an account has used up.
#[derive(Debug)]
struct Quotas {
    /// Requests for URLs and keys.
    exact: Limiter,
    wildcard: Limiter,
    /// URLs and keys named in requests.
    objects: Limiter,
}

impl Quotas {
    /// Counts the URLs and keys a request names.
    fn name(&self, asked: &Asked, kind: Kind, now_ms: u64) -> Result<(), Problem> {
        if kind == Kind::Wildcard {
            return Ok(());
        }
        let quota = self.objects.count(now_ms, u64::try_from(asked.items.len()).unwrap_or(u64::MAX));
        if quota.admitted { Ok(()) } else { Err(Problem::throttled("objects", quota, now_ms)) }
    }
}

impl Dialect {
    /// # Errors
    ///
    /// Names the account with a token that is empty or another's.
    pub(crate) fn new(shared: &Shared) -> Result<Self, AccountError> {
        let accounts = || shared.accounts.iter().map(|member| &member.account);
        for (index, account) in accounts().enumerate() {
            for token in account.azion.iter().flat_map(|azion| &azion.tokens) {
                if token.is_empty() {
                    return Err(AccountError(format!("account '{}': azion.tokens: an empty token", account.name)));
                }
                let has = |other: &Account| other.azion.as_ref().is_some_and(|azion| azion.tokens.contains(token));
                if let Some(other) = accounts().take(index).find(|other| has(other)) {
                    let (name, other) = (&account.name, &other.name);
                    return Err(AccountError(format!(
                        "account '{name}': azion.tokens: one is a token of '{other}' too"
                    )));
                }
            }
        }
        let quotas = |account: &Account| {
            account.azion.as_ref().map(|azion| Quotas {
                exact: Limiter::new(azion.url),
                wildcard: Limiter::new(azion.wildcard),
                objects: Limiter::new(OBJECTS),
            })
        };
        Ok(Self { quotas: accounts().map(quotas).collect() })
    }

    /// The answer, if the path is one of this dialect's.
    pub(crate) fn handle(&self, shared: &Shared, call: &Call<'_>) -> Option<Reply> {
        let route = Route::of(call.path)?;
        let (version, acceptable) = match route.version(call.headers) {
            Ok(version) => (version, Ok(())),
            Err((version, problem)) => (version, Err(problem)),
        };
        let Some(kind) = route.kind else { return Some(with_fields(Problem::not_found().reply(version), None)) };
        let Some((account, quotas)) = self.authenticate(shared, call) else {
            return Some(with_fields(Problem::unauthenticated().reply(version), None));
        };
        let limiter = if kind == Kind::Wildcard { &quotas.wildcard } else { &quotas.exact };
        if call.method == Method::OPTIONS {
            return Some(with_fields(empty(StatusCode::NO_CONTENT), Some(limiter.peek(call.now_ms))));
        }
        let quota = limiter.take(call.now_ms);
        let answer = if !quota.admitted {
            Err(Problem::throttled("requests", quota, call.now_ms))
        } else if call.method != Method::POST {
            Err(Problem::method())
        } else {
            acceptable.and_then(|()| {
                let asked = Asked::read(call.body, kind, &route)?;
                quotas.name(&asked, kind, call.now_ms)?;
                let outcome = purge(shared, account, &asked, kind, version)?;
                Ok(outcome.reply(&asked, kind, version))
            })
        };
        let reply = answer.unwrap_or_else(|problem| problem.reply(version));
        Some(with_fields(reply, Some(quota)))
    }

    /// The account a token is of. All tokens are compared, so that the time says nothing of them.
    fn authenticate(&self, shared: &Shared, call: &Call<'_>) -> Option<(usize, &Quotas)> {
        let (scheme, given) = call.header("authorization")?.split_once(' ')?;
        if !["token", "bearer"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return None;
        }
        let given = given.trim().as_bytes();
        let account = shared.whose(|account| {
            let tokens = account.azion.iter().flat_map(|azion| &azion.tokens);
            tokens.fold(false, |found, token| same_secret(given, token.as_bytes()) | found)
        })?;
        Some((account, self.quotas.get(account)?.as_ref()?))
    }
}

/// Purges what is asked.
fn purge(shared: &Shared, account: usize, asked: &Asked, kind: Kind, version: Version) -> Result<Outcome, Problem> {
    let sites = &*shared.cache.sites();
    let configured = |host: &str| {
        let hosts = shared.accounts.get(account).map(|member| &member.hosts);
        canonical_host(host, sites).is_ok_and(|host| hosts.is_some_and(|hosts| hosts.contains(&host)))
    };
    let mut selectors = Vec::new();
    let mut outcome = Outcome::default();
    for (item, text) in asked.items.iter().enumerate() {
        let read = match kind {
            Kind::Url => pattern::url(text, &configured).map(|keys| in_default_variation(keys, sites)),
            Kind::Cachekey => pattern::cachekey(text, &configured),
            Kind::Wildcard => pattern::wildcard(text, &configured),
        };
        let read = read.map_err(|detail| Problem::item(asked, item, kind, detail))?;
        match shared.check(account, &read) {
            Ok(()) => {
                selectors.extend(read);
                outcome.accepted.push(item);
            }
            Err(Refused::Host(..)) => outcome.foreign.push(item),
            Err(refused) => return Err(problem(refused, asked, (item, &read), kind)),
        }
    }
    let partial = kind == Kind::Url && version != Version::V4;
    if let Some(&item) = outcome.foreign.first().filter(|_| !partial) {
        return Err(Problem::foreign(asked, item));
    }
    // Where there is no L2, nothing is in it.
    if !selectors.is_empty() && (!asked.l2 || shared.l2) {
        let layers = Layers { edge: !asked.l2, l2: asked.l2 };
        let purged = shared.purge(account, selectors, Action::Delete, layers);
        purged.map_err(|refused| problem(refused, asked, (0, &[]), kind))?;
    }
    Ok(outcome)
}

/// The keys requests with nothing but Host have.
fn in_default_variation(keys: Vec<Selector>, sites: &Sites) -> Vec<Selector> {
    let vary = |selector: Selector| {
        let Selector::Key(text) = &selector else { return selector };
        let key = Key::parse(text.as_bytes()).and_then(|key| variation::of_request(key, &HeaderMap::new(), sites));
        key.map_or(selector, |key| Selector::Key(key.to_string()))
    };
    keys.into_iter().map(vary).collect()
}

/// The answer to a refusal of an item, given with what it was read as.
fn problem(refused: Refused, asked: &Asked, (item, read): (usize, &[Selector]), kind: Kind) -> Problem {
    match refused {
        Refused::Selector(index, error) => {
            let text = match read.get(index) {
                Some(Selector::Key(text) | Selector::Glob(text)) => text,
                _ => "",
            };
            Problem::item(asked, item, kind, format!("'{text}': {error}"))
        }
        Refused::Host(..) => Problem::foreign(asked, item),
        Refused::Engine(error) => match error.kind() {
            PurgeErrorKind::Malformed | PurgeErrorKind::TooLarge => Problem::invalid(error.to_string()),
            _ => Problem::unavailable(error.to_string()),
        },
    }
}
