"""A published directory is complete or absent, and a killed attempt is taken up again; on S3 as on a local disk."""

import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ml.artifacts import (
    MANIFEST,
    fetch,
    fingerprint_of,
    publish,
    read_json,
    read_manifest,
    sha256,
    work_dir,
    write_json,
)
from ml.errors import BadInput
from ml.places import place
from tests.s3 import Proxy, S3Server, before, status, truncated


def build(target: Path, fingerprint: str, **files: str) -> dict:
    work = work_dir(target, fingerprint)
    for name, text in files.items():
        (work / name).write_text(text)
    return publish(work, target, {"rows": len(files)})


def visible(directory: Path) -> list[str]:
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*"))


def test_nothing_is_at_the_target_before_publish(tmp_path):
    target = tmp_path / "deep" / "model"
    work = work_dir(target, "f")
    (work / "weights").write_text("half")
    assert not target.exists()
    assert read_manifest(target) is None


def test_publish_moves_everything_and_describes_every_file(tmp_path):
    target = tmp_path / "model"
    work = work_dir(target, "f")
    (work / "inner").mkdir()
    (work / "inner" / "b").write_text("beta")
    (work / "a").write_text("alpha")
    returned = publish(work, target, {"rows": 2})
    assert visible(tmp_path) == ["model", "model/a", "model/inner", "model/inner/b", f"model/{MANIFEST}"]
    manifest = read_manifest(target)
    assert manifest == returned
    assert manifest["rows"] == 2
    assert {name: about["bytes"] for name, about in manifest["files"].items()} == {"a": 5, "inner/b": 4}
    assert manifest["files"]["a"]["sha256"] == sha256(target / "a")


def test_publish_replaces_the_old_directory_whole(tmp_path):
    build(tmp_path / "model", "1", old="x", both="old")
    build(tmp_path / "model", "2", both="new")
    assert visible(tmp_path) == ["model", "model/both", f"model/{MANIFEST}"]
    assert (tmp_path / "model" / "both").read_text() == "new"


def test_equal_files_give_an_equal_manifest(tmp_path):
    build(tmp_path / "one", "f", a="x", b="y")
    build(tmp_path / "two", "f", b="y", a="x")
    assert (tmp_path / "one" / MANIFEST).read_bytes() == (tmp_path / "two" / MANIFEST).read_bytes()


def test_a_killed_attempt_is_resumed_by_the_same_fingerprint_only(tmp_path):
    target = tmp_path / "model"
    (work_dir(target, "same") / "part-0").write_text("done")
    assert (work_dir(target, "same") / "part-0").read_text() == "done"
    assert not (work_dir(target, "other") / "part-0").exists()


def test_work_left_without_a_fingerprint_is_not_trusted(tmp_path):
    target = tmp_path / "model"
    work = work_dir(target, "f")
    (work / "part-0").write_text("done")
    (work / ".fingerprint").unlink()
    assert not (work_dir(target, "f") / "part-0").exists()


def test_a_kill_before_the_rename_leaves_the_old_version_readable(tmp_path, monkeypatch):
    target = tmp_path / "model"
    build(target, "1", weights="old")

    def killed(self, other):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            build(target, "2", weights="new")
    assert read_manifest(target)["files"]["weights"]["sha256"] == sha256(target / "weights")
    assert (target / "weights").read_text() == "old"
    build(target, "2", weights="new")
    assert (target / "weights").read_text() == "new"
    assert visible(tmp_path) == ["model", f"model/{MANIFEST}", "model/weights"]


def test_json_has_the_same_bytes_whatever_the_order_of_keys(tmp_path):
    write_json(tmp_path / "one.json", {"b": 1, "a": 2})
    write_json(tmp_path / "two.json", {"a": 2, "b": 1})
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_json_is_written_whole(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, {"b": 1, "a": [1, 2]})
    assert json.loads(path.read_text()) == {"a": [1, 2], "b": 1}
    with pytest.raises(ValueError, match="Circular"):
        loop: list = []
        loop.append(loop)
        write_json(path, loop)
    assert json.loads(path.read_text()) == {"a": [1, 2], "b": 1}


def test_a_fingerprint_depends_on_the_value_not_on_the_order_of_keys():
    assert fingerprint_of({"a": 1, "b": 2}) == fingerprint_of({"b": 2, "a": 1})
    assert fingerprint_of({"a": 1}) != fingerprint_of({"a": 2})


