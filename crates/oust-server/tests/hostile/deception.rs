//! Cache deception: a private page under a URL that looks like a file. The name of a URL never makes anything storable here; what makes it so is what the
//! origin says.

use super::common::{Origin, Oust};

/// Endings that make other caches store.
const SPELLINGS: [&str; 15] = [
    "/account/x.css",
    "/account;x.css",
    "/account;x=.js",
    "/account%2fx.css",
    "/account%00x.css",
    "/account%0ax.css",
    "/account%23x.css",
    "/account%3fx.css",
    "/account%3bx.css",
    "/account.css",
    "/account/.css",
    "/account/..%2fx.css",
    "/static/..%2faccount",
    "/account?x.css",
    "/account/x.css.",
];

#[test]
fn no_ending_makes_a_private_page_storable() {
    for (name, fields) in [
        ("nothing said", &[][..]),
        ("private", &[("Cache-Control", "private, max-age=60")]),
        ("no-store", &[("Cache-Control", "no-store")]),
        ("a cookie is set", &[("Cache-Control", "max-age=60"), ("Set-Cookie", "session=1")]),
        ("expired", &[("Expires", "0")]),
        ("no-cache without a validator", &[("Cache-Control", "no-cache")]),
    ] {
        let origin = Origin::start(|seen, reply| {
            reply.send(200, fields, &format!("secret of {}", seen.header("cookie").unwrap_or("nobody")));
        });
        let oust = Oust::before(&origin);
        for path in SPELLINGS {
            assert_eq!(oust.get_with(path, &[("Cookie", "victim")]).text(), "secret of victim", "{name} {path}");
            let attacker = oust.get(path);
            assert_eq!((attacker.is_hit(), attacker.text().as_str()), (false, "secret of nobody"), "{name} {path}");
        }
    }
}

#[test]
fn what_is_asked_for_with_credentials_is_stored_only_where_it_is_said_to_be_for_all() {
    let origin = Origin::start(|seen, reply| {
        let control = if seen.target.contains("public") { "public, max-age=60" } else { "max-age=60" };
        reply.send(200, &[("Cache-Control", control)], "secret");
    });
    let oust = Oust::before(&origin);
    for path in SPELLINGS {
        for authorization in ["Basic dTpw", "Bearer x", ""] {
            oust.get_with(path, &[("Authorization", authorization)]);
        }
        assert!(!oust.get(path).is_hit(), "{path}");
    }
    oust.get_with("/public.css", &[("Authorization", "Basic dTpw")]);
    assert!(oust.get("/public.css").is_hit());
}

/// A lifetime by guess (`Last-Modified`) is no licence for a page that sets a cookie or was asked for with credentials.
#[test]
fn no_guess_makes_it_storable() {
    let fields = [("Last-Modified", "Sat, 01 Jan 2000 00:00:00 GMT"), ("Set-Cookie", "session=1")];
    let origin = Origin::start(move |_, reply| reply.send(200, &fields, "secret"));
    let oust = Oust::before(&origin);
    for path in SPELLINGS {
        oust.get_with(path, &[("Cookie", "victim")]);
        assert!(!oust.get(path).is_hit(), "{path}");
    }
    let origin = Origin::start(move |_, reply| reply.send(200, &fields[..1], "secret"));
    let oust = Oust::before(&origin);
    oust.get_with("/account/x.css", &[("Authorization", "Basic dTpw")]);
    assert!(!oust.get("/account/x.css").is_hit());
}
