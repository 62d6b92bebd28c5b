"""A simulated Azure for Microsoft's own clients: `signalr-rekey simulate` as a process, over TLS too, because those clients
speak https alone."""

import contextlib
import json
import pathlib
import signal
import socket
import subprocess
import sys
import unittest
import urllib.request
from typing import Any, Iterator
from urllib.parse import urlsplit

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = REPOSITORY / "target" / "debug" / "signalr-rekey"


class Azure:
    """the running embedded Azure."""

    def __init__(self, ready: dict[str, Any], folder: pathlib.Path) -> None:
        self.base: str = ready["base"]
        """Where it listens, over http."""
        self.secure: str = ready["tls"]
        """The same over https."""
        self.environment: dict[str, str] = ready["environment"]
        """What signalr-rekey and azure.identity want in the environment."""
        self.config = folder / "rekey.toml"
        self.certificate = folder / "ca.pem"

    def vault(self, name: str) -> str:
        """The URL of a vault."""
        return f"https://{name}.localhost:{urlsplit(self.secure).port}"

    def store(self, name: str) -> str:
        """The URL of an App Configuration store."""
        return f"https://{name}.azconfig.localhost:{urlsplit(self.secure).port}"

    def sim(self, path: str, body: Any = None) -> Any:
        """Asks the embedded Azure itself: `GET /sim/…`, or `POST` if there is a body."""
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.base}/sim/{path}", data, timeout=10) as answer:
            return json.load(answer)


@contextlib.contextmanager
def simulated(world: dict[str, Any], folder: pathlib.Path, *flags: str) -> Iterator[Azure]:
    """Runs `signalr-rekey simulate`, which is gone at the end, whatever happens."""
    (folder / "world.json").write_text(json.dumps(world))
    command = [PROGRAM, "simulate", "--listen", "127.0.0.1:0", "--world", folder / "world.json"]
    command += ["--config-out", folder / "rekey.toml", "--tls", folder, *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        line = process.stdout.readline()
        if not line:
            sys.exit("the embedded Azure did not start")
        yield Azure(json.loads(line), folder)
    finally:
        stop(process)


def stop(process: "subprocess.Popen[str]") -> None:
    """Ends a process of ours, if need be by force."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


def tested() -> int:
    """Runs the tests of the program that was started, says how many passed, and answers its exit code."""
    result = unittest.main("__main__", exit=False, verbosity=2).result
    failed = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    return 1 if failed or not result.testsRun else 0


def resolve(host: Any, *rest: Any, **named: Any) -> Any:
    """Vaults and stores are below `localhost`, which not every system resolves."""
    is_here = isinstance(host, str) and host.endswith(".localhost")
    return RESOLVE("127.0.0.1" if is_here else host, *rest, **named)


RESOLVE = socket.getaddrinfo
socket.getaddrinfo = resolve

# Told to end, leave by the way on which everything is put away.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
