#!/usr/bin/env python3
"""Cache hits a second through oust, HAProxy, nginx and Varnish, each alone on one core; or through Pingora with the engine and with its MemCache.

    crates/oust-bench/proxies/run.py [--oust FILE] [--pingora FILE] [--rounds N] [--turn SECONDS] [--sizes 1024,65536] [--keys 1,10000] [--peers nginx,...] [--json FILE]

The peers `pingora` and `pingora-memcache` are the example of `oust-pingora` (`cargo build --release -p oust-pingora --example proxy`) with one storage and the
other; `--peers pingora-memcache,pingora` compares them with each other and with oust.

All proxies run at once, pinned to core 0 with one worker; the load (wrk, one thread) and the origin are on core 1. Before anything is measured,
every key is fetched through every proxy and its body compared byte by byte, and then again to see that it comes from the cache. Then the proxies
take turns of a second, round after round and each round in another order, so that what else happens on the machine meets all of them. A turn counts only
if nothing failed, as many bytes came as were asked for, and the origin heard of nothing.

Figures: medians over the rounds. Ratios are ours over the peer's of the same round, and of these the median. CPU is what the processes of a proxy
used (user and system) over all rounds, by request; of it too the ratio is ours over the peer's. Where a proxy's core is much less than all busy, the
load was the limit and not the proxy: then hits a second say little, and CPU a hit says all.

Exit codes: 0; 1 if a proxy does not serve, does not cache, or errs; 77 if a program or a second core is missing.
"""

import argparse
import ctypes
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
SKIP = 77
PROXY_CORE, LOAD_CORE = 0, 1
PEERS = ["haproxy", "nginx", "varnish"]
PINGORA = ["pingora", "pingora-memcache"]
# Share of its core that either side must use for a figure to be about the proxy or the load.
BUSY = 0.9
TICK = os.sysconf("SC_CLK_TCK")


class Wrong(Exception):
    """The rig or a proxy does not do what it is measured for."""


def main():
    options = arguments()
    # What runs is stopped then too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    programs = {"oust": options.oust, "origin": find("nginx"), "nginx": find("nginx"), "haproxy": find("haproxy"), "varnish": find("varnishd"), "wrk": find("wrk")}
    programs |= dict.fromkeys(PINGORA, options.pingora)
    wanted = ["oust", "origin", "wrk", *options.peers]
    missing = [name for name in wanted if not programs[name] or not pathlib.Path(programs[name]).is_file()]
    if missing:
        return skip(f"not installed: {', '.join(missing)}")
    if not {PROXY_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        return skip(f"needs cores {PROXY_CORE} and {LOAD_CORE}")
    # nginx keeps a file open for each key.
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if files != resource.RLIM_INFINITY and files < 14_000:
        return skip(f"a process may have {files} open files, and needs 14,000")
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    names = ["oust", *options.peers]
    print(f"- {own_network()}")
    # In memory: nginx has no cache but a file system's.
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="proxies-", dir="/dev/shm" if pathlib.Path("/dev/shm").is_dir() else None))
    scratch.chmod(0o755)
    running = []
    try:
        bodies = make_bodies(scratch, options.sizes)
        origin = Process("origin", programs, scratch, None, LOAD_CORE)
        running.append(origin)
        proxies = {}
        for name in names:
            proxies[name] = Process(name, programs, scratch, origin.port, PROXY_CORE)
            running.append(proxies[name])
        versions(programs, names)
        tables = []
        for size in options.sizes:
            for keys in options.keys:
                for proxy in proxies.values():
                    fill(proxy, size, keys, bodies[size])
                tables.append(measure(proxies, origin, size, keys, options, programs["wrk"]))
                table(tables[-1], names)
        if options.json:
            pathlib.Path(options.json).write_text(json.dumps(tables, indent=1) + "\n")
    except Wrong as wrong:
        print(f"wrong: {wrong}", file=sys.stderr)
        return 1
    finally:
        for process in running:
            process.stop()
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


