"""A server of the checks' own: `oust serve` with an account of these credentials, on free ports of the loopback interface."""

import os
import pathlib
import re
import subprocess
import tempfile
import time

# Longest wait for the server to start or to end, in seconds.
PATIENCE = 30

CONFIG = """
[[site]]
hosts = ["*"]
origins = ["http://127.0.0.1:1"]

[[account]]
name = "{account}"
hosts = ["{host}", "domain.info", "test.domain2.com"]
azion = {{ tokens = ["{azion_token}"] }}
cdnetworks = {{ user = "{user}", api_key = "{key}" }}
imagekit = {{ private_key = "{imagekit_key}" }}
"""


class Server:
    """A process that is stopped, if it still runs, at the end of a `with`."""

    def __init__(self, binary, account, host, azion_token, imagekit_key, cdnetworks):
        user, key = cdnetworks.split(":", 1)
        self.directory = tempfile.TemporaryDirectory(prefix="oust-sdk-serve-")
        directory = pathlib.Path(self.directory.name)
        config, self.log = directory / "oust.toml", directory / "log"
        names = {"account": account, "host": host, "azion_token": azion_token, "imagekit_key": imagekit_key}
        config.write_text(CONFIG.format(user=user, key=key, **names))
        command = [str(binary), "serve", "--config", str(config)]
        for listener in ["--listen", "--admin", "--api"]:
            command += [listener, "127.0.0.1:0"]
        environment = {name: value for name, value in os.environ.items() if name not in ("OUST_LOG", "OUST_TOKEN")}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, env=environment)

    def __enter__(self):
        try:
            # The admin address is told last.
            self.admin = self.address("admin")
            self.base = self.address("api")
        except BaseException:
            self.__exit__()
            raise
        return self

    def address(self, name):
        until = time.monotonic() + PATIENCE
        while True:
            found = re.search(rf" {name} addr=([0-9.:]+)\n", self.said())
            if found:
                return f"http://{found[1]}"
            if self.process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the server does not start:\n{self.said()}")
            time.sleep(0.05)

    def said(self):
        return self.log.read_text(errors="replace")

    def stop(self):
        """Its exit status when it is told to end."""
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return "still running"

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.directory.cleanup()
