"""A published directory is complete or absent, and a killed attempt is taken up again."""

import json
from pathlib import Path

import pytest

from ml.artifacts import MANIFEST, fingerprint_of, publish, read_manifest, sha256, work_dir, write_json


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
