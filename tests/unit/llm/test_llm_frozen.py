"""Kept states of the frozen layers: the same hidden states, computed once, however often it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from llm_worlds import TINY, last_search_world

from ml.artifacts import sha256
from ml.errors import BadInput
from ml.llm import frozen
from ml.llm.base_model import load_base_model
from ml.llm.batches import scoring_batches
from ml.llm.frozen import FrozenStates, SplitModel
from ml.llm.lora import add_adapters
from ml.llm.predictor import LLMPredictor
from ml.llm.reader import FrozenReader, WholeReader, open_reader
from ml.llm.reading import read_batch
from ml.llm.sample import Sample, draw_sample
from ml.llm.tokens import LineTokenizer
from ml.llm.train import train

SHORT = TINY.model_copy(update={"train_tokens": 6_000, "batch_tokens": 512, "epochs": 2, "save_every": 3})


@pytest.fixture(scope="module")
def sample(tiny_base: Path) -> Sample:
    return draw_sample(last_search_world(60), LineTokenizer(tiny_base), SHORT, np.random.default_rng(0))


def counted(split: SplitModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens that reach the frozen layers from now on."""
    seen: list[int] = []
    below = split.read_lower

    def read_lower(ids: torch.Tensor) -> torch.Tensor:
        seen.append(ids.numel())
        return below(ids)

    monkeypatch.setattr(split, "read_lower", read_lower)
    return seen


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_kept_states_read_what_the_whole_model_reads(
    tiny_base: Path, sample: Sample, tmp_path: Path, dtype: str
) -> None:
    model = add_adapters(load_base_model(tiny_base, dtype, "cpu"), SHORT, 0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.3)
    reader = open_reader(model, [sample.train], SHORT, tmp_path, "cpu")
    assert isinstance(reader, FrozenReader)
    expected = np.zeros((len(sample.train.prompt), reader.split.width), dtype=np.float32)
    with torch.inference_mode():  # in the same batches: in bfloat16 other shapes round otherwise
        for rows in scoring_batches(sample.train.lengths, SHORT.score_batch_tokens):
            states, reads = read_batch(model, sample.train, rows, "cpu")
            expected[reads] = states.numpy()
    assert np.abs(reader.all(sample.train) - expected).max() < (1e-4 if dtype == "float32" else 0.1)
    hidden, reads = reader.batch(sample.train, np.array([3, 5]))
    assert hidden.requires_grad
    assert np.abs(hidden.detach().numpy() - expected[reads]).max() < (1e-4 if dtype == "float32" else 0.3)


def test_a_prompt_is_computed_once(
    tiny_base: Path, sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = SplitModel(load_base_model(tiny_base, "float32", "cpu"), 1)
    seen = counted(split, monkeypatch)
    prompts = sample.train.prompts
    FrozenStates(tmp_path).ensure(split, prompts[:20], batch_tokens=512, device="cpu")
    once = sum(seen)
    FrozenStates(tmp_path).ensure(split, prompts[:20], batch_tokens=512, device="cpu")
    assert sum(seen) == once > 0
    states = FrozenStates(tmp_path)
    states.ensure(split, prompts, batch_tokens=512, device="cpu")
    assert sum(seen) > once
    rows = [prompts[25], prompts[2]]
    found = states.load(rows, torch.float32)
    for row, prompt in enumerate(rows):
        expected = split.read_lower(torch.from_numpy(prompt.astype(np.int64))[None])[0]
        np.testing.assert_allclose(found[row, : len(prompt)], expected, atol=1e-5)
        assert not found[row, len(prompt) :].any()


def test_a_killed_pass_keeps_its_shards(
    tiny_base: Path, sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen, "SHARD_TOKENS", 600)
    split = SplitModel(load_base_model(tiny_base, "float32", "cpu"), 1)

    def stop(done: int, total: int, unit: str) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FrozenStates(tmp_path).ensure(split, sample.train.prompts, batch_tokens=512, device="cpu", progress=stop)
    (tmp_path / "states-099.npy").write_bytes(b"half a shard: its keys were never written")
    seen = counted(split, monkeypatch)
    states = FrozenStates(tmp_path)
    states.ensure(split, sample.train.prompts, batch_tokens=512, device="cpu")
    distinct = {prompt.tobytes(): len(prompt) for prompt in sample.train.prompts}
    assert 0 < sum(seen) < 0.7 * sum(distinct.values())
    states.load(sample.train.prompts, torch.float32)


def test_a_sample_too_large_for_the_disk_is_read_through_all_layers(
    tiny_base: Path, sample: Sample, tmp_path: Path
) -> None:
    model = load_base_model(tiny_base, "float32", "cpu")
    settings = SHORT.model_copy(update={"frozen_cache_gb": 1e-6})
    assert isinstance(open_reader(model, [sample.train], settings, tmp_path, "cpu"), WholeReader)
    settings = SHORT.model_copy(update={"adapted_layers": 1.0})
    assert isinstance(open_reader(model, [sample.train], settings, tmp_path, "cpu"), WholeReader)


def test_training_learns_the_same_with_and_without_kept_states(tiny_base: Path, tmp_path: Path) -> None:
    examples, curves = last_search_world(120), []
    for name, gigabytes in (("kept", 8), ("whole", 0)):
        (tmp_path / name).mkdir()
        settings = SHORT.model_copy(update={"frozen_cache_gb": gigabytes})
        result = train(examples, tiny_base, settings, seed=3, work=tmp_path / name)
        curves.append([entry.get("loss", entry.get("validation_loss")) for entry in result.loss_curve])
        assert not (tmp_path / name / "frozen").exists()
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-3)


