"""S3 for tests: moto's server in a process of its own on loopback, and a proxy that misbehaves on demand.

Fixtures (tests/conftest.py makes them known everywhere):

    def test_it(s3):                         # AWS_* of this test point to the server
        url = s3.bucket()                    # "s3://..." of a new, empty bucket
        s3.put(f"{url}/logs/a.csv", b"...")  # also get, delete, keys
        subprocess.run(..., env={**os.environ, **s3.environment()})   # for other processes

    def test_faults(s3, s3_proxy):           # AWS_ENDPOINT_URL now leads through the proxy
        s3_proxy.on("GET", "part-0", status(503), times=2)
        s3_proxy.on("GET", "part-0", silence)           # no answer until the test ends
        s3_proxy.on("GET", "a.csv", before(lambda: s3.delete(f"{url}/logs/a.csv")))
        s3_proxy.asked("GET", "part-0")      # how often

    with s3.keys_required() as keys: ...     # the server checks keys now; `keys` is an environment that it accepts

python -m tests.s3      # a server to try things by hand; it ends with its standard input
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[1]


@dataclass
class S3Server:
    """A running server."""

    endpoint: str

    def environment(self) -> dict[str, str]:
        """What the standard AWS chain needs to find this server, and nothing of the machine's own."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def client(self, service: str = "s3") -> Any:
        """boto3's client: tests look at the server by other means than the code under test."""
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing-secret",
        )

    def bucket(self) -> str:
        """URL of a new, empty bucket."""
        name = f"adprior-{secrets.token_hex(6)}"
        self.client().create_bucket(Bucket=name)
        return f"s3://{name}"

    def put(self, url: str, content: bytes) -> None:
        self.client().put_object(Bucket=_bucket(url), Key=_key(url), Body=content)

    def put_directory(self, directory: Path, url: str) -> None:
        """Upload every file below `directory` under `url`."""
        client = self.client()
        for path in sorted(p for p in directory.rglob("*") if p.is_file()):
            key = f"{_key(url)}/{path.relative_to(directory)}".lstrip("/")
            client.put_object(Bucket=_bucket(url), Key=key, Body=path.read_bytes())

    def get(self, url: str) -> bytes:
        content: bytes = self.client().get_object(Bucket=_bucket(url), Key=_key(url))["Body"].read()
        return content

    def delete(self, url: str) -> None:
        self.client().delete_object(Bucket=_bucket(url), Key=_key(url))

    def keys(self, url: str) -> list[str]:
        """Keys of all objects under a URL, relative to it."""
        prefix = f"{_key(url)}/" if _key(url) else ""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=_bucket(url), Prefix=prefix)
        return sorted(found["Key"].removeprefix(prefix) for page in pages for found in page.get("Contents", []))

    @contextmanager
    def keys_required(self) -> Iterator[dict[str, str]]:
        """Let the server refuse every key but one; yields the environment of that one."""
        iam, name = self.client("iam"), f"user-{secrets.token_hex(4)}"
        iam.create_user(UserName=name)
        everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
        iam.put_user_policy(UserName=name, PolicyName="s3", PolicyDocument=json.dumps(everything))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        self._check_keys_after("0")
        try:
            chosen = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
            yield {**self.environment(), **chosen}
        finally:
            self._check_keys_after("Inf")

    def _check_keys_after(self, requests: str) -> None:
        address, form = f"{self.endpoint}/moto-api/reset-auth", {"Content-Type": "application/octet-stream"}
        urllib.request.urlopen(urllib.request.Request(address, requests.encode(), form)).close()


def _bucket(url: str) -> str:
    return urlsplit(url).netloc


def _key(url: str) -> str:
    return urlsplit(url).path.strip("/")


Action = Callable[["_Forward"], bool]
"""Done instead of forwarding a request; True if it has answered, False to forward it after all."""


def status(code: int) -> Action:
    """Answer with an S3 error of this HTTP status."""
    name = {403: "AccessDenied", 404: "NoSuchKey", 500: "InternalError", 503: "SlowDown"}.get(code, "Error")

    def answer(request: _Forward) -> bool:
        body = f"<?xml version='1.0'?><Error><Code>{name}</Code><Message>said the proxy</Message></Error>"
        request.answer(code, [("Content-Type", "application/xml")], body.encode())
        return True

    return answer


