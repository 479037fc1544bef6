//! Status, lists and sums.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use oust::clock::{Clock, ManualClock};
use oust_api::Api;
use serde_json::{Value, json};

use super::{account, get, purge, purged, refused, sites};
use crate::common::{Fixture, NOW_MS};

#[test]
fn a_task_tells_what_was_asked_and_how_far_it_is() {
    let fixture = Fixture::new([account("acme", &["h"]), account("rival", &["other"])]);
    let fields = json!([{ "name": "X-Lang", "value": "de" }]);
    let body = json!({
        "name": "spring sale",
        "fileUrls": ["http://h/a", "http://H/b"],
        "fileHeaders": fields,
        "dirUrls": ["http://h/d/*"],
        "regexPatterns": ["any://h/r"],
        "target": "production",
    });
    let answer = purge(&fixture, "acme", &body);
    let location = answer.headers["location"].to_str().unwrap().replace("http://api.cdnetworks.com", "");
    let mut wanted = body;
    wanted["dirHeaders"] = json!([]);
    wanted["action"] = json!("invalidate");
    wanted["webhook"] = Value::Null;
    wanted["submissionTime"] = json!("2026-11-21T12:00:00Z");
    wanted["finishTime"] = Value::Null;
    wanted["successRate"] = json!(0);
    wanted["status"] = json!("waiting");
    wanted["apiRequestId"] = json!(answer.headers["x-cnc-request-id"].to_str().unwrap());
    let status = get(&fixture, "acme", &location);
    assert_eq!((status.status.as_u16(), &status.json), (200, &wanted));
    assert_eq!(status.headers["content-type"], "application/json;charset=utf-8");
    refused(&get(&fixture, "rival", &location), 404, "NotFound", "There is no such purge request.");

    fixture.clock.advance(Duration::from_secs(65));
    fixture.cache.sweep();
    wanted["finishTime"] = json!("2026-11-21T12:01:05Z");
    wanted["successRate"] = json!(100);
    wanted["status"] = json!("finished");
    assert_eq!(get(&fixture, "acme", &location).json, wanted);
}

/// A clock that runs something each time the sweep reads it.
#[derive(Debug, Default)]
struct Hooked {
    clock: ManualClock,
    hook: OnceLock<Hook>,
}

