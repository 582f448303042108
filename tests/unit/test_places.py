"""Places: one path object for local directories and S3, and one clear error for whatever a server does."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from ml.errors import BadInput
from ml.places import must_answer, place, put, storage_errors
from tests.s3 import Proxy, S3Server, forget_connections, hang_up, silence, status


def test_a_local_place_is_a_plain_path(tmp_path: Path):
    assert type(place(tmp_path)) is type(tmp_path)
    assert place("logs/a") == Path("logs/a")


def test_other_urls_are_refused():
    with pytest.raises(BadInput, match="gs://"):
        place("gs://bucket/logs")


def test_s3_reads_like_a_directory(s3: S3Server):
    url = s3.bucket()
    s3.put(f"{url}/logs/date=2026-01-01/a.csv", b"one")
    s3.put(f"{url}/logs/date=2026-01-02/b.csv", b"two")
    logs = place(f"{url}/logs")
    assert [p.name for p in sorted(logs.glob("date=*/*.csv"))] == ["a.csv", "b.csv"]
    assert (logs / "date=2026-01-01" / "a.csv").read_bytes() == b"one"
    s3.put(f"{url}/logs/date=2026-01-03/c.csv", b"written by somebody else")
    assert len(list(logs.glob("date=*/*.csv"))) == 3, "listings are not cached"


def test_the_server_ends_with_whoever_started_it():
    code = (
        "import os\nfrom tests.s3 import running_server\n"
        "with running_server() as server:\n print(server.endpoint, flush=True)\n os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    port = int(done.stdout.strip().rsplit(":", 1)[1])
    deadline = time.monotonic() + 10
    while _answers(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _answers(port)


def _answers(port: int) -> bool:
    import socket

    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent server counts as gone after half a second, at the second try."""
    fast = {"connect_timeout": 0.5, "read_timeout": 0.5, "retries": {"total_max_attempts": 2, "mode": "standard"}}
    monkeypatch.setattr("ml.places.S3_CONFIG", fast)


READ = {
    "read": lambda path: path.read_bytes(),
    "list": lambda path: list(path.parent.glob("*")),
    "exists": lambda path: path.exists(),
    "write": lambda path: put(b"new", path),
}


FAULTS = {"503": status(503), "500": status(500), "silence": silence, "hang-up": hang_up, "403": status(403)}
SAID = {"503": "failed", "500": "failed", "silence": "in time", "hang-up": "no connection", "403": "refused"}
PAIRS = [(fault, act) for fault in FAULTS for act in ("read", "write")] + [("500", "list"), ("403", "exists")]


@pytest.mark.parametrize(("fault", "act"), PAIRS)
def test_a_fault_is_one_clear_error(s3: S3Server, s3_proxy: Proxy, impatient: None, fault: str, act: str):
    url = s3.bucket()
    s3.put(f"{url}/logs/a.csv", b"one")
    for method in ("GET", "HEAD", "PUT"):
        s3_proxy.on(method, "logs", FAULTS[fault])
    started = time.monotonic()
    with pytest.raises(BadInput, match=SAID[fault]), storage_errors(url):
        READ[act](place(f"{url}/logs/a.csv"))
    assert time.monotonic() - started < 10
    assert len(s3_proxy.requests) <= 4


def test_a_fault_that_goes_away_is_not_noticed(s3: S3Server, s3_proxy: Proxy):
    url = s3.bucket()
    s3.put(f"{url}/a", b"one")
    s3_proxy.on("GET", "/a", status(500), times=1)
    s3_proxy.on("PUT", "/a", status(503), times=1)
    assert place(f"{url}/a").read_bytes() == b"one"
    put(b"two", place(f"{url}/a"))
    assert s3.get(f"{url}/a") == b"two"


def test_nobody_listens(s3: S3Server, impatient: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(BadInput, match="no connection"), storage_errors("s3://bucket"):
        place("s3://bucket/a").read_bytes()


@pytest.mark.parametrize("act", ["read", "write"])
def test_a_missing_bucket(s3: S3Server, act: str):
    with pytest.raises(BadInput, match="no such bucket") as raised, storage_errors("s3://no-such-bucket/a"):
        READ[act](place("s3://no-such-bucket/a"))
    assert "s3://no-such-bucket/a" in str(raised.value)


def test_a_listing_of_a_missing_bucket_is_empty_so_ask_before(s3: S3Server):
    assert list(place("s3://no-such-bucket/a").glob("*")) == []
    with pytest.raises(BadInput, match="no such bucket"):
        must_answer(place("s3://no-such-bucket/a"))
    must_answer(place(f"{s3.bucket()}/nothing/there/yet"))


@pytest.mark.parametrize("from_file", [False, True])
def test_put_replaces_an_object(s3: S3Server, tmp_path: Path, from_file: bool):
    url = s3.bucket()
    put(b"old and longer", place(f"{url}/a/b"))
    content: bytes | Path = b"new"
    if from_file:
        content = tmp_path / "file"
        content.write_bytes(b"new")
    put(content, place(f"{url}/a/b"))
    assert s3.get(f"{url}/a/b") == b"new" and s3.keys(url) == ["a/b"]


@pytest.mark.parametrize("act", ["read", "write"])
def test_a_wrong_key(s3: S3Server, act: str, monkeypatch: pytest.MonkeyPatch):
    url = s3.bucket()
    s3.put(f"{url}/a", b"one")
    with s3.keys_required() as accepted:
        with pytest.raises(BadInput, match="refused access") as raised, storage_errors(url):
            READ[act](place(f"{url}/a"))
        assert "testing" not in str(raised.value)
        for name, value in accepted.items():
            monkeypatch.setenv(name, value)
        forget_connections()
        assert place(f"{url}/a").read_bytes() == b"one"
