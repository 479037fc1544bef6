#!/usr/bin/env python3
"""Runs the public suite of tests for HTTP caches against `oust serve`.

    crates/oust-server/tests/cache_tests.py SUITE [--oust FILE] [--required N] [--optimal N] [--id ID] [--json FILE]

SUITE (or $CACHE_TESTS) is a checkout of https://github.com/http-tests/cache-tests with its packages installed (`npm install`). Nothing is
fetched and nothing is built. The suite's own server is the origin, the suite's own client asks through oust, and the suite's own code says what
each outcome is: a test that depends on one that fails, or whose set-up fails, says nothing and is in a column of its own, so a cache gains nothing
by failing early.

Exit codes: 0 enough passed; 1 not; 77 suite, node or oust is not there.
"""

import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading

SKIP = 77
ROOT = pathlib.Path(__file__).resolve().parents[3]
KINDS = ["required", "optimal", "check"]
# What the suite calls an outcome, by the sign it prints for it, and the column it is counted in.
COLUMNS = {"passed": ["pass", "yes"], "failed": ["fail", "optional_fail", "no"], "no verdict": ["setup_fail", "harness_fail", "retry", "dependency_fail"]}

VERDICTS = """
import fs from 'fs'
const [suite, file] = process.argv.slice(1)
const tests = (await import(suite + '/tests/index.mjs')).default
const { determineTestResult, resultTypes } = await import(suite + '/test-engine/lib/results.mjs')
const results = JSON.parse(fs.readFileSync(file))
const name = type => Object.keys(resultTypes).find(key => resultTypes[key] === type)
const verdicts = []
for (const group of tests) {
  for (const test of group.tests) {
    const result = results[test.id]
    if (result === undefined) continue
    verdicts.push({
      id: test.id, group: group.id, kind: test.kind ?? 'required', name: test.name,
      outcome: name(determineTestResult(tests, test.id, results)),
      alone: name(determineTestResult(tests, test.id, results, false)),
      depends: test.depends_on ?? [], message: result === true ? '' : result.join(': ')
    })
  }
}
console.log(JSON.stringify(verdicts))
"""