struct Hook(Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

impl Clock for Hooked {
    fn now_ms(&self) -> u64 {
        if let Some(hook) = self.hook.get() {
            hook.0();
        }
        self.clock.now_ms()
    }
}

#[test]
fn a_task_is_in_progress_while_it_is_swept() {
    let hooked = Arc::new(Hooked::default());
    hooked.clock.set(NOW_MS);
    let config = oust::Config::new().edge_size(16 << 20).background_sweep(false);
    let cache = config.clock(Arc::clone(&hooked) as _).build().unwrap();
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let api = Api::with_clock(cache.clone(), [account("acme", &["h"])], Arc::clone(&clock) as _).unwrap();
    let fixture = Arc::new(Fixture { cache, api, clock });
    let path = purged(&fixture, "acme", &json!({ "fileUrls": ["http://h/a"], "target": "production" }));

    let seen = Arc::new(Mutex::new(Vec::new()));
    let (inside, states) = (Arc::downgrade(&fixture), Arc::clone(&seen));
    let look = move || {
        let fixture = inside.upgrade().unwrap();
        let status = get(&fixture, "acme", &path).json;
        states.lock().unwrap().push((status["status"].clone(), status["finishTime"].clone()));
    };
    hooked.hook.set(Hook(Box::new(look))).unwrap();
    fixture.cache.sweep();
    // The sweep reads the clock when it takes the purge up, and when it is done.
    assert_eq!(*seen.lock().unwrap(), [(json!("waiting"), Value::Null), (json!("inprogress"), Value::Null)]);
}

/// Three purges: `a` of files by day 0, `b` of directories in staging by day 1, `c` of everything by day 2, of which `b` is finished.
fn three() -> (Fixture, [String; 3]) {
    let fixture = Fixture::with_sites(sites(), [account("acme", &["h", "s"]), account("rival", &["other"])]);
    let day = Duration::from_secs(24 * 3600);
    let a = purged(&fixture, "acme", &json!({ "fileUrls": ["http://h/a", "https://h/b"], "target": "production" }));
    fixture.clock.advance(day);
    let b = purged(&fixture, "acme", &json!({ "dirUrls": ["http://s/**"], "action": "delete", "target": "staging" }));
    fixture.cache.sweep();
    fixture.clock.advance(day);
    let all = json!({
        "fileUrls": ["http://h/a"],
        "dirUrls": ["http://www.h/*", "http://h/b*"],
        "regexPatterns": ["any://h/x"],
        "target": "production",
    });
    let c = purged(&fixture, "acme", &all);
    purged(&fixture, "rival", &json!({ "fileUrls": ["http://other/a"], "target": "production" }));
    (fixture, [a, b, c].map(|path| path.replace("/cdn/purges/", "")))
}

#[test]
fn rows_of_lists() {
    let (fixture, [_, b, c]) = three();
    let list = get(&fixture, "acme", "/cdn/purges?limit=2");
    assert_eq!((list.status.as_u16(), &list.json["count"]), (200, &json!(3)));
    let mut rows = list.json["purgeRequests"].as_array().unwrap().clone();
    for row in &mut rows {
        assert_eq!(row["apiRequestId"].as_str().unwrap().len(), 32);
        row.as_object_mut().unwrap().remove("apiRequestId");
    }
    let wanted = json!([
        {
            "id": c, "submissionTime": "2026-11-23T12:00:00Z", "hostnames": ["h", "www.h"],
            "fileEntries": 1, "dirEntries": 2, "regexEntries": 1, "target": "production",
            "successRate": 0, "status": "waiting", "finishTime": null,
        },
        {
            "id": b, "submissionTime": "2026-11-22T12:00:00Z", "hostnames": ["s"],
            "fileEntries": 0, "dirEntries": 1, "regexEntries": 0, "target": "staging",
            "successRate": 100, "status": "finished", "finishTime": "2026-11-22T12:00:00Z",
        },
    ]);
    assert_eq!(Value::from(rows), wanted);
}

#[test]
fn lists_are_filtered_and_sorted() {
    // The first sweep finishes `a` and `b` at once; `c` is not finished.
    let (fixture, ids) = three();
    let search = format!("search={}", ids[1]);
    let cases = [
        ("", "cba", 3),
        ("limit=1", "c", 3),
        ("offset=1", "ba", 3),
        ("offset=2&limit=200", "a", 3),
        ("offset=7", "", 3),
        ("sortOrder=asc", "abc", 3),
        ("sortBy=submissionTime&sortOrder=desc", "cba", 3),
        ("sortBy=finishTime", "cba", 3),
        ("sortBy=finishTime&sortOrder=asc", "abc", 3),
        ("target=production", "ca", 2),
        ("target=staging", "b", 1),
        ("action=delete", "b", 1),
        ("action=invalidate", "ca", 2),
        ("maxSuccessRate=99", "c", 1),
        ("maxSuccessRate=100", "cba", 3),
        ("search=H", "ca", 2),
        ("search=www", "c", 1),
        (search.as_str(), "b", 1),
        ("search=other", "", 0),
        ("search=nothing&target=&enddate=", "", 0),
        ("startdate=2026-11-22T12:00:00Z", "cb", 2),
        ("startdate=2026-11-22T12%3A00%3A01Z", "c", 1),
        ("enddate=2026-11-22T12:00:00Z", "ba", 2),
        ("enddate=2026-11-22T11:59:59.999Z", "a", 1),
        ("startdate=2026-11-22T00:00:00Z&enddate=2026-11-23T00:00:00Z", "b", 1),
        ("startdate=2020-01-01T00:00:00Z", "cba", 3),
    ];
    for (query, wanted, count) in cases {
        let list = get(&fixture, "acme", &format!("/cdn/purges?{query}"));
        assert_eq!(list.status, 200, "{query}: {}", list.json);
        let rows = list.json["purgeRequests"].as_array().unwrap();
        let name = |row: &Value| char::from(b"abc"[ids.iter().position(|id| row["id"] == json!(id)).unwrap()]);
        assert_eq!(rows.iter().map(name).collect::<String>(), wanted, "{query}");
        assert_eq!(list.json["count"], count, "{query}");
    }
    for query in [
        "limit=0",
        "limit=201",
        "limit=x",
        "offset=-1",
        "sortBy=id",
        "sortOrder=up",
        "target=all",
        "action=soft",
        "maxSuccessRate=101",
        "startdate=2026-11-22",
        "startdate=2026-11-22T12:00:00%2B01:00",
        "enddate=now",
        "startdate=2026-11-23T00:00:00Z&enddate=2026-11-22T00:00:00Z",
    ] {
        let name = query.split('=').next().unwrap();
        refused(
            &get(&fixture, "acme", &format!("/cdn/purges?{query}")),
            400,
            "InvalidParameter",
            &format!("{name} is..."),
        );
    }
}

#[test]
fn lists_go_back_fifteen_days() {
    let (fixture, ids) = three();
    fixture.clock.set(NOW_MS + 15 * 24 * 3_600_000);
    assert_eq!(get(&fixture, "acme", "/cdn/purges").json["count"], 3);
    fixture.clock.advance(Duration::from_secs(1));
    for query in ["", "?startdate=2026-11-01T00:00:00Z"] {
        assert_eq!(get(&fixture, "acme", &format!("/cdn/purges{query}")).json["count"], 2);
    }
    assert_eq!(get(&fixture, "acme", &format!("/cdn/purges/{}", ids[0])).status, 200, "by its id it is still there");
}

#[test]
fn sums() {
    let (fixture, _) = three();
    let both = "startdate=2026-11-21T00:00:00Z&enddate=2026-11-24T00:00:00Z";
    let cases = [
        (both.to_owned(), [3, 2, 2, 1, 3, 3, 1]),
        (format!("{both}&target=production"), [2, 2, 1, 1, 3, 2, 1]),
        (format!("{both}&target=staging"), [1, 0, 1, 0, 0, 1, 0]),
        ("startdate=2026-11-21T00:00:00Z&enddate=2026-11-21T12:00:00Z".to_owned(), [1, 1, 0, 0, 2, 0, 0]),
    ];
    for (query, [requests, files, dirs, regexes, file_entries, dir_entries, regex_entries]) in cases {
        let sums = get(&fixture, "acme", &format!("/cdn/purges/purgeSummary?{query}"));
        let wanted = json!({
            "requests": requests, "fileRequests": files, "dirRequests": dirs, "regexRequests": regexes,
            "fileEntries": file_entries, "dirEntries": dir_entries, "regexEntries": regex_entries,
        });
        assert_eq!((sums.status.as_u16(), sums.json), (200, wanted), "{query}");
    }
    for query in ["", "?startdate=2026-11-21T00:00:00Z", "?enddate=2026-11-21T00:00:00Z", "?startdate=a&enddate=b"] {
        let answer = get(&fixture, "acme", &format!("/cdn/purges/purgeSummary{query}"));
        refused(&answer, 400, "InvalidParameter", "...");
    }
}

#[test]
fn a_period_before_what_lists_go_back_to_is_empty() {
    let fixture = Fixture::new([account("acme", &["h"])]);
    purged(&fixture, "acme", &json!({ "fileUrls": ["http://h/a"], "target": "production" }));
    for (query, status) in [
        ("enddate=2026-10-01T00:00:00Z", 200),
        ("startdate=2026-09-01T00:00:00Z&enddate=2026-10-01T00:00:00Z", 200),
        ("startdate=2026-10-02T00:00:00Z&enddate=2026-10-01T00:00:00Z", 400),
    ] {
        let answer = get(&fixture, "acme", &format!("/cdn/purges?{query}"));
        assert_eq!(answer.status, status, "{query}: {}", answer.json);
        assert!(status == 400 || answer.json["count"] == 0, "{query}");
    }
}