def arguments():
    numbers = lambda text: [int(part) for part in text.split(",")]
    parser = argparse.ArgumentParser(description="cache hits a second through oust and other proxies, on one core each")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--oust", default=str(target / "release" / "oust"))
    parser.add_argument("--pingora", default=str(target / "release" / "examples" / "proxy"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--turn", type=int, default=1, help="seconds")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--sizes", type=numbers, default=[1024, 65536])
    parser.add_argument("--keys", type=numbers, default=[1, 10000])
    parser.add_argument("--peers", type=lambda text: text.split(","), default=PEERS)
    parser.add_argument("--json", help="writes the figures of every turn to this file")
    return parser.parse_args()


def own_network():
    """Moves this process into a network of its own and says what its TCP is.

    Its loopback has packets as an Ethernet has and buffers that hold a large body: where a body is one packet and fills the window, each waits for a timer,
    whoever sends it. And its TCP does not pace, as bbr would by what it believes the loopback to carry."""
    control = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control")
    clone_newnet = 0x4000_0000
    if ctypes.CDLL(None, use_errno=True).unshare(clone_newnet) != 0:
        return f"TCP of the machine ({control.read_text().strip()}): no right to a network of its own"
    subprocess.run([find("ip") or "ip", "link", "set", "lo", "mtu", "1500", "up"], check=True)
    for name in ["tcp_rmem", "tcp_wmem"]:
        (control.parent / name).write_text("4096 4194304 33554432")
    for name in ["cubic", "reno"]:
        try:
            control.write_text(name)
            break
        except OSError:
            pass
    return f"a network of its own, TCP {control.read_text().strip()}"


def skip(message):
    print(f"skipped: {message}", file=sys.stderr)
    return SKIP


def find(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def versions(programs, names):
    asked = {"nginx": ["-v"], "haproxy": ["-v"], "varnish": ["-V"], "oust": ["--version"]}
    for name in names:
        if name not in asked:
            print(f"- {name}: {programs[name]}")
            continue
        done = subprocess.run([programs[name], *asked[name]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        print(f"- {done.stdout.splitlines()[0]}")


def make_bodies(scratch, sizes):
    """One body of each size, the same in every run."""
    (scratch / "bodies").mkdir(mode=0o755)
    bodies = {}
    for size in sizes:
        bodies[size] = random.Random(size).randbytes(size)
        (scratch / "bodies" / str(size)).write_bytes(bodies[size])
    return bodies


class Process:
    """A server pinned to one core, with the processes it starts."""

    CONFIG = {"origin": "origin.conf", "nginx": "nginx.conf", "haproxy": "haproxy.cfg", "varnish": "varnish.vcl", "oust": "oust.toml"}

    def __init__(self, name, programs, scratch, origin, core):
        self.name = name
        self.port = free_port()
        config = scratch / self.CONFIG.get(name, "none")
        text = (HERE / self.CONFIG[name]).read_text() if name in self.CONFIG else ""
        config.write_text(text.replace("@PORT@", str(self.port)).replace("@ORIGIN@", str(origin)).replace("@DIR@", str(scratch)))
        program = programs[name]
        as_root = ["-g", "user root;"] if os.geteuid() == 0 else []
        command = {
            "origin": [program, "-c", config, *as_root],
            "nginx": [program, "-c", config, *as_root],
            "haproxy": [program, "-db", "-f", config],
            # A thread serves a connection while it has something to ask: as many as there are connections, on the one core.
            "varnish": [program, "-F", "-j", "none", "-a", f"127.0.0.1:{self.port}", "-f", config, "-n", scratch / "varnish", "-s", "malloc,2g",
                        "-p", "thread_pools=1", "-p", "thread_pool_min=50"],
            "oust": [program, "serve", "--config", config],
            **{pingora: [program, "--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{free_port()}", "--origin", f"127.0.0.1:{origin}",
                         "--threads", "1", "--edge-size", str(2 << 30), "--storage", storage]
               for pingora, storage in zip(PINGORA, ["oust", "memcache"])},
        }[name]
        self.log = scratch / f"{name}.out"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(["taskset", "-c", str(core), *command], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise Wrong(f"{name} does not serve: {self.log.read_text()[-2000:]}") from None
                time.sleep(0.05)

    def cpu(self):
        """Seconds of user and of system time, of all processes."""
        user = system = 0
        for pid in family(self.process.pid):
            try:
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            user += int(fields[11])
            system += int(fields[12])
        return user / TICK, system / TICK

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def family(pid):
    """A process and those it started."""
    found = [pid]
    for parent in found:
        for children in pathlib.Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:
                pass
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Client:
    """Requests on one connection."""

    def __init__(self, port):
        self.host = f"127.0.0.1:{port}"
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb", 1 << 18)

    def get(self, path):
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())
        status = self.file.readline()
        headers = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        if not status.startswith(b"HTTP/1.1 200"):
            raise Wrong(f"{path}: {status!r}")
        if "content-length" in headers:
            return headers, self.file.read(int(headers["content-length"]))
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.file.readline(), 16):
                body += self.file.read(size)
                self.file.readline()
            self.file.readline()
            return headers, body
        raise Wrong(f"{path}: a body without an end: {headers}")


def path_of(size, keys, key=""):
    return f"/{size}/{keys}/k{key}"


def fill(proxy, size, keys, body):
    """Has every key stored, and sees that it is."""
    client = Client(proxy.port)
    names = range(keys) if keys > 1 else [""]
    for again in [False, True]:
        for key in names:
            path = path_of(size, keys, key)
            try:
                headers, got = client.get(path)
            except Wrong as wrong:
                raise Wrong(f"{proxy.name} {wrong}: {proxy.log.read_text()[-500:]}") from None
            if got != body:
                raise Wrong(f"{proxy.name} {path}: {len(got)} bytes of another body")
            if headers.get("x-path") != path:
                raise Wrong(f"{proxy.name} {path}: the answer is for {headers.get('x-path')}")
            if again and not is_hit(headers):
                raise Wrong(f"{proxy.name} {path}: not from the cache: {headers}")


def is_hit(headers):
    if "x-cache" in headers:
        return headers["x-cache"].upper() == "HIT"
    if "x-varnish" in headers:
        return len(headers["x-varnish"].split()) == 2
    if "cache-status" in headers:
        return "; hit" in headers["cache-status"] and "age" in headers
    return "age" in headers


def measure(proxies, origin, size, keys, options, wrk):
    status = Client(origin.port)
    figures = {name: [] for name in proxies}
    order = list(proxies)
    for turn in range(options.rounds + 1):
        for name in order:
            figure = one_turn(proxies[name], status, size, keys, options, wrk)
            # The first round warms up.
            if turn > 0:
                figures[name].append(figure)
        # Everyone gets every place, and every neighbour on either side.
        order = order[1:] + order[:1] if turn % 2 else order[::-1]
    return {"size": size, "keys": keys, "turns": figures}


def one_turn(proxy, status, size, keys, options, wrk):
    asked = origin_requests(status)
    before = proxy.cpu()
    url = f"http://127.0.0.1:{proxy.port}{path_of(size, keys)}"
    command = ["taskset", "-c", str(LOAD_CORE), wrk, "-t1", f"-c{options.connections}", f"-d{options.turn}s", "-s", HERE / "load.lua", url]
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ, KEYS=str(keys)))
    after = proxy.cpu()
    load = resource.getrusage(resource.RUSAGE_CHILDREN)
    load = load.ru_utime + load.ru_stime - spent.ru_utime - spent.ru_stime
    found = re.search(r"^FIGURES (\d+) (\d+) (\d+) (\d+) (\d+)$", done.stdout, re.M)
    if not found:
        raise Wrong(f"wrk: {done.stdout}")
    requests, micros, read, p99, errors = map(int, found.groups())
    if errors or read < requests * size:
        raise Wrong(f"{proxy.name}: {errors} errors, {read} bytes for {requests} requests of {size}")
    # One more is our own question.
    if origin_requests(status) != asked + 1:
        raise Wrong(f"{proxy.name}: the origin was asked during the turn")
    return {"requests": requests, "seconds": micros / 1e6, "p99": p99, "user": after[0] - before[0], "system": after[1] - before[1], "load": load}


def origin_requests(status):
    return int(status.get("/status")[1].split()[9])


def table(measured, names):
    turns = measured["turns"]
    rate = {name: [turn["requests"] / turn["seconds"] for turn in turns[name]] for name in names}
    size = f"{measured['size'] // 1024} KiB" if measured["size"] >= 1024 else f"{measured['size']} B"
    keys = "one key" if measured["keys"] == 1 else f"{measured['keys']:,} keys"
    print(f"\n{size}, {keys}, {len(turns['oust'])} turns each:\n")
    print("| | hits/s | spread | oust is | p99 | CPU a hit | of it system | oust takes | core busy | load busy |")
    print("| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |")
    cpu_of = {name: sum(turn["user"] + turn["system"] for turn in turns[name]) / sum(turn["requests"] for turn in turns[name]) for name in names}
    idle = []
    for name in names:
        mine = turns[name]
        requests = sum(turn["requests"] for turn in mine)
        seconds = sum(turn["seconds"] for turn in mine)
        system = sum(turn["system"] for turn in mine)
        busy, load = cpu_of[name] * requests / seconds, sum(turn["load"] for turn in mine) / seconds
        ratio = statistics.median(ours / theirs for ours, theirs in zip(rate["oust"], rate[name]))
        more, cost = ("", "") if name == "oust" else (f"{ratio:.2f} x", f"{cpu_of['oust'] / cpu_of[name]:.2f} x")
        p99 = statistics.median(turn["p99"] for turn in mine)
        print(f"| {name} | {statistics.median(rate[name]):,.0f} | {min(rate[name]):,.0f}-{max(rate[name]):,.0f} | {more} | {p99 / 1000:.2f} ms "
              f"| {cpu_of[name] * 1e6:.1f} us | {system / requests * 1e6:.1f} us | {cost} | {busy:.0%} | {load:.0%} |", flush=True)
        if max(busy, load) < BUSY:
            idle.append(name)
    if idle:
        print(f"\nNeither core was busy with {', '.join(idle)}: the machine has other work, and hits/s and p99 mean nothing. Measure again.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
