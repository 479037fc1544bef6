//! A server with a second tier, over restarts: what comes back, what must not, and which directories are refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use common::{Origin, Oust, PATIENCE, command, run};

/// A directory of this test's own, empty.
fn fresh(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("l2-{name}"));
    drop(std::fs::remove_dir_all(&dir));
    dir
}

fn text(dir: &Path) -> &str {
    dir.to_str().unwrap()
}

fn on(dir: &Path, origin: &Origin, more: &[&str]) -> Oust {
    let url = origin.url();
    let mut args = vec!["--origin", &url, "--l2-dir", text(dir), "--l2-size", "64MiB"];
    args.extend_from_slice(more);
    let oust = Oust::serve(&args);
    wait_for(&oust, "/l2/state", |state| state == "ok");
    oust
}

fn wait_for(oust: &Oust, pointer: &str, holds: impl Fn(&serde_json::Value) -> bool) {
    let began = Instant::now();
    loop {
        let stats = oust.api("GET", "/v1/stats", "").json();
        if stats.pointer(pointer).is_some_and(&holds) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{pointer} in {stats}: {}", oust.log());
        std::thread::yield_now();
    }
}

/// Fetches and asks again, which writes it to the second tier.
fn store(oust: &Oust, path: &str) -> String {
    let first = oust.get(path);
    assert!(oust.get(path).is_hit());
    first.text()
}

fn stop(mut oust: Oust) {
    oust.signal("TERM");
    assert_eq!(oust.exit_code(), Some(0), "{}", oust.log());
}

/// The process ends without any chance to say good-bye.
fn kill(mut oust: Oust) {
    oust.signal("KILL");
    oust.exit_code();
}

/// Starts a server that must not come up: its exit code and what it says.
fn refused(dir: &Path, more: &[&str]) -> (i32, String) {
    let mut args = vec!["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--origin", "http://127.0.0.1:1"];
    args.extend(["--l2-dir", text(dir), "--l2-size", "64MiB"]);
    args.extend_from_slice(more);
    let (code, _, err) = run(&args, b"");
    (code, err)
}

fn copy(from: &Path, to: &Path) {
    drop(std::fs::remove_dir_all(to));
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

fn files(dir: &Path, has: &str) -> Vec<PathBuf> {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.file_name().unwrap().to_str().unwrap().contains(has)).collect()
}

