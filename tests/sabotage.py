#!/usr/bin/env python3
"""Breaks the purge protocol one step at a time and expects the engine's tests, or the loss of power in `tests/crash.rs`, to notice.

    tests/sabotage.py            every sabotage below; exit 1 if a test suite passes on a broken protocol
    tests/sabotage.py NAME ...   only these
    --layer unit|crash|schedules|fuzz   what one layer alone says of each, as a table: the controlled schedules of the unit tests, the loss of power,
                                 the schedules that shuttle chooses (OUST_SCHEDULES of each combination), `ops_vs_model` on random inputs. Exit 0
    --list                       names, as they are
    SABOTAGE_SHARD=0/2           only every second, beginning with the first, in a copy of its own: shards may run beside each other

Works on a copy of the engine under the target directory. A sabotage names one edit or more: a file, a text in it (which must occur exactly
once) and what replaces it."""

import os, pathlib, shutil, signal, subprocess, sys, time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SABOTAGES = [
    ("stamp of a fill: taken from the future, as if fetched after every purge", "src/cache/commit.rs",
     "Fill::new(key.clone(), request.clone(), stamp, joinable, validates)",
     "Fill::new(key.clone(), request.clone(), stamp + 1_000_000, joinable, validates)"),
    ("load order of a lookup: swept_upto after the control word", "src/cache/lookup.rs",
     """        point("lookup:entry-loaded");
        let (stamp, mark) = handle.entry().control().load();""",
     """        let (stamp, mark) = handle.entry().control().load();
        point("lookup:entry-loaded");
        let swept = swept.max(shard.swept_upto.load(Ordering::Acquire));"""),
    ("join check: a fill may be joined whatever was purged", "src/cache/commit.rs",
     "if fill.catch_up(&snapshot)\n                && let Some(id)", "if let Some(id)"),
    ("commit re-check: rules that came before the lock are not asked", "src/cache/commit.rs",
     "        if !fill.catch_up(&snapshot) {\n            return Admit::Skipped(Reason::PurgeFenced);",
     "        if false {\n            return Admit::Skipped(Reason::PurgeFenced);"),
    ("304 check: a validated response is stored whatever was purged", "src/cache/commit.rs",
     "        if !fill.catch_up(&snapshot) {\n            return", "        if base.is_none() && !fill.catch_up(&snapshot) {\n            return"),
    ("validators of what was deleted are lent", "src/cache/commit.rs",
     "base.filter(|hit| self.judge_in_table(&table, hit.entry()) != Mark::Dead)", "base"),
    ("index insert after the table insert, outside the lock", "src/edge/mod.rs",
     """        let (handle, grew) = self.index.insert(entry.key(), entry.tags(), place);
        self.budget.force(grew);
        point("link:indexed");
        table.insert(key.hash(), key.url_hash(), slot, handle, entry.clone());""",
     """        table.insert(key.hash(), key.url_hash(), slot, u32::MAX, entry.clone());
        RwLockWriteGuard::unlocked(table, || point("link:indexed"));
        let (handle, grew) = self.index.insert(entry.key(), entry.tags(), place);
        self.budget.force(grew);
        table.set_handle(slot, handle);""",
     "src/edge/shard.rs", "    /// The entry in `slot`.", """    pub(crate) fn set_handle(&mut self, slot: u32, handle: u32) { self.slab[slot as usize].handle = handle; }
    /// The entry in `slot`."""),
    ("no lock pass before the index is asked", "src/cache/sweep.rs", "            self.pass_locks();\n", ""),
    ("sweep by identity alone, whatever the stamp", "src/cache/sweep.rs",
     "mark < verdict && rule.layers.edge && stamp < rule.seq && part", "mark < verdict && rule.layers.edge && part"),
    ("sweep by the table, whatever the stamp", "src/cache/sweep.rs",
     "judge_upto(&subject, stamp, pending.upto)", "judge_upto(&subject, 0, pending.upto)"),
    ("a walk that stays in its directory passes for one that goes below", "src/cache/sweep.rs",
     "if recursive && parts.len() > FEW {", "if !recursive && parts.len() > FEW {"),
    ("a 304 is judged by what it brings alone", "src/cache/commit.rs",
     "if base.is_some() && fill.base_is_taken() {", "if false {"),
    ("a thread's front keeps its entries for the next cache", "src/edge/front.rs",
     "            self.renew();\n            self.cache.store(0", "            self.cache.store(0"),
    ("tickets not swept", "src/cache/sweep.rs", "                fill.catch_up(&snapshot);\n", "                let _ = (fill, &snapshot);\n"),
    ("swept_upto raised before the objects are ended", "src/cache/sweep.rs",
     "            self.end_all(&pending);\n",
     "            self.edge.shards().iter().for_each(|s| s.swept_upto.store(pending.upto, Ordering::Release));\n            self.end_all(&pending);\n"),
    ("retired before swept", "src/cache/sweep.rs", "            self.end_all(&pending);\n",
     "            self.rules.retire(pending.upto);\n            self.end_all(&pending);\n"),
    ("a batch published in several swaps", "src/purge/rules.rs", '            point("publish:rule");\n',
     """            self.current.store(Arc::new(Snapshot { seq, lwm: old.lwm, young: Arc::clone(&young), sealed: old.sealed.clone() }));
            self.gates.raise(&rule);
            point("publish:rule");
"""),
    ("eviction does not mark dead", "src/entry.rs", "        header.control.raise(0, Mark::Dead);\n", ""),
    ("a newer soft rule hides an older delete", "src/purge/table/mod.rs",
     "|cell| cell.newest)", "|_| Newest::default())"),
    ("an edge-only rule hides the L2 half of an older one", "src/purge/table/mod.rs",
     "        for (tier, named) in", "        newest[verb(rule.action)] = [0; 2];\n        for (tier, named) in"),
    ("an ending of the path is looked for at the end of the URL", "src/purge/table/judge.rs",
     "self.path.hash(len)", "self.url.hash(len)"),
    ("a soft rule ends the search for a delete", "src/purge/verdict.rs", "self.covers(Action::Delete,", "self.covers(Action::Soft,"),
    ("what follows a directory is not looked for", "src/purge/table/mod.rs", "        self.more(top).beginnings.add(rest.len());\n", ""),
    ("a literal is found by how it begins alone", "src/purge/table/judge.rs",
     "occurring(filed, offset - 1, last)", "occurring(filed, offset - 1, 0)"),
    ("tags of a fill in flight are forgotten when it is swept", "src/fill.rs",
     "state.owed.extend(snapshot.late(stamp));", "drop(snapshot.late(stamp));"),
    ("a soft purge counts from when it is noticed", "src/cache/lookup.rs",
     "record.as_ref().map_or(now, |record| self.tick_of(record.created_ms))", "now"),
    # The second tier.
    ("ack before fsync", "src/cache/mod.rs",
     "journal.sync(position).map_err(|error| PurgeError::not_durable(&error))?;", "let _ = position;"),
    ("retire before tombstones are durable", "src/l2/sweep.rs",
     """            self.end_records(l2, &todo.rules, done, upto);
            point("l2:sweep-marked");
            self.pass_burials(l2);
            let at = l2.journal.append(Entry::Swept { upto });
""", """            let at = l2.journal.append(Entry::Swept { upto });
            drop(l2.journal.sync(at));
            self.end_records(l2, &todo.rules, done, upto);
            point("l2:sweep-marked");
"""),
    ("stamp at insert: what is written is not judged by the rules its stamp vouches for", "src/l2/write.rs",
     "let mark = leaving.catch_up(&snapshot, |seq| self.softened_at(seq));", "let mark = leaving.control.load().1;"),
    ("stamp at insert, of a copy", "src/l2/write.rs",
     "let mark = judge_for_l2(entry, &control, &snapshot, |seq| self.softened_at(seq));", "let _ = mark; let mark = if true { control.load().1 } else { judge_for_l2(entry, &control, &snapshot, |seq| self.softened_at(seq)) };"),
    ("resume numbering at the last durable record", "src/disk/journal/mod.rs",
     "closed.unwrap_or(live.reserved_upto).max(live.max_seq)", "closed.unwrap_or(0).max(live.max_seq)"),
    ("raise swept_upto before an older copy's dead bit", "src/l2/sweep.rs",
     "            self.end_records(l2, &todo.rules, done, upto);\n",
     "            l2.swept_upto.fetch_max(upto, Ordering::AcqRel);\n            self.end_records(l2, &todo.rules, done, upto);\n"),
    ("promotion reads the segment stamp (swept_upto) after the entry", "src/l2/read.rs",
     """        let swept = l2.swept_upto.load(Ordering::Acquire);
        point("promote:swept-loaded");
        let Some(now) = l2.store.candidate_of(candidate) else { return };
""", """        let Some(now) = l2.store.candidate_of(candidate) else { return };
        point("promote:swept-loaded");
        let swept = l2.swept_upto.load(Ordering::Acquire);
""",
     # The order alone is no more than a second lock on the door: a sweep waits for the promotion's shard before it vouches for anything.
     "src/l2/sweep.rs", "            self.pass_burials(l2);\n", ""),
    ("a fetch since an older moment is not judged before it is in the table", "src/cache/commit.rs",
     "        fill.catch_up(&self.rules.load());\n        table.fills.insert_unique", "        table.fills.insert_unique"),
    ("what streams is joined whatever was purged", "src/cache/commit.rs",
     "if fill.is_streaming()\n                && fill.catch_up(&snapshot)", "if fill.is_streaming()"),
    ("a reopened fill owes rules on tags nothing", "src/fill.rs", "            new.owed = std::mem::take(&mut old.owed);\n", ""),
    ("no pass of the append lock before the segments are asked", "src/l2/sweep.rs",
     """            drop(l2.store.try_appender().unwrap_or_else(|| {
                point("l2:append-blocked");
                l2.store.appender()
            }));
""", ""),
    ("a lookup reads swept_upto after the entry", "src/l2/read.rs",
     "let effective = record.meta().seq.max(swept);\n            let Some((mark, soft_at)) = self.judge_record(key, &record, &candidate, effective, &snapshot) else {\n                missed",
     "let effective = record.meta().seq.max(swept).max(l2.swept_upto.load(Ordering::Acquire));\n            let Some((mark, soft_at)) = self.judge_record(key, &record, &candidate, effective, &snapshot) else {\n                missed"),
    ("mark not carried by a demotion", "src/l2/write.rs",
     "                mark,\n                soft_at_ms: self.ms_of(entry.soft_at()),", "                mark: if mark == Mark::Dead { mark } else { Mark::None },\n                soft_at_ms: self.ms_of(entry.soft_at()),"),
    ("ack after a failed fsync", "src/disk/journal/writer.rs",
     'current.file.sync().map_err(named("sync"))?;\n        current.at', "let _ = current.file.sync();\n        current.at"),
    ("a failed fsync is tried again on the same file", "src/disk/journal/writer.rs",
     'current.file.sync().map_err(named("sync"))?;\n        current.at',
     'current.file.sync().or_else(|_| current.file.sync()).map_err(named("sync"))?;\n        current.at'),
    ("a superseded record is not buried", "src/l2/mod.rs",
     'point("l2:superseded");\n        self.bury(&ended);', "drop(ended);"),
    ("a record that an unsafe method ended is not buried", "src/l2/mod.rs",
     "        self.bury(&ended);\n        self.bury_condemned();\n        ended.len()", "        ended.len()"),
    ("a withdrawn append is indexed", "src/disk/store/append.rs",
     """        let Some(_held) = still() else {
            segment.raise(ordinal, Mark::Dead, 0);
            return Err(AppendError::Withdrawn(id));
        };
""", "        let _held = still();\n"),
    ("a commit does not cancel what is on its way to the second tier", "src/cache/commit.rs",
     "            if held == vary || !held.same_fields(vary) {\n                leaving.control.raise(0, Mark::Dead);", "            if held == vary && false {\n                leaving.control.raise(0, Mark::Dead);"),
    ("an unsafe method does not cancel what is on its way to the second tier", "src/cache/commit.rs",
     "            if leaving.entry.key().url() == key.as_ref().url() {", "            if false {"),
    ("the base of a 304 is not looked for in the second tier", "src/cache/commit.rs",
     "            && l2.store.candidate_of(record).is_none()\n", "            && l2.store.candidate_of(record).is_none() && false\n"),
    ("a 304 copies what the disk has lost", "src/cache/commit.rs", ".filter(|_| base.is_intact()).map(|held|", ".map(|held|"),
    ("rules are not restored", "src/l2/open.rs", "            self.restore(&purge, known);\n", "            let _ = (&purge, &known, Self::restore);\n"),
    ("marks are not read back", "src/l2/open.rs", "let said = of_segment.and_then(|marks| marks.get(&loaded.id.ordinal)).copied();", "let said: Option<Judged> = None; let _ = of_segment;"),
    ("the sites file is ignored", "src/cache/mod.rs", "if old.as_ref() == Some(&new) {", "if old.as_ref() == Some(&new) || true {"),
    ("a segment that cannot be removed is not buried", "src/l2/mod.rs",
     "            self.store.condemned().into_iter().for_each(|segment| self.bury_segment(segment));\n", ""),
    ("a flush leaves the journal alone", "src/l2/write.rs",
     "        l2.journal.flush().map_err(std::io::Error::other)?;\n", "",
     "src/l2/write.rs", "drop(l2.journal.flush());", ""),
    ("what the second tier alone was purged of is written there again", "src/l2/write.rs",
     "if mark == Mark::Dead || entry.no_demote() {", "if mark == Mark::Dead {"),
    ("a promotion does not look whether its record is still the key's", "src/l2/read.rs",
     "let Some(now) = l2.store.candidate_of(candidate) else { return };", "let now = l2.store.candidate_of(candidate).unwrap_or(*candidate);"),
    ("a promotion is not judged again", "src/l2/read.rs",
     "        let effective = record.meta().seq.max(swept);\n        let Some((mark, soft_at)) = self.judge_record(key, record, &now",
     "        let effective = record.meta().seq.max(swept).max(snapshot.seq);\n        let Some((mark, soft_at)) = self.judge_record(key, record, &now"),
    ("a reinsertion is not judged", "src/l2/write.rs",
     "let effective = record.meta().seq.max(swept);", "let effective = record.meta().seq.max(swept).max(snapshot.seq);"),
    ("swept is vouched for while somebody has a record dead in memory alone", "src/l2/sweep.rs", "            self.pass_burials(l2);\n", ""),
    ("a fetch since an older moment is not judged before it is in the table", "src/cache/commit.rs",
     "        fill.catch_up(&self.rules.load());\n        table.fills.insert_unique", "        table.fills.insert_unique"),
    ("what streams is joined whatever was purged", "src/cache/commit.rs",
     "if fill.is_streaming()\n                && fill.catch_up(&snapshot)", "if fill.is_streaming()"),
    ("a reopened fill owes rules on tags nothing", "src/fill.rs", "            new.owed = std::mem::take(&mut old.owed);\n", ""),
    ("no pass of the append lock before the segments are asked", "src/l2/sweep.rs",
     """            drop(l2.store.try_appender().unwrap_or_else(|| {
                point("l2:append-blocked");
                l2.store.appender()
            }));
""", ""),
]
# Those outside the second tier's own files that it takes a loss of power to notice.
DEEP = {"ack before fsync"}
LAYERS = ("unit", "crash", "schedules", "fuzz")
# Names of tests that failed, in what the test binaries print.
FAILED = ("    cache::", "    edge::", "    purge::", "    disk::", "    whenever", "    ops_vs_model")


