//! Who asks: Basic with an HMAC of the date, and the AK/SK scheme.
//!
//! Invariants:
//!
//! 1. A proof is good for 5 minutes either side of the time it names.
//! 2. A request that changes something is taken once: a signature that was used is remembered for as long as it would be good.
//! 3. Macs are compared in constant time, and computed for unknown users too. Nothing here prints a credential.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use http::Method;
use parking_lot::Mutex;
use percent_encoding::percent_decode;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::refusal::Refusal;
use crate::account::{AccountError, Cdnetworks, same_secret};
use crate::call::Call;
use crate::shared::Shared;
use crate::task::hex;

/// How far a proof's time may be from ours, in seconds.
const SKEW: u64 = 300;

/// Most signatures remembered for an account; beyond it requests are refused until some expire.
const MAX_SEEN: usize = 100_000;

const ALGORITHM: &str = "CNC-HMAC-SHA256";

/// The accounts by what they prove themselves with.
pub(super) struct Auth {
    users: HashMap<String, usize>,
    access_keys: HashMap<String, usize>,
    /// By account: signatures in use, each with the second it is of.
    seen: Vec<Mutex<BTreeSet<(u64, u128)>>>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("accounts", &self.seen.len()).finish_non_exhaustive()
    }
}

impl Auth {
    pub(super) fn new(shared: &Shared) -> Result<Self, AccountError> {
        let mut auth = Self { users: HashMap::new(), access_keys: HashMap::new(), seen: Vec::new() };
        for (index, member) in shared.accounts.iter().enumerate() {
            auth.seen.push(Mutex::default());
            let Some(own) = &member.account.cdnetworks else { continue };
            let wrong = |field: &str, reason: &str| {
                AccountError(format!("account '{}': cdnetworks.{field}: {reason}", member.account.name))
            };
            if own.user.contains(':') {
                return Err(wrong("user", "a user name holds no ':'"));
            }
            for (name, id, secret, map) in [
                ("user", &own.user, ("api_key", &own.api_key), &mut auth.users),
                ("access_key", &own.access_key, ("secret_key", &own.secret_key), &mut auth.access_keys),
            ] {
                match (id.is_empty(), secret.1.is_empty()) {
                    (true, true) => {}
                    (false, true) => return Err(wrong(secret.0, &format!("empty, although {name} is given"))),
                    (true, false) => return Err(wrong(name, &format!("empty, although {} is given", secret.0))),
                    (false, false) => {
                        if map.insert(id.clone(), index).is_some() {
                            return Err(wrong(name, "another account has the same"));
                        }
                    }
                }
            }
            if own.user.is_empty() && own.access_key.is_empty() {
                return Err(wrong("user", "empty, and so is access_key"));
            }
        }
        Ok(auth)
    }