def test_a_model_that_cannot_be_cut_is_refused(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_base_model(tiny_base, "float32", "cpu")
    monkeypatch.setattr(SplitModel, "read_upper", lambda self, states: states)
    with pytest.raises(BadInput, match="cannot be cut"):
        SplitModel(model, 1)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = ["tests/unit/llm"]
from llm_worlds import last_search_world
from test_llm_frozen import SHORT
from ml.llm.train import train

def kill(entry):
    if entry["step"] >= int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

train(last_search_world(120), Path(sys.argv[1]), SHORT, seed=3, work=Path(sys.argv[2]), on_log=kill)
"""


def test_a_run_killed_with_9_ends_in_the_weights_of_an_unbroken_one(tiny_base: Path, tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    train(last_search_world(120), tiny_base, SHORT, seed=3, work=tmp_path / "whole")
    command = [sys.executable, "-c", KILLED, str(tiny_base), str(tmp_path / "killed"), "5"]
    done = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "killed" / "training_state.pt").exists()
    train(last_search_world(120), tiny_base, SHORT, seed=3, work=tmp_path / "killed")
    for name in ("adapter/adapter_model.safetensors", "head.safetensors", "loss_curve.json"):
        assert sha256(tmp_path / "killed" / name) == sha256(tmp_path / "whole" / name)


def test_random_weights_are_another_model_that_reloads_as_it_was(tiny_base: Path, tmp_path: Path) -> None:
    examples = last_search_world(120)
    settings = SHORT.model_copy(update={"weights": "random"})
    train(examples, tiny_base, settings, seed=3, work=tmp_path)
    once = LLMPredictor.load(tmp_path, tiny_base, model_version="r", settings=settings)
    again = LLMPredictor.load(tmp_path, tiny_base, model_version="r", settings=SHORT)
    some = examples.contexts.take(np.arange(10))
    np.testing.assert_array_equal(once.hidden_states(some), again.hidden_states(some))
    pretrained, other = (
        load_base_model(tiny_base, "float32", "cpu", random=seed).embed_tokens.weight  # type: ignore[union-attr]
        for seed in (None, 3)
    )
    assert not torch.equal(pretrained, other)


def test_a_predictor_with_a_cache_scores_as_one_without(tiny_base: Path, tmp_path: Path) -> None:
    examples = last_search_world(120)
    (tmp_path / "work").mkdir()
    train(examples, tiny_base, SHORT, seed=3, work=tmp_path / "work", cache=tmp_path / "kept")
    plain, cached = (
        LLMPredictor.load(tmp_path / "work", tiny_base, model_version="v", settings=SHORT, cache=cache)
        for cache in (None, tmp_path / "kept")
    )
    for _ in range(2):
        np.testing.assert_allclose(
            cached.probabilities(examples.contexts), plain.probabilities(examples.contexts), atol=1e-5
        )
    assert len(list((tmp_path / "kept").iterdir())) == 1, "training and scoring share one directory of states"
