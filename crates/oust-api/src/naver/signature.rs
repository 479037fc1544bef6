//! Who signed a request: signature version 2 of the vendor's gateway.
//!
//! What is signed is method, path and query as sent, timestamp and access key; the body is not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::account::{Naver, same_secret};
use crate::call::Call;
use crate::shared::Shared;

const TIMESTAMP: &str = "x-ncp-apigw-timestamp";
const ACCESS_KEY: &str = "x-ncp-iam-access-key";
const SIGNATURE: &str = "x-ncp-apigw-signature-v2";

/// How far a timestamp may be off, in milliseconds.
const SKEW_MS: u64 = 5 * 60 * 1000;

/// The account, with its index, that signed a request within the last minutes.
pub(super) fn signer<'a>(shared: &'a Shared, call: &Call<'_>) -> Option<(usize, &'a Naver)> {
    let timestamp = call.header(TIMESTAMP)?;
    let access_key = call.header(ACCESS_KEY)?;
    let given = call.header(SIGNATURE)?;
    if timestamp.parse::<u64>().ok()?.abs_diff(call.now_ms) > SKEW_MS {
        return None;
    }
    let mut clients = shared.accounts.iter().enumerate().filter_map(|(i, m)| Some((i, m.account.naver.as_ref()?)));
    let (index, naver) = clients.find(|(_, naver)| naver.access_key == access_key)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(naver.secret_key.as_bytes()).ok()?;
    mac.update(format!("{} {}\n{timestamp}\n{access_key}", call.method, call.target()).as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    same_secret(given.as_bytes(), signature.as_bytes()).then_some((index, naver))
}