    /// The account that asks.
    pub(super) fn check(&self, shared: &Shared, call: &Call<'_>) -> Result<usize, Refusal> {
        let given = call.header("authorization").ok_or_else(|| Refusal::unauthorized("No Authorization header."))?;
        match given.split_once(' ') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("basic") => self.basic(shared, call, rest.trim()),
            Some((ALGORITHM, rest)) => self.signed(shared, call, rest),
            _ => Err(Refusal::unauthorized("The Authorization header is neither Basic nor CNC-HMAC-SHA256.")),
        }
    }

    fn basic(&self, shared: &Shared, call: &Call<'_>, encoded: &str) -> Result<usize, Refusal> {
        let date = call.header("x-cnc-date").or_else(|| call.header("date"));
        let date = date.ok_or_else(|| Refusal::unauthorized("No Date header."))?;
        let at = httpdate::parse_http_date(date)
            .ok()
            .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok())
            .ok_or_else(|| Refusal::unauthorized("The Date header is no RFC 1123 date in GMT."))?;
        fresh(at.as_secs(), call.now_ms)?;

        let pair = BASE64_STANDARD.decode(encoded).unwrap_or_default();
        let pair = String::from_utf8(pair).unwrap_or_default();
        let (user, password) = pair.split_once(':').unwrap_or_default();
        let account = self.users.get(user).copied();
        let key = account.and_then(|account| credentials(shared, account)).map_or("", |own| own.api_key.as_str());
        let expected = date_password(key, date);
        match account {
            Some(account) if same_secret(password.as_bytes(), expected.as_bytes()) => Ok(account),
            _ => Err(Refusal::unauthorized("Wrong user or password.")),
        }
    }

    fn signed(&self, shared: &Shared, call: &Call<'_>, parts: &str) -> Result<usize, Refusal> {
        let part = |name: &str| {
            parts.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
        };
        let (access_key, signed_headers, signature) = (part("Credential"), part("SignedHeaders"), part("Signature"));
        if call.headers.contains_key("x-cnc-accesskey") && call.header("x-cnc-accesskey") != Some(access_key) {
            return Err(Refusal::unauthorized("x-cnc-accessKey is not the one of the Credential."));
        }
        let timestamp = call.header("x-cnc-timestamp").unwrap_or_default();
        let at = timestamp.parse().map_err(|_| Refusal::unauthorized("x-cnc-timestamp is no number of seconds."))?;
        fresh(at, call.now_ms)?;

        let signed_headers = signed_headers.to_ascii_lowercase();
        if !signed_headers.split(';').any(|name| name == "host") {
            return Err(Refusal::unauthorized("SignedHeaders do not name host."));
        }
        let canonical = canonical(call, &signed_headers)?;
        let account = self.access_keys.get(access_key).copied();
        let key = account.and_then(|account| credentials(shared, account)).map_or("", |own| own.secret_key.as_str());
        let text = format!("{ALGORITHM}\n{timestamp}\n{}", hex(&Sha256::digest(&canonical)));
        let mac = mac_sha256(key, text.as_bytes());
        match account {
            Some(account) if same_secret(signature.to_ascii_lowercase().as_bytes(), hex(&mac).as_bytes()) => {
                // Reading twice is harmless, and clients that poll do it several times a second.
                if call.method != Method::GET {
                    self.once(account, at, &mac, call.now_ms)?;
                }
                Ok(account)
            }
            _ => Err(Refusal::unauthorized("Wrong access key or signature.")),
        }
    }

    /// Refuses a signature that was used before.
    fn once(&self, account: usize, at: u64, mac: &[u8], now_ms: u64) -> Result<(), Refusal> {
        // Half of a mac tells signatures apart as well as the whole.
        let half = mac.iter().take(16).fold(0_u128, |half, &byte| half << 8 | u128::from(byte));
        let Some(seen) = self.seen.get(account) else { return Ok(()) };
        let mut seen = seen.lock();
        let oldest = (now_ms / 1000).saturating_sub(SKEW + 1);
        while seen.first().is_some_and(|&(at, _)| at < oldest) {
            seen.pop_first();
        }
        if seen.contains(&(at, half)) {
            return Err(Refusal::unauthorized("This signature was used before."));
        }
        if seen.len() >= MAX_SEEN {
            return Err(Refusal::too_many(format!("More than {MAX_SEEN} signed requests in 5 minutes."), SKEW * 1000));
        }
        seen.insert((at, half));
        Ok(())
    }
}

fn credentials(shared: &Shared, account: usize) -> Option<&Cdnetworks> {
    shared.accounts.get(account)?.account.cdnetworks.as_ref()
}

fn fresh(at: u64, now_ms: u64) -> Result<(), Refusal> {
    if at.saturating_mul(1000).abs_diff(now_ms) > SKEW * 1000 {
        return Err(Refusal::unauthorized("The request's time is more than 5 minutes from the server's."));
    }
    Ok(())
}

/// What a signature covers, before it is hashed.
fn canonical(call: &Call<'_>, signed_headers: &str) -> Result<Vec<u8>, Refusal> {
    let mut text = format!("{}\n{}\n", call.method, call.path).into_bytes();
    if let Some(query) = call.query.filter(|_| call.method != Method::POST) {
        text.extend(percent_decode(query.replace('+', " ").as_bytes()));
    }
    text.push(b'\n');
    for name in signed_headers.split(';') {
        let value = if name == "host" { call.host() } else { call.header(name) };
        let value = value.ok_or_else(|| Refusal::unauthorized("A header of SignedHeaders is not there, or twice."))?;
        text.extend_from_slice(format!("{name}:{}\n", value.to_lowercase()).as_bytes());
    }
    let body: &[u8] = if call.method == Method::GET { b"" } else { call.body };
    text.extend_from_slice(format!("\n{signed_headers}\n{}", hex(&Sha256::digest(body))).as_bytes());
    Ok(text)
}

fn mac_sha256(key: &str, text: &[u8]) -> Vec<u8> {
    // A key of any length is taken.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else { return Vec::new() };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// The password of a date: what clients send us, and we send to webhooks.
pub(super) fn date_password(key: &str, date: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(key.as_bytes()) else { return String::new() };
    mac.update(date.as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}
