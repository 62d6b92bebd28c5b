"""A simulated Azure for Microsoft's own clients: `signalr-rekey simulate` as a process, and a TLS front before it,
because those clients speak https alone."""

import contextlib
import datetime
import http.client
import http.server
import ipaddress
import json
import os
import pathlib
import signal
import ssl
import subprocess
import sys
import threading
import unittest
import urllib.request
from typing import Any, Iterator
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = REPOSITORY / "target" / "debug" / "signalr-rekey"


class Azure:
    """the running embedded Azure."""

    def __init__(self, base: str, front: str, environment: dict[str, str], folder: pathlib.Path) -> None:
        self.base = base
        """Where it listens, over http."""
        self.front = front
        """The same over https."""
        self.environment = environment
        """What signalr-rekey and azure.identity want in the environment."""
        self.config = folder / "rekey.toml"
        self.certificate = folder / "front.pem"

    def sim(self, path: str, body: Any = None) -> Any:
        """Asks the embedded Azure itself: `GET /sim/…`, or `POST` if there is a body."""
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.base}/sim/{path}", data, timeout=10) as answer:
            return json.load(answer)


@contextlib.contextmanager
def simulated(world: dict[str, Any], folder: pathlib.Path, *flags: str) -> Iterator[Azure]:
    """Runs `signalr-rekey simulate` and the front; both are gone at the end, whatever happens."""
    (folder / "world.json").write_text(json.dumps(world))
    command = [PROGRAM, "simulate", "--listen", "127.0.0.1:0", "--world", folder / "world.json"]
    command += ["--config-out", folder / "rekey.toml", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        line = process.stdout.readline()
        if not line:
            sys.exit("the embedded Azure did not start")
        ready = json.loads(line)
        with tls_front(ready["base"], folder / "front.pem") as front:
            yield Azure(ready["base"], front, ready["environment"], folder)
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


# Told to end, leave by the way on which everything is put away.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


@contextlib.contextmanager
def tls_front(target: str, certificate: pathlib.Path) -> Iterator[str]:
    """Serves https on a free port and passes everything on to `target`. Leaves the certificate, which is its own
    authority, at `certificate`."""
    key = certificate.with_suffix(".key")
    make_certificate(certificate, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    address = urlsplit(target).netloc

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def setup(self) -> None:
            # Here, in the connection's own thread, so that a slow handshake keeps nobody else waiting.
            self.request.settimeout(self.timeout)
            self.request = context.wrap_socket(self.request, server_side=True)
            super().setup()

        def finish(self) -> None:
            super().finish()
            self.request.close()

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            headers |= {"X-Forwarded-Proto": "https", "X-Forwarded-Host": self.headers["Host"]}
            headers |= {"Content-Length": str(len(body))}
            behind = http.client.HTTPConnection(address, timeout=60)
            try:
                behind.request(self.command, self.path, body, headers)
                answer = behind.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException):
                # What breaks behind the front breaks before it too: faults are to be seen as they are.
                self.close_connection = True
                return
            finally:
                behind.close()
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = forward

        def log_message(self, *_: Any) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """A client that hangs up is no fault."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


def make_certificate(certificate: pathlib.Path, key: pathlib.Path) -> None:
    """A certificate for this machine alone, signed by itself, for a day."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    names = x509.SubjectAlternativeName(
        [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    )
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(names, critical=False)
        .sign(secret, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    descriptor = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(secret.private_bytes(*pem))