def main():
    wanted, layer = sys.argv[1:], None
    if "--list" in wanted:
        print("\n".join(name for name, *_ in SABOTAGES))
        return
    if "--layer" in wanted:
        at = wanted.index("--layer")
        layer = wanted[at + 1]
        del wanted[at:at + 2]
        if layer not in LAYERS:
            sys.exit(f"--layer is one of {', '.join(LAYERS)}")
    shard, shards = map(int, os.environ.get("SABOTAGE_SHARD", "0/1").split("/"))
    target = pathlib.Path(os.environ.get("SABOTAGE_TARGET", ROOT / "target"))
    copy = target / f"sabotage-{layer or 'all'}-{shard}"
    shutil.rmtree(copy / "src", ignore_errors=True)
    copy.mkdir(parents=True, exist_ok=True)
    # With new times of change: cargo goes by them, and the copy may hold what the last run broke.
    shutil.copytree(ROOT / "src", copy / "src", copy_function=shutil.copy)
    shutil.rmtree(copy / "tests", ignore_errors=True)
    shutil.copytree(ROOT / "tests" / "crash", copy / "tests" / "crash", copy_function=shutil.copy)
    shutil.copy(ROOT / "tests" / "crash.rs", copy / "tests")
    shutil.copy(ROOT / "Cargo.lock", copy)
    manifest = (ROOT / "Cargo.toml").read_text()
    # A workspace of its own, without the members that are not copied, and only what the engine's unit tests need.
    members = {"schedules": '"crates/oust-schedules"', "fuzz": '"crates/oust-reference", "crates/oust-api"'}.get(layer, "")
    for member in members.replace('"', "").split(", ") if members else []:
        shutil.rmtree(copy / member, ignore_errors=True)
        shutil.copytree(ROOT / member, copy / member, copy_function=shutil.copy)
    if layer == "fuzz":
        shutil.rmtree(copy / "fuzz", ignore_errors=True)
        shutil.copytree(ROOT / "fuzz", copy / "fuzz", copy_function=shutil.copy, ignore=shutil.ignore_patterns("target", "corpus", "artifacts"))
    manifest = manifest.replace('members = ["crates/*"]', f"members = [{members}]").replace('default-members = [".", "crates/oust-server"]', "")
    kept, skip = [], False
    for line in manifest.splitlines():
        if line.startswith("["):
            skip = line.startswith(("[dev-dependencies", "[[bench", "[[example", "[[test"))
        if not skip or line.startswith(("[dev-dependencies", "tempfile")):
            kept.append(line)
    (copy / "Cargo.toml").write_text("\n".join(kept) + "\n")
    environment = dict(os.environ, CARGO_TARGET_DIR=os.environ.get("SABOTAGE_BUILD", str(copy / "target")), RUSTFLAGS="-Awarnings",
                       # One file changes at a time, and nobody reads a backtrace.
                       CARGO_INCREMENTAL="1", CARGO_PROFILE_DEV_DEBUG="0")
    if layer == "schedules":
        environment.update(RUSTFLAGS="--cfg oust_shuttle", OUST_SCHEDULE_STOP="1")

    # A broken protocol may also hang: what takes several times as long as the sound one does not end.
    patience = 600

    def run(*what):
        tests = subprocess.Popen(["cargo", "test", "--quiet", *what], cwd=copy / "fuzz" if layer == "fuzz" else copy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True, start_new_session=True)
        try:
            out, err = tests.communicate(timeout=patience)
            return subprocess.CompletedProcess(what, tests.returncode, out, err)
        except subprocess.TimeoutExpired:
            os.killpg(tests.pid, signal.SIGKILL)
            tests.communicate()
            return None

    def passes(deep):
        """The schedules; what is broken in the second tier and passes them has to pass the loss of power as well."""
        if layer == "schedules":
            return run("-p", "oust-schedules", "--profile", "schedules", "--test", "schedules")
        if layer == "fuzz":
            return run("--no-default-features", "--test", "random", "ops_vs_model")
        if layer == "crash":
            return run("--test", "crash")
        result = run("--lib", "--", "cache::", "edge::", "purge::tests::", *(["disk::journal::"] if deep or layer else []))
        if not layer and deep and result is not None and result.returncode == 0:
            result = run("--test", "crash")
        return result

    if not layer:
        run("--no-run")
    begun = time.monotonic()
    clean = passes(True)
    patience = max(60, 2 * (time.monotonic() - begun))
    if clean is None or clean.returncode != 0:
        sys.exit("the tests fail without sabotage:\n" + ("" if clean is None else clean.stdout + clean.stderr))
    missed = 0
    for name, *edits in SABOTAGES[shard::shards]:
        if wanted and not any(want in name for want in wanted):
            continue
        for file, find, replace in zip(edits[::3], edits[1::3], edits[2::3]):
            # Of the copy: an earlier edit may have been of the same file.
            original = (copy / file).read_text()
            if original.count(find) != 1:
                sys.exit(f"{name}: the text occurs {original.count(find)} times in {file}")
            (copy / file).write_text(original.replace(find, replace))
        result = passes(any(file.startswith(("src/l2", "src/disk")) for file in edits[::3]) or name in DEEP)
        if result is None:
            verdict = "caught (a test hangs)"
        elif "error: could not compile" in result.stderr:
            sys.exit(f"{name}: does not compile\n{result.stderr}")
        elif result.returncode != 0:
            failed = [line.strip() for line in result.stdout.splitlines() if line.startswith(FAILED)]
            failed += [line.split(":")[0] for line in result.stdout.splitlines() if ": FAILED. Again" in line]
            verdict = "caught by " + ", ".join(sorted({f.rsplit("::", 1)[-1] for f in failed}))
        else:
            verdict, missed = "MISSED", missed + 1
        print(f"{name}: {verdict}", flush=True)
        for file in edits[::3]:
            shutil.copy(ROOT / file, copy / file)
    sys.exit(1 if missed and not layer else 0)


main()
