#!/usr/bin/env python3
"""Breaks the purge protocol one step at a time and expects the engine's tests to notice.

    tests/sabotage.py            every sabotage below; exit 1 if a test suite passes on a broken protocol
    tests/sabotage.py NAME ...   only these

Works on a copy of the engine under the target directory. A sabotage names one edit or more: a file, a text in it (which must occur exactly
once) and what replaces it."""

import os, pathlib, shutil, subprocess, sys

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
     "rule.layers.edge && stamp < rule.seq &&", "rule.layers.edge &&"),
    ("a 304 is judged by what it brings alone", "src/cache/commit.rs",
     "if base.is_some() && fill.base_is_taken() {", "if false {"),
    ("a thread's front keeps its entries for the next cache", "src/edge/front.rs",
     "            self.clear(|_| true);\n            self.cache.store(0", "            self.cache.store(0"),
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
     ".map_or_else(Newest::default, |cell| cell.newest)", ".map_or_else(Newest::default, |_| Newest::default())"),
    ("an edge-only rule hides the L2 half of an older one", "src/purge/table/mod.rs",
     "        for (tier, named) in", "        newest[verb(rule.action)] = [0; 2];\n        for (tier, named) in"),
    ("tags of a fill in flight are forgotten when it is swept", "src/fill.rs",
     "state.owed.extend(snapshot.late(stamp));", "drop(snapshot.late(stamp));"),
    ("a soft purge counts from when it is noticed", "src/cache/lookup.rs",
     "record.as_ref().map_or(now, |record| self.tick_of(record.created_ms))", "now"),
]


def main():
    wanted = sys.argv[1:]
    copy = ROOT / "target" / "sabotage"
    shutil.rmtree(copy / "src", ignore_errors=True)
    copy.mkdir(parents=True, exist_ok=True)
    # With new times of change: cargo goes by them, and the copy may hold what the last run broke.
    shutil.copytree(ROOT / "src", copy / "src", copy_function=shutil.copy)
    shutil.copy(ROOT / "Cargo.lock", copy)
    manifest = (ROOT / "Cargo.toml").read_text()
    # A workspace of its own, without the members that are not copied, and only what the engine's unit tests need.
    manifest = manifest.replace('members = ["crates/*"]', "members = []").replace('default-members = [".", "crates/oust-server"]', "")
    kept, skip = [], False
    for line in manifest.splitlines():
        if line.startswith("["):
            skip = line.startswith(("[dev-dependencies", "[[bench", "[[example", "[[test"))
        if not skip and not line.startswith("oust-reference"):
            kept.append(line)
    (copy / "Cargo.toml").write_text("\n".join(kept) + "\n")
    environment = dict(os.environ, CARGO_TARGET_DIR=str(copy / "target"), RUSTFLAGS="-Awarnings")

    def passes():
        run = ["cargo", "test", "--quiet", "--lib", "--", "cache::", "edge::"]
        try:
            return subprocess.run(run, cwd=copy, env=environment, capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired:
            return None

    clean = passes()
    if clean is None or clean.returncode != 0:
        sys.exit("the tests fail without sabotage:\n" + ("" if clean is None else clean.stdout + clean.stderr))
    missed = 0
    for name, *edits in SABOTAGES:
        if wanted and not any(want in name for want in wanted):
            continue
        for file, find, replace in zip(edits[::3], edits[1::3], edits[2::3]):
            original = (ROOT / file).read_text()
            if original.count(find) != 1:
                sys.exit(f"{name}: the text occurs {original.count(find)} times in {file}")
            (copy / file).write_text(original.replace(find, replace))
        result = passes()
        if result is None:
            verdict = "caught (a test hangs)"
        elif "error: could not compile" in result.stderr:
            sys.exit(f"{name}: does not compile\n{result.stderr}")
        elif result.returncode != 0:
            failed = [line.strip() for line in result.stdout.splitlines() if line.startswith(("    cache::", "    edge::"))]
            verdict = "caught by " + ", ".join(sorted({f.rsplit("::", 1)[-1] for f in failed}))
        else:
            verdict, missed = "MISSED", missed + 1
        print(f"{name}: {verdict}", flush=True)
        for file in edits[::3]:
            shutil.copy(ROOT / file, copy / file)
    sys.exit(1 if missed else 0)


main()