#[test]
fn g5_a_restart_is_warm_and_undoes_no_purge() {
    for media in ["mmap", "pread"] {
        let dir = fresh(&format!("warm-{media}"));
        let origin = Origin::versions();
        let config = format!(
            "[l2]\ndir = {dir:?}\nsize = \"64MiB\"\nmedia = \"{media}\"\n[[site]]\nhosts = [\"*\"]\norigins = [\"{}\"]\n",
            origin.url()
        );
        let oust = Oust::configured(&format!("warm-{media}"), &config);
        let kept = store(&oust, "/kept");
        store(&oust, "/gone");
        store(&oust, "/soft");
        let ack = oust.purge_url("/gone");
        assert_eq!(ack["durable"], true, "{ack}");
        oust.purge(r#"{"selectors":[{"url":"http://h.test/soft"}],"action":"soft"}"#);
        stop(oust);
        let asked = origin.count();

        let oust = Oust::configured(&format!("warm-{media}"), &config);
        wait_for(&oust, "/l2/state", |state| state == "ok");
        let again = oust.get("/kept");
        assert!(again.is_hit() && again.text() == kept, "{}", again.cache_status());
        assert_eq!(origin.count(), asked);
        assert!(!oust.get("/gone").is_hit());
        assert!(!oust.get("/soft").is_hit(), "softly purged stays stale");
        let record = oust.api("GET", &format!("/v1/purges/{}", ack["id"].as_str().unwrap()), "");
        assert_eq!((record.status, &record.json()["durable"]), (200, &true.into()), "the history goes on");
        let stats = oust.api("GET", "/v1/stats", "").json();
        assert!(stats["l2"]["hits"].as_u64() > Some(0) && stats["l2"]["objects"].as_u64() > Some(0), "{stats}");
    }
}

#[test]
fn g5_what_was_acknowledged_survives_a_kill() {
    let dir = fresh("kill");
    let origin = Origin::versions();
    let oust = on(&dir, &origin, &[]);
    let kept = store(&oust, "/kept");
    store(&oust, "/gone");
    stop(oust);
    let oust = on(&dir, &origin, &[]);
    assert!(oust.get("/gone").is_hit());
    assert_eq!(oust.purge_url("/gone")["durable"], true);
    kill(oust);
    let oust = on(&dir, &origin, &[]);
    assert!(!oust.get("/gone").is_hit());
    assert_eq!(oust.get("/kept").text(), kept);
}

#[test]
fn layers_are_purged_by_name() {
    let dir = fresh("layers");
    let origin = Origin::versions();
    let oust = on(&dir, &origin, &[]);
    store(&oust, "/p");
    wait_for(&oust, "/l2/objects", |objects| objects == 1);
    let explained = oust.api("POST", "/v1/explain", r#"{"selectors":[{"url":"http://h.test/p"}]}"#).json();
    assert_eq!((&explained["edge"]["objects"], &explained["l2"]["objects"]), (&1.into(), &1.into()), "{explained}");
    let objects = oust.api("GET", "/v1/objects?url=http://h.test/p", "").json();
    let layers: Vec<_> = objects["objects"].as_array().unwrap().iter().map(|object| object["layer"].clone()).collect();
    assert_eq!(layers, ["edge", "l2"], "{objects}");
    // The memory tier alone: the second has it still.
    let admin = format!("http://{}", oust.admin);
    let purge = |layer: &str| {
        let args = ["purge", "--admin", &admin, "--url", "http://h.test/p", "--layer", layer, "--wait"];
        let (code, out, err) = run(&args, b"");
        assert_eq!(code, 0, "{err}");
        out
    };
    assert!(purge("edge").contains("1 objects ended"));
    let again = oust.get("/p");
    assert!(again.is_hit() && again.text() == "version 1", "{}", again.cache_status());
    let out = purge("l2");
    assert!(out.contains("durable") && out.contains("1 objects ended"), "{out}");
    let record = oust.api("GET", "/v1/purges?limit=1", "").json();
    assert_eq!(
        (&record["purges"][0]["layers"], &record["purges"][0]["l2"]["objects"]),
        (&serde_json::json!(["l2"]), &1.into())
    );
    let metrics = oust.api("GET", "/metrics", "").text();
    for line in [
        "oust_l2_state{state=\"ok\"} 1\n",
        "oust_layer_hits_total{layer=\"l2\"} 1\n",
        "oust_layer_capacity_bytes{layer=\"l2\"} 67108864\n",
        "oust_sweep_lag_rules{layer=\"l2\"} 0\n",
        "oust_l2_waiting_bytes 0\n",
        "oust_journal_sync_seconds_bucket{le=\"+Inf\"}",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[test]
fn a_directory_is_one_servers_alone() {
    let dir = fresh("locked");
    let origin = Origin::versions();
    let oust = on(&dir, &origin, &[]);
    let (code, err) = refused(&dir, &[]);
    assert!(code == 1 && err.contains("in use by another process"), "{code} {err}");
    let (code, _, err) = run(&["inspect", text(&dir)], b"");
    assert!(code == 1 && err.contains("in use by another process"), "{code} {err}");
    let (code, _, err) = run(&["inspect", "--adopt", text(&dir)], b"");
    assert!(code == 1 && err.contains("in use by another process"), "{code} {err}");
    assert_eq!(oust.get("/p").status, 200);
}

#[test]
fn h12_copies_are_discarded_unless_adopted() {
    let (dir, other) = (fresh("original"), fresh("copy"));
    let origin = Origin::versions();
    let oust = on(&dir, &origin, &[]);
    let kept = store(&oust, "/kept");
    stop(oust);
    copy(&dir, &other);
    let (code, _, err) = run(&["inspect", text(&other)], b"");
    assert!(code == 1 && err.contains("copy"), "{code} {err}");
    let oust = on(&other, &origin, &[]);
    assert!(oust.log().contains("discarded") && oust.log().contains("copy"), "{}", oust.log());
    assert!(!oust.get("/kept").is_hit());
    stop(oust);

    copy(&dir, &other);
    let (code, out, err) = run(&["inspect", "--adopt", text(&other)], b"");
    assert_eq!(code, 0, "{out}{err}");
    let oust = on(&other, &origin, &[]);
    assert!(oust.get("/kept").text() == kept && !oust.log().contains("discarded"), "{}", oust.log());
    stop(oust);

    let oust = on(&dir, &origin, &["--distrust-l2"]);
    assert!(!oust.get("/kept").is_hit() && oust.log().contains("discarded"), "{}", oust.log());
}

#[test]
fn h12_a_restored_backup_is_discarded() {
    let (dir, backup) = (fresh("restored"), fresh("backup"));
    let origin = Origin::versions();
    let oust = on(&dir, &origin, &[]);
    store(&oust, "/p");
    stop(oust);
    copy(&dir, &backup);
    let oust = on(&dir, &origin, &[]);
    oust.purge_url("/p");
    stop(oust);
    copy(&backup, &dir);
    let oust = on(&dir, &origin, &[]);
    assert!(!oust.get("/p").is_hit(), "a purge since the backup is not undone");
    assert!(oust.log().contains("discarded"), "{}", oust.log());
    stop(oust);
    // Without its journal nothing vouches for what is stored.
    copy(&backup, &dir);
    files(&dir, "journal").iter().for_each(|file| std::fs::remove_file(file).unwrap());
    let oust = on(&dir, &origin, &[]);
    assert!(!oust.get("/p").is_hit());
}

#[test]
fn damage_and_foreign_files_cost_what_they_hold_and_no_more() {
    let dir = fresh("damage");
    let origin = Origin::versions();
    let oust = on(&dir, &origin, &[]);
    store(&oust, "/a");
    stop(oust);
    let (code, out, _) = run(&["inspect", "--json", text(&dir)], b"");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["sound"], &report["totals"]["records"]), (0, &true.into(), &1.into()), "{report}");
    let oust = on(&dir, &origin, &[]);
    store(&oust, "/b");
    stop(oust);

    std::fs::write(dir.join("README"), "not ours").unwrap();
    std::fs::create_dir_all(dir.join("lost+found")).unwrap();
    let mut segments = files(&dir, "seg");
    segments.sort();
    assert!(segments.len() >= 2, "{segments:?}");
    let cut = std::fs::OpenOptions::new().write(true).open(&segments[0]).unwrap();
    cut.set_len(100).unwrap();
    drop(cut);
    let (code, out, err) = run(&["inspect", text(&dir)], b"");
    assert!(code == 1 && (out.contains("DAMAGED") || err.contains("damaged")), "{code} {out} {err}");
    let oust = on(&dir, &origin, &[]);
    assert!(!oust.get("/a").is_hit(), "what was cut off is gone");
    assert!(oust.get("/b").is_hit(), "what was not is there");
    stop(oust);
    assert!(dir.join("README").exists());

    // Every file cut short: a start from nothing, not a failure.
    for file in files(&dir, "").into_iter().filter(|file| file.is_file()) {
        std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(7).unwrap();
    }
    let oust = on(&dir, &origin, &[]);
    assert!(!oust.get("/b").is_hit());
    assert_eq!(oust.purge_url("/b")["durable"], true);
}

#[test]
fn directories_that_cannot_be_used_are_named() {
    use std::os::unix::fs::PermissionsExt;
    let dir = fresh("insecure");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o777)).unwrap();
    let (code, err) = refused(&dir, &[]);
    assert!(code == 1 && err.contains("other users may write") && err.contains(text(&dir)), "{code} {err}");
    let file = fresh("file");
    std::fs::write(&file, "").unwrap();
    let (code, err) = refused(&file, &[]);
    assert!(code == 1 && err.contains(text(&file)), "{code} {err}");
    drop(std::fs::remove_file(&file));
    let (code, _, err) = run(&["inspect", text(&fresh("nothing"))], b"");
    assert!(code == 2 && err.contains("no such directory"), "{code} {err}");
}