@pytest.fixture(params=["local", "s3"])
def target(request: pytest.FixtureRequest, tmp_path: Path):
    """Where to publish; what is fetched lies at `copy_of(target)`."""
    if request.param == "local":
        return tmp_path / "place" / "model"
    return place(f"{request.getfixturevalue('s3').bucket()}/a prefix/model")


def copy_of(target, tmp_path: Path) -> Path:
    return target if isinstance(target, Path) else tmp_path / "cache" / "model"


def build_at(target, tmp_path: Path, fingerprint: str, **files: str) -> dict:
    """As Stage does: work beside the local copy, then publish."""
    work = work_dir(copy_of(target, tmp_path), fingerprint)
    for name, text in files.items():
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text(text)
    return publish(work, target, {"rows": len(files)})


def other_machine(target, tmp_path: Path) -> Path:
    """Fetched by somebody who has no copy yet."""
    return fetch(target, tmp_path / "another" / "model")


def test_what_is_published_is_what_anybody_fetches(target, tmp_path):
    assert read_manifest(target) is None
    manifest = build_at(target, tmp_path, "1", a="alpha", **{"inner/manifest.json": "{}", "inner/empty": ""})
    assert read_manifest(target) == manifest
    for directory in (fetch(target, copy_of(target, tmp_path)), other_machine(target, tmp_path)):
        assert {n for n in visible(directory) if n != "inner"} == {"a", "inner/empty", "inner/manifest.json", MANIFEST}
        assert (directory / "a").read_text() == "alpha"
        assert {name: sha256(directory / name) for name in manifest["files"]} == {
            name: about["sha256"] for name, about in manifest["files"].items()
        }


def test_publishing_again_replaces_everything(target, tmp_path):
    build_at(target, tmp_path, "1", old="x", both="old")
    other_machine(target, tmp_path)
    build_at(target, tmp_path, "2", both="new")
    for directory in (fetch(target, copy_of(target, tmp_path)), other_machine(target, tmp_path)):
        assert visible(directory) == ["both", MANIFEST]
        assert (directory / "both").read_text() == "new"


def test_nothing_published_is_nothing_to_fetch(s3: S3Server, tmp_path):
    with pytest.raises(BadInput, match="not published"):
        fetch(place(f"{s3.bucket()}/model"), tmp_path / "model")


def test_a_copy_is_fetched_once(s3: S3Server, s3_proxy: Proxy, tmp_path):
    target = place(f"{s3.bucket()}/model")
    build_at(target, tmp_path, "1", weights="alpha", b="beta")
    for _ in range(3):
        other_machine(target, tmp_path)
    assert s3_proxy.asked("GET", "/weights") == 1
    fetch(target, copy_of(target, tmp_path))
    assert s3_proxy.asked("GET", "/weights") == 1, "what this machine built is not fetched at all"


def test_the_manifest_switches_and_the_old_files_go_last(s3: S3Server, s3_proxy: Proxy, tmp_path):
    url = s3.bucket()
    target = place(f"{url}/model")
    build_at(target, tmp_path, "1", weights="old")
    seen: dict[str, list[str]] = {}
    s3_proxy.on("PUT", MANIFEST, before(lambda: seen.update(before=s3.keys(url))), times=1)
    s3_proxy.on("POST", "delete", before(lambda: seen.update(after=s3.keys(url))), times=1)
    s3_proxy.on("DELETE", "model", before(lambda: seen.setdefault("after", s3.keys(url))), times=1)
    build_at(target, tmp_path, "2", weights="new")
    for moment in ("before", "after"):
        assert sum(key.endswith("weights") for key in seen[moment]) == 2, moment
    assert sorted(key.split("/")[-1] for key in s3.keys(url)) == [MANIFEST, "weights"], "one attempt is left"


def test_a_reader_overtaken_by_a_publication_gets_the_new_result(s3: S3Server, s3_proxy: Proxy, tmp_path):
    target = place(f"{s3.bucket()}/model")
    build_at(target, tmp_path, "1", a="old", b="old")
    republish = threading.Event()

    def once() -> None:
        if not republish.is_set():
            republish.set()
            build_at(target, tmp_path, "2", a="new", b="new")

    s3_proxy.on("GET", "/b", before(once), times=1)
    directory = other_machine(target, tmp_path)
    assert republish.is_set()
    assert [(directory / name).read_text() for name in "ab"] == ["new", "new"]


