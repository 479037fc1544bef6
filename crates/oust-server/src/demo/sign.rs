//! How clients of the CDN APIs prove who they are.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// Header fields of a request.
pub(super) type Fields = Vec<(&'static str, String)>;

/// A request to be signed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    /// Path and query as sent.
    pub(super) target: &'a str,
    /// `Host` as sent.
    pub(super) host: &'a str,
    pub(super) body: &'a str,
    /// Since the Unix epoch.
    pub(super) now: Duration,
}

/// The time of day for a signature.
pub(super) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Basic credentials with an empty password.
pub(super) fn basic(user: &str) -> Fields {
    vec![("authorization", format!("Basic {}", STANDARD.encode(format!("{user}:"))))]
}

/// Naver's signature, version 2.
pub(super) fn naver(asked: Asked<'_>, access_key: &str, secret_key: &str) -> Fields {
    let timestamp = asked.now.as_millis().to_string();
    let message = format!("{} {}\n{timestamp}\n{access_key}", asked.method, asked.target);
    let signature = STANDARD.encode(hmac_sha256(secret_key, &message));
    vec![
        ("x-ncp-apigw-timestamp", timestamp),
        ("x-ncp-iam-access-key", access_key.to_owned()),
        ("x-ncp-apigw-signature-v2", signature),
    ]
}

/// CDNetworks' AK/SK signature. The targets here have no query.
pub(super) fn cdnetworks(asked: Asked<'_>, access_key: &str, secret_key: &str) -> Fields {
    const TYPE: &str = "application/json";
    const SIGNED: &str = "content-type;host";
    let Asked { method, target, host, body, now } = asked;
    let (timestamp, body) = (now.as_secs().to_string(), hex(&Sha256::digest(body)));
    let request = format!("{method}\n{target}\n\ncontent-type:{TYPE}\nhost:{host}\n\n{SIGNED}\n{body}");
    let message = format!("CNC-HMAC-SHA256\n{timestamp}\n{}", hex(&Sha256::digest(request)));
    let signature = hex(&hmac_sha256(secret_key, &message));
    let authorization =
        format!("CNC-HMAC-SHA256 Credential={access_key}, SignedHeaders={SIGNED}, Signature={signature}");
    vec![
        ("authorization", authorization),
        ("content-type", TYPE.to_owned()),
        ("x-cnc-accesskey", access_key.to_owned()),
        ("x-cnc-timestamp", timestamp),
        ("x-cnc-auth-method", "AKSK".to_owned()),
    ]
}

fn hmac_sha256(key: &str, message: &str) -> Vec<u8> {
    // HMAC takes keys of any length: the error is for other constructions.
    Hmac::<Sha256>::new_from_slice(key.as_bytes())
        .map(|mac| mac.chain_update(message).finalize().into_bytes().to_vec())
        .unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the vendors' own clients sent.
    #[test]
    fn signatures_are_those_of_real_clients() {
        let asked = |method, target, now| Asked { method, target, host: "127.0.0.1:18080", body: "", now };
        let post = asked("POST", "/api/v1/purge", Duration::from_millis(1_795_172_087_900));
        let get = asked(
            "GET",
            "/api/v1/purge/3720001?responseFormatType=json&regionCode=KR",
            Duration::from_millis(1_795_172_087_949),
        );
        for (asked, wanted) in [
            (post, "Vt8dqgqL/l3tOcnFPoi52vII1X7EEQY9R+OXsooaxWk="),
            (get, "8RXnrLNrjfEt3g8RUGqAczw+IcmQ+ZA70gdcNRYp86w="),
        ] {
            assert_eq!(naver(asked, "AK", "SK")[2], ("x-ncp-apigw-signature-v2", wanted.to_owned()));
        }
        let get = asked("GET", "/cdn/purges/5dca2205f9e9cc0001df7b33", Duration::from_secs(1_795_172_402));
        let (_, authorization) = &cdnetworks(get, "AK", "SK")[0];
        assert!(
            authorization.ends_with("=bddfdf251facaff3b55c3de78d38e6678fc0896d19f1c0ca62d4a1c897c2fe6b"),
            "{authorization}"
        );
        assert_eq!(basic("private_abc")[0].1, "Basic cHJpdmF0ZV9hYmM6");
    }
}