def silence(request: _Forward) -> bool:
    """Take the request and never answer."""
    request.proxy.ended.wait(120)
    request.close_connection = True
    return True


def hang_up(request: _Forward) -> bool:
    """Close the connection without an answer."""
    request.close_connection = True
    return True


def truncated(request: _Forward) -> bool:
    """Answer, and close the connection in the middle of the content."""
    request.cut = True
    return False


def before(act: Callable[[], object]) -> Action:
    """Do something first (delete an object, say), then forward the request."""

    def first(request: _Forward) -> bool:
        act()
        return False

    return first


@dataclass
class _Rule:
    method: str
    part: str
    action: Action
    times: int


@dataclass
class Proxy:
    """Passes requests on to a server, except where a rule says otherwise."""

    upstream: str
    endpoint: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """(method, path) of every request so far."""
    ended: threading.Event = field(default_factory=threading.Event)
    _rules: list[_Rule] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def on(self, method: str, part: str, action: Action, *, times: int = 1_000_000) -> None:
        """Apply `action` to the next `times` requests of this method with `part` in their path or query."""
        self._rules.append(_Rule(method, part, action, times))

    def asked(self, method: str, part: str) -> int:
        return sum(m == method and part in path for m, path in self.requests)

    def action(self, method: str, path: str) -> Action | None:
        with self._lock:
            self.requests.append((method, path))
            for rule in self._rules:
                if rule.times > 0 and rule.method == method and rule.part in path:
                    rule.times -= 1
                    return rule.action
        return None


class _Forward(BaseHTTPRequestHandler):
    """One connection through the proxy."""

    protocol_version = "HTTP/1.1"
    proxy: Proxy
    cut = False

    def _serve(self) -> None:
        body = self._body()
        action = self.proxy.action(self.command, self.path)
        if action is not None and action(self):
            return
        upstream = http.client.HTTPConnection(urlsplit(self.proxy.upstream).netloc, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("transfer-encoding", "connection")}
        upstream.request(self.command, self.path, body, headers)
        answer = upstream.getresponse()
        content = answer.read()
        kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in ("transfer-encoding", "connection")]
        self.answer(answer.status, kept, content)
        upstream.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            if self.headers.get("Expect", "").lower() == "100-continue":
                self.send_response_only(100)
                self.end_headers()
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        raise NotImplementedError("chunked upload")

    def answer(self, code: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(code)
        for name, value in headers:
            if name.lower() != "content-length" or self.command == "HEAD":
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            with suppress(ConnectionError):
                self.wfile.write(body[: len(body) // 2] if self.cut else body)
        if self.cut:
            self.cut, self.close_connection = False, True

    def log_message(self, *arguments: object) -> None:
        """Be quiet."""


@contextmanager
def proxy_to(upstream: str) -> Iterator[Proxy]:
    """A proxy on a free port of loopback."""
    proxy = Proxy(upstream)
    handler = type("Handler", (_Forward,), {"proxy": proxy})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads, server.block_on_close = True, False
        proxy.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.ended.set()
            server.shutdown()


@contextmanager
def running_server() -> Iterator[S3Server]:
    """Start a server; it ends with this process, whatever kills it."""
    command = [sys.executable, "-m", "tests.s3"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdin is not None
    try:
        yield S3Server(process.stdout.readline().strip())
    finally:
        process.stdin.close()
        process.wait(timeout=20)


def forget_connections() -> None:
    """fsspec keeps file systems by their arguments; what they read from the environment is not among these."""
    import s3fs

    for kind in (s3fs.S3FileSystem, *s3fs.S3FileSystem.__subclasses__()):
        kind.clear_instance_cache()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One server for the session; take `s3` unless the environment must stay as it is."""
    with running_server() as server:
        yield server


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """The server, and AWS_* of this process pointing to it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    forget_connections()
    yield s3_server
    forget_connections()


@pytest.fixture
def s3_proxy(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before the server; AWS_ENDPOINT_URL of this process points to it."""
    with proxy_to(s3.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        forget_connections()
        yield proxy


def _serve() -> None:
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"http://{host}:{port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _serve()
