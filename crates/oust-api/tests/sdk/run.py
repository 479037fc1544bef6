#!/usr/bin/env python3
"""The vendors' own SDKs, as they are published, against a running server.

    cargo run -p oust-api --example apis &
    crates/oust-api/tests/sdk/run.py
    crates/oust-api/tests/sdk/run.py --base http://127.0.0.1:8082 --admin http://127.0.0.1:8081
    crates/oust-api/tests/sdk/run.py --serve target/debug/oust

The server has an account with the host and credentials named by the options; with --serve it is started, and stopped, here. Packages are installed,
pinned, into a temporary directory, or into --prefix and kept there. With --admin each purge is looked up in the history of the admin API. With
--cdnetworks that vendor's documented client, cdnetworks.sh, is run first: it needs no package.

Prints a line per check. Exit status: 0 all passed, 1 one failed, 77 none failed, but a package or program could not be had: what needs it is not
known.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import venv

from serve import Server

HERE = pathlib.Path(__file__).resolve().parent
NPM = ["azion@3.1.2", "@imagekit/nodejs@7.11.0"]
PYPI = {"imagekitio5": "imagekitio==5.11.0", "imagekitio4": "imagekitio==4.2.0"}
# What package managers say when they cannot reach a registry.
UNREACHABLE = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|Retrying \(|ConnectionError|ProxyError|timed out")
# Longest a purge may take to be swept, in seconds.
PATIENCE = 30


class Skip(Exception):
    """A package cannot be had."""


def run(command, **options):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, **options)
    except FileNotFoundError:
        raise Skip(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise SystemExit(f"{command[0]} does not end") from None


def install(command, what):
    done = run(command)
    if done.returncode != 0:
        said = done.stdout + done.stderr
        if UNREACHABLE.search(said):
            raise Skip(f"the registry of {what} cannot be reached")
        raise SystemExit(f"{what} cannot be installed:\n{said}")


def packages(prefix):
    """Installs what is not there yet."""
    prefix.mkdir(parents=True, exist_ok=True)
    if not (prefix / "node_modules").exists():
        install(["npm", "install", "--prefix", str(prefix), "--no-audit", "--no-fund", "--ignore-scripts", *NPM], " and ".join(NPM))
    for name, package in PYPI.items():
        done = prefix / name / "installed"
        if not done.exists():
            try:
                venv.create(prefix / name, with_pip=True)
            except subprocess.CalledProcessError:
                raise Skip("python3 has no ensurepip: python3-venv is not installed") from None
            install([str(prefix / name / "bin" / "python"), "-m", "pip", "install", "--quiet", "--retries", "2", package], package)
            done.touch()


class Checks:
    """Prints checks and counts those that failed."""

    def __init__(self, options):
        self.failed = 0
        self.options = options

    def check(self, name, good, seen):
        print(f"{'ok  ' if good else 'FAIL'} {name}" + ("" if good else f": {seen}"), flush=True)
        self.failed += not good

    def recorded(self, name, selectors):
        """Checks that the last purges are of these selectors, by the account."""
        if self.options.admin is None:
            return
        request = urllib.request.Request(f"{self.options.admin}/v1/purges?limit=20")
        if self.options.admin_token:
            request.add_header("Authorization", f"Bearer {self.options.admin_token}")
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=10) as answer:
            purges = json.load(answer)["purges"]
        found = [purge for purge in purges if purge["selectors"] == selectors]
        good = len(found) == 1 and found[0]["by"] == self.options.account and found[0]["action"] == "delete"
        self.check(f"{name} is in the history", good, found or purges[:3])


def call(command, job, **environment):
    """The outcomes of a job, one a call."""
    environment = {**os.environ, "NO_PROXY": "*", "no_proxy": "*", **environment}
    done = run(command, input=json.dumps(job), env=environment)
    if done.returncode != 0:
        return [{"error": f"{command[-1]}: {done.stderr.strip()}"}] * len(job["calls"])
    # Some SDKs print to standard output too: the outcomes are the last line.
    return json.loads(done.stdout.strip().splitlines()[-1])


def azion(checks, prefix, root):
    """npm azion: version 4 of the API, its base URL fixed."""
    options = checks.options
    redirect = ["node", "--import", (HERE / "redirect.mjs").as_uri()]
    # Each under a path of its own, so that the history tells the runs apart.
    url, key, glob = f"{root}/azion/a?b=c", f"{root}/azion/a@@Mobile", f"{root}/azion/*"
    foreign = f"http://{options.foreign}/a"

    def client(token, calls):
        environment = {"SDK_PREFIX": str(prefix), "SDK_FROM": "https://api.azion.com", "SDK_TO": options.base}
        return call([*redirect, str(HERE / "azion.mjs")], {"key": token, "calls": calls}, **environment)

    calls = [["purgeURL", [url]], ["purgeCacheKey", [key]], ["purgeWildCard", [glob]]]
    recorded = [{"key": url}, {"key": key}, {"glob": glob}]
    for (name, items), selector, seen in zip(calls, recorded, client(options.azion_token, calls)):
        checks.check(f"azion {name}", seen == {"ok": {"items": items, "state": "executed"}}, seen)
        checks.recorded(f"azion {name}", [selector])
    refused = [
        (403, ["purgeURL", [url, foreign]]),
        (403, ["purgeWildCard", [foreign + "*"]]),
        (400, ["purgeWildCard", [glob, glob]]),
        (400, ["purgeURL", []]),
        (400, ["purgeCacheKey", ["http://"]]),
    ]
    for (status, asked), seen in zip(refused, client(options.azion_token, [asked for _, asked in refused])):
        checks.check(f"azion {asked[0]} is refused with {status}", f"Status: {status}" in seen.get("error", ""), seen)
    (seen,) = client("not-a-token", [calls[0]])
    checks.check("azion without a token of an account is refused with 401", "Status: 401" in seen.get("error", ""), seen)


def imagekit(checks, name, command, root, errors, **environment):
    """An ImageKit SDK; `errors`: what it calls statuses."""
    options = checks.options
    url = f"{root}/{urllib.parse.quote(name, safe='')}/a.jpg"

    def client(key, *calls):
        return call(command, {"base": options.base, "key": key, "calls": calls}, **environment)

    (created,) = client(options.imagekit_key, ["create", url])
    identity = created.get("ok")
    checks.check(f"{name} create", bool(re.fullmatch("[0-9a-f]{24}", identity or "")), created)
    checks.recorded(f"{name} create", [{"url": url}])
    until = time.monotonic() + PATIENCE
    seen = [{"ok": "Pending"}]
    while identity and seen == [{"ok": "Pending"}] and time.monotonic() < until:
        seen = client(options.imagekit_key, ["get", identity])
    checks.check(f"{name} get, until it is completed", seen == [{"ok": "Completed"}], seen)
    refused = [
        (403, options.imagekit_key, ["create", f"https://{options.foreign}/a.jpg"]),
        (400, options.imagekit_key, ["create", f"{root}/a*/b"]),
        (404, options.imagekit_key, ["get", "598821f949c0a938d57563bd"]),
        (401, "not-a-key", ["create", url]),
    ]
    for status, key, asked in refused:
        (seen,) = client(key, asked)
        good = (seen.get("error"), seen.get("status")) == (errors[status], status) and seen.get("message")
        checks.check(f"{name} {asked[0]} is refused with {status}", bool(good), seen)


def imagekits(checks, prefix, root):
    generated = {400: "BadRequestError", 401: "AuthenticationError", 403: "PermissionDeniedError", 404: "NotFoundError"}
    written = {400: "BadRequestException", 401: "UnauthorizedException", 403: "ForbiddenException", 404: "UnknownException"}
    node = ["node", str(HERE / "imagekit.mjs")]
    imagekit(checks, "@imagekit/nodejs", node, root, generated, SDK_PREFIX=str(prefix))
    for name, script, errors in [("imagekitio5", "imagekit5.py", generated), ("imagekitio4", "imagekit4.py", written)]:
        python = prefix / name / "bin" / "python"
        imagekit(checks, name, [str(python), str(HERE / script)], root, errors)


def cdnetworks(checks):
    """cdnetworks.sh, on the hosts of the document."""
    user, key = checks.options.cdnetworks.split(":", 1)
    environment = {**os.environ, "NO_PROXY": "*", "no_proxy": "*"}
    done = run(["bash", str(HERE / "cdnetworks.sh"), checks.options.base, user, key], env=environment)
    if done.returncode == 77:
        raise Skip("curl or openssl is not installed")
    checks.check("cdnetworks.sh", done.returncode == 0, done.stdout + done.stderr)


def check_all(checks, prefix):
    """All checks; raises Skip at the first that cannot be made."""
    if checks.options.cdnetworks:
        cdnetworks(checks)
    packages(prefix)
    root = f"http://{checks.options.host}/sdk-{secrets.token_hex(4)}"
    azion(checks, prefix, root)
    imagekits(checks, prefix, root)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="http://127.0.0.1:8082", help="the purge APIs (%(default)s)")
    parser.add_argument("--admin", help="the admin API, to look purges up in")
    parser.add_argument("--admin-token", help="its token, if it asks for one")
    parser.add_argument("--account", default="acme", help="name of the account (%(default)s)")
    parser.add_argument("--host", default="www.example.com", help="a host of the account (%(default)s)")
    parser.add_argument("--foreign", default="www.example.org", help="a host that is not the account's (%(default)s)")
    parser.add_argument("--azion-token", default="azion-token")
    parser.add_argument("--imagekit-key", default="imagekit-key")
    parser.add_argument("--cdnetworks", metavar="USER:KEY", help="credentials of CDNetworks; without, it is not asked")
    parser.add_argument("--serve", metavar="OUST", type=pathlib.Path, help="the program whose server is started here, instead of --base and --admin")
    parser.add_argument("--prefix", type=pathlib.Path, help="where packages are installed and kept")
    options = parser.parse_args()

    checks = Checks(options)
    skipped = None
    with contextlib.ExitStack() as stack:
        prefix = options.prefix
        if prefix is None:
            prefix = pathlib.Path(tempfile.mkdtemp(prefix="oust-sdk-"))
            stack.callback(shutil.rmtree, prefix, ignore_errors=True)
        server = None
        if options.serve is not None:
            options.cdnetworks = options.cdnetworks or "cdn-user:cdn-key"
            names = ["account", "host", "azion_token", "imagekit_key", "cdnetworks"]
            server = stack.enter_context(Server(options.serve, **{name: getattr(options, name) for name in names}))
            options.base, options.admin = server.base, server.admin
        options.base = options.base.rstrip("/")
        options.admin = options.admin and options.admin.rstrip("/")
        try:
            check_all(checks, prefix.resolve())
        except Skip as reason:
            skipped = reason
        if server is not None:
            checks.check("the server ends when it is told to", (status := server.stop()) == 0, (status, server.said()[-2000:]))
    print(f"{checks.failed} failed" if checks.failed else "none failed" if skipped else "all passed")
    if skipped:
        print(f"skipped: {skipped}", file=sys.stderr)
    return 1 if checks.failed else 77 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