@pytest.mark.parametrize("fault", ["gone", "other content", "other length"])
def test_a_file_that_is_not_as_published_is_named_with_a_remedy(s3: S3Server, tmp_path, fault: str):
    url = s3.bucket()
    target = place(f"{url}/model")
    build_at(target, tmp_path, "1", weights="right", other="x")
    key = next(f"{url}/{key}" for key in s3.keys(url) if key.endswith("weights"))
    s3.delete(key) if fault == "gone" else s3.put(key, b"wrong" if fault == "other content" else b"cut")
    with pytest.raises(BadInput, match="gone" if fault == "gone" else "not what its manifest says") as raised:
        other_machine(target, tmp_path)
    assert key in str(raised.value) and "materialize the asset again" in str(raised.value)
    assert not (tmp_path / "another" / "model").exists() and not list((tmp_path / "another").glob(".*"))


def test_faults_that_go_away_are_not_noticed(s3: S3Server, s3_proxy: Proxy, tmp_path):
    target = place(f"{s3.bucket()}/model")
    s3_proxy.on("PUT", "/weights", status(500), times=1)
    s3_proxy.on("PUT", MANIFEST, status(503), times=1)
    s3_proxy.on("GET", "/weights", truncated, times=1)
    s3_proxy.on("GET", MANIFEST, truncated, times=1)
    build_at(target, tmp_path, "1", weights="alpha" * 1000)
    assert (other_machine(target, tmp_path) / "weights").read_text() == "alpha" * 1000


def test_a_publication_that_fails_leaves_the_old_result(s3: S3Server, s3_proxy: Proxy, tmp_path):
    target = place(f"{s3.bucket()}/model")
    build_at(target, tmp_path, "1", a="old", b="old")
    s3_proxy.on("PUT", "/b", status(403), times=1)
    with pytest.raises(BadInput, match="refused"):
        build_at(target, tmp_path, "2", a="new", b="new")
    assert (other_machine(target, tmp_path) / "a").read_text() == "old"
    build_at(target, tmp_path, "2", a="new", b="new")
    assert (other_machine(target, tmp_path) / "a").read_text() == "new"


KILLED = """
import sys
from pathlib import Path
from ml.artifacts import publish, work_dir
from ml.places import place
work = work_dir(Path(sys.argv[2]), "2")
for name in "abc":
    (work / name).write_text("new")
publish(work, place(sys.argv[1]), {"rows": 3})
"""


@pytest.mark.parametrize("at", ["/b", MANIFEST])
def test_kill_9_in_the_middle_of_a_publication(s3: S3Server, s3_proxy: Proxy, tmp_path, at: str):
    url = s3.bucket()
    target, mine = place(f"{url}/model"), tmp_path / "cache" / "model"
    build_at(target, tmp_path, "1", a="old", b="old", c="old")
    process: list[subprocess.Popen] = []
    kill_it = before(lambda: os.kill(process[0].pid, signal.SIGKILL))
    s3_proxy.on("PUT", at, lambda request: kill_it(request) or True, times=1)
    process.append(subprocess.Popen([sys.executable, "-c", KILLED, f"{url}/model", str(mine)]))
    assert process[0].wait(60) == -signal.SIGKILL
    assert [(other_machine(target, tmp_path) / name).read_text() for name in "abc"] == ["old"] * 3
    work = work_dir(mine, "2")
    assert (work / "a").read_text() == "new", "the next run finds the work as it was"
    publish(work, target, {"rows": 3})
    assert [(other_machine(target, tmp_path) / name).read_text() for name in "abc"] == ["new"] * 3
    assert len(s3.keys(url)) == 4, "nothing is left of the killed attempt"


def test_leftovers_go_after_a_day_and_an_upload_under_way_stays(s3: S3Server, tmp_path):
    url = s3.bucket()
    for age in (timedelta(hours=2), timedelta(days=2)):
        s3.put(f"{url}/model/{datetime.now(UTC) - age:%Y%m%dT%H%M%SZ}-00000000/part", b"x")
    build_at(place(f"{url}/model"), tmp_path, "1", a="alpha")
    assert [key.split("/")[-1] for key in s3.keys(url)].count("part") == 1


def test_json_on_s3(s3: S3Server):
    path = place(f"{s3.bucket()}/a/value.json")
    assert read_json(path) is None
    write_json(path, {"b": 1, "a": [1, 2]})
    assert read_json(path) == {"a": [1, 2], "b": 1}