/// A file system in memory, if this user may mount one.
struct Mount(PathBuf);

impl Mount {
    fn new(name: &str, options: &str) -> Option<Self> {
        let dir = fresh(name);
        std::fs::create_dir_all(&dir).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&dir).stderr(std::process::Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then(|| Self(dir))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn a_full_disk_ends_no_request_and_acknowledges_nothing_falsely() {
    let Some(mount) = Mount::new("full", "size=6m,mode=0700") else {
        eprintln!("not allowed to mount: nothing is tried");
        return;
    };
    let origin = Origin::start(|_, reply| {
        reply.send(200, &[("Cache-Control", "max-age=60")], &"x".repeat(300_000));
    });
    let url = origin.url();
    let (dir, more) = (mount.0.join("d"), ["--edge-size", "2MiB"]);
    let mut args = vec!["--origin", &url, "--l2-dir", text(&dir), "--l2-size", "64MiB"];
    args.extend(more);
    let oust = Oust::serve(&args);
    for number in 0..60 {
        let path = format!("/{number}");
        for _ in 0..2 {
            let answer = oust.get(&path);
            assert_eq!((answer.status, answer.body.len()), (200, 300_000));
        }
    }
    for number in 0..200 {
        let body = format!(r#"{{"selectors":[{{"url":"http://h.test/{number}"}}]}}"#);
        let answer = oust.api("POST", "/v1/purges", &body);
        match answer.status {
            200 => assert_eq!(answer.json()["durable"], true),
            status => assert_eq!(status, 503, "{}", answer.text()),
        }
        let memory = body.replace("]}", r#"],"durability":"memory"}"#);
        let answer = oust.api("POST", "/v1/purges", &memory);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(oust.get("/0").status, 200);
}

#[test]
fn a_read_only_file_system_is_named_and_ends_no_server() {
    let Some(mount) = Mount::new("read-only", "size=64m,mode=0700") else {
        eprintln!("not allowed to mount: nothing is tried");
        return;
    };
    let origin = Origin::versions();
    let dir = mount.0.join("d");
    let url = origin.url();
    let oust = Oust::serve(&["--origin", &url, "--l2-dir", text(&dir), "--l2-size", "64MiB"]);
    store(&oust, "/p");
    stop(oust);
    let remount =
        |how: &str| Command::new("mount").args(["-o", how]).arg(&mount.0).status().is_ok_and(|status| status.success());
    if !remount("remount,ro") {
        eprintln!("not allowed to remount: nothing is tried");
        return;
    }
    let (code, err) = refused(&dir, &[]);
    assert!(code == 1 && err.contains("read-only"), "{code} {err}");
    let (code, out, err) = run(&["inspect", text(&dir)], b"");
    assert_eq!(code, 0, "{out}{err}");
    assert!(remount("remount,rw"));
}

#[test]
fn memory_alone_says_so() {
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    oust.get("/p");
    assert_eq!(oust.purge_url("/p")["durable"], false);
    assert_eq!(oust.api("GET", "/v1/stats", "").json()["l2"]["state"], "off");
    drop(command());
}