def main():
    options = arguments()
    # What runs is stopped then too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    suite = options.suite and pathlib.Path(options.suite).resolve()
    if not suite or not (suite / "test-engine" / "cli.mjs").is_file():
        return skip("no suite: give a checkout of http-tests/cache-tests as argument or in $CACHE_TESTS")
    if not (suite / "node_modules" / "undici").is_dir():
        return skip(f"the suite's packages are not installed: npm install in {suite}")
    oust = pathlib.Path(options.oust).resolve()
    if not oust.is_file():
        return skip(f"{oust} is not there: cargo build --release -p oust-server, or --oust FILE")
    try:
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return skip("node is not installed")

    with tempfile.TemporaryDirectory() as scratch:
        results = run(suite, oust, options, pathlib.Path(scratch))
        if options.id:
            print(results, end="")
            return 0
        verdicts = judge(suite, results)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(verdicts, indent=1) + "\n")
    version = subprocess.run([oust, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{version}, {len(verdicts)} tests, node {node}\n")
    return report(verdicts, options)


def arguments():
    parser = argparse.ArgumentParser(description="the public suite of tests for HTTP caches against oust serve")
    parser.add_argument("suite", nargs="?", default=os.environ.get("CACHE_TESTS"))
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--oust", default=target / "release" / "oust", help="the server (default: the release build)")
    parser.add_argument("--required", type=int, default=REQUIRED, help="required tests that must pass; none may fail")
    parser.add_argument("--optimal", type=int, default=OPTIMAL, help="optimal tests that must pass")
    parser.add_argument("--config", help="configuration of the server, in which ORIGIN stands for the suite's server")
    parser.add_argument("--id", help="runs one test and shows its messages")
    parser.add_argument("--json", help="writes every verdict to this file")
    return parser.parse_args()


def skip(message):
    print(f"skipped: {message}", file=sys.stderr)
    return SKIP


def run(suite, oust, options, scratch):
    """The results of the suite, or what it prints for one test."""
    environment = dict(os.environ, npm_config_protocol="http", npm_config_port="0", npm_config_pidfile=str(scratch / "pid"))
    environment.pop("HTTP_PROXY", None)
    origin = Server(["node", "test-engine/server/server.mjs"], r"Listening on http://\S*?:(\d+)/", cwd=suite, env=environment)
    server = None
    try:
        url = f"http://127.0.0.1:{origin.port}"
        common = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        if options.config:
            config = scratch / "oust.toml"
            config.write_text(pathlib.Path(options.config).read_text().replace("ORIGIN", url))
            command = [oust, "serve", "--config", config, *common]
        else:
            command = [oust, "serve", "--origin", url, *common]
        server = Server(command, r"listening\S* .*?127\.0\.0\.1:(\d+)", cwd=scratch, env=dict(os.environ, RUST_LOG="info", NO_COLOR="1"))
        environment["npm_config_base"] = f"http://127.0.0.1:{server.port}"
        # The suite's client takes "not set" for a test of that name.
        environment["npm_config_id"] = environment["npm_package_config_id"] = options.id or ""
        client = subprocess.run(["node", "--no-warnings", "test-engine/cli.mjs"], cwd=suite, env=environment, stdout=subprocess.PIPE, text=True, timeout=900)
        if client.returncode != 0:
            sys.exit(f"the suite's client ended with {client.returncode}")
        if server.process.poll() is not None:
            sys.exit(f"oust ended with {server.process.returncode} while the suite ran")
        if options.id:
            return client.stdout + "".join(line for line in origin.lines if not line.startswith("Listening"))
        return json.loads(client.stdout)
    finally:
        if server:
            server.stop()
        origin.stop()


class Server:
    """A process that says in its output which port it listens on."""

    def __init__(self, command, pattern, cwd, env):
        self.process = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines, self.port, self.told = [], None, threading.Event()
        threading.Thread(target=self.read, args=(re.compile(pattern),), daemon=True).start()
        self.told.wait(60)
        if self.port is None:
            self.stop()
            sys.exit(f"{command[0]} does not serve:\n{''.join(self.lines)}")

    def read(self, pattern):
        for line in self.process.stdout:
            self.lines.append(line)
            found = pattern.search(line)
            if found and self.port is None:
                self.port = int(found[1])
                self.told.set()
        self.told.set()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def judge(suite, results):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(results, file)
        file.flush()
        command = ["node", "--no-warnings", "--input-type=module", "-e", VERDICTS, "--", suite.as_posix(), file.name]
        return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def report(verdicts, options):
    counts = {kind: dict.fromkeys(COLUMNS, 0) for kind in KINDS}
    for verdict in verdicts:
        column = next(column for column, outcomes in COLUMNS.items() if verdict["outcome"] in outcomes)
        verdict["column"] = column
        counts[verdict["kind"]][column] += 1
    print(f"{'':10}{'passed':>8}{'failed':>8}{'no verdict':>12}")
    for kind in KINDS:
        passed, failed, none = counts[kind].values()
        print(f"{kind:10}{passed:8}{failed:8}{none:12}")
    for kind in KINDS[:2]:
        for column in ["failed", "no verdict"]:
            chosen = [verdict for verdict in verdicts if verdict["kind"] == kind and verdict["column"] == column]
            if chosen:
                print(f"\n{kind}, {column}:")
            for verdict in chosen:
                message = verdict["message"] or f"depends on {', '.join(verdict['depends'])}"
                print(f"  {verdict['id']}: {message}")
    wrong = []
    if counts["required"]["failed"]:
        wrong.append(f"{counts['required']['failed']} required tests fail")
    for kind, least in [("required", options.required), ("optimal", options.optimal)]:
        if counts[kind]["passed"] < least:
            wrong.append(f"{counts[kind]['passed']} {kind} tests pass, {least} must")
    print(f"\n{'; '.join(wrong) or 'enough'}")
    return 1 if wrong else 0


# What must pass: raised as more does. A 400 is not stored on purpose (docs/http-conformance.md), which cost one of each.
REQUIRED = 157
OPTIMAL = 95

if __name__ == "__main__":
    sys.exit(main())
