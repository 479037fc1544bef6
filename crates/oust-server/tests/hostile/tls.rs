//! TLS clients that name nobody, somebody else, or do not speak it.

use std::io::Write;

use super::common::{Oust, PATIENCE};
use super::wire::{all, certificate, plain, rest, statuses, tls, tls_addr};
use super::{costs, echo};

fn serve(name: &str, origin: &str) -> Oust {
    let (first, _) = certificate(&format!("{name}_first"), &["first.test"]);
    let (second, _) = certificate(&format!("{name}_second"), &["second.test"]);
    let text = format!(
        "[server]\nthreads = 1\nheader_timeout = \"200ms\"\ntls_listen = [\"127.0.0.1:0\"]\n[[site]]\nhosts = [\"first.test\", \"second.test\"]\norigins = [\"{origin}\"]\n{first}{second}"
    );
    Oust::configured(&format!("hostile_{name}"), &text)
}

/// What is shown to whom names nobody or a stranger is the first certificate; what is answered is by `Host`, whatever was named.
#[test]
fn names_choose_a_certificate_and_nothing_else() {
    let origin = echo();
    let oust = serve("names", &origin.url());
    let shown = |name: &str| {
        let mut stream = tls(tls_addr(&oust), name, &["http/1.1"]);
        let said = {
            stream.write_all(b"GET /p HTTP/1.1\r\nHost: second.test\r\nConnection: close\r\n\r\n").unwrap();
            rest(&mut stream)
        };
        assert!(
            String::from_utf8_lossy(&said).ends_with("0 second.test/p"),
            "{name}: {}",
            String::from_utf8_lossy(&said)
        );
        stream.conn.peer_certificates().unwrap()[0].to_vec()
    };
    // An address is no name: it is not sent.
    let (nobody, first, second) = (shown("127.0.0.1"), shown("first.test"), shown("second.test"));
    assert!(nobody == first && first != second);
    for stranger in ["evil.test", "first.test.evil.test", "xn--bcher-kva.test", &"a.".repeat(100)] {
        assert!(shown(stranger.trim_end_matches('.')) == first, "{stranger}");
    }
    // A host of no site is none by TLS either.
    let said = all(
        tls(tls_addr(&oust), "first.test", &["http/1.1"]),
        b"GET /p HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(statuses(&said), [421]);
    assert_eq!(origin.count(), 1);
}

/// Whoever does not speak TLS, or stops in the middle, is let go, and costs nothing.
#[test]
fn what_is_no_handshake_is_ended() {
    let origin = echo();
    let oust = serve("no_handshake", &origin.url());
    let before = costs(&oust);
    let hello = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: first.test\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"",
        b"\x16",
        &hello,
        &[0xff; 20_000],
        b"\x80\x2e\x01\0\x02",
    ] {
        for _ in 0..8 {
            let mut stream = plain(tls_addr(&oust));
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
            drop(stream.write_all(bytes));
            let said = rest(stream);
            assert!(!said.starts_with(b"HTTP/"), "{bytes:?}");
        }
    }
    assert_eq!(origin.count(), 0);
    super::until("connections end", || oust.api("GET", "/v1/stats", "").json()["connections"]["open"] == 0);
    super::until("descriptors are given back", || costs(&oust).1 <= before.1 + 1);
}
