"""Training learns what popularity cannot, is a function of its seed, and goes on after a kill as if unbroken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from llm_worlds import TINY, Trained, last_search_world

from ml.artifacts import sha256
from ml.contexts.stream import TrainingExamples
from ml.errors import BadInput
from ml.llm.lora import adapted_layers
from ml.llm.optimizer import FINAL_SHARE, learning_rate_share
from ml.llm.predictor import LLMPredictor
from ml.llm.sample import draw_sample
from ml.llm.teacher import Teacher
from ml.llm.tokens import LineTokenizer
from ml.llm.train import LogEntry, train
from tests.contracts.predictor_contract import checkerboard_world

SHORT = TINY.model_copy(update={"train_tokens": 6_000, "batch_tokens": 512, "log_every": 4, "save_every": 3})
MADE_OF = ["adapter/adapter_model.safetensors", "adapter/adapter_config.json", "head.safetensors", "loss_curve.json"]
MADE_OF += ["interests.safetensors"]


def hashes(work: Path) -> list[str]:
    names = [*MADE_OF, "config.json", "catalogue.parquet"]
    return [sha256(work / name) for name in names if (work / name).exists()]


def test_it_learns_who_is_bought_after_which_search(trained: Trained) -> None:
    metrics = trained.result.metrics
    assert metrics["validation_loss_end"] < 0.6 * metrics["validation_loss_start"]
    assert metrics["validation_recall@1"] > 2 * metrics["popularity_recall@1"]
    assert metrics["validation_log_loss"] < 0.7 * metrics["popularity_log_loss"]
    assert metrics["popularity_recall@10"] == 1.0, "ten of eight advertisers are all"


def test_the_loss_curve_tells_steps_tokens_loss_and_gradient(trained: Trained) -> None:
    curve, counts = trained.result.loss_curve, trained.result.counts
    assert curve[0] == {"step": 0, "tokens": 0, "validation_loss": curve[0]["validation_loss"]}
    assert sum("validation_loss" in entry for entry in curve) == TINY.validation_points
    assert curve[-1]["tokens"] == counts["train_tokens"] <= TINY.train_tokens
    assert all({"step", "tokens", "loss", "interest_loss", "grad_norm"} <= set(entry) for entry in curve[1:])
    assert json.loads((trained.checkpoint / "loss_curve.json").read_text()) == curve


def test_a_killed_run_goes_on_to_the_same_bytes(tiny_base: Path, tmp_path: Path) -> None:
    examples = last_search_world(120)
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    train(examples, tiny_base, SHORT, seed=3, work=tmp_path / "whole")

    def kill_at(step: int) -> None:
        def on_log(entry: LogEntry) -> None:
            if entry["step"] >= step:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(examples, tiny_base, SHORT, seed=3, work=tmp_path / "killed", on_log=on_log)

    kill_at(0)
    kill_at(4)
    kill_at(8)
    assert (tmp_path / "killed" / "training_state.pt").exists()
    seen: list[float] = []
    train(examples, tiny_base, SHORT, seed=3, work=tmp_path / "killed", on_log=lambda e: seen.append(e["step"]))
    assert min(seen) > 4, "steps done before the last resume point are not done again"
    assert hashes(tmp_path / "killed") == hashes(tmp_path / "whole")
    assert len(hashes(tmp_path / "whole")) == len(MADE_OF) + 2
    assert not (tmp_path / "killed" / "training_state.pt").exists()


def test_what_an_earlier_version_left_is_refused(trained: Trained, tiny_base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    old = tmp_path / "old"
    shutil.copytree(trained.checkpoint, old)
    tensors = load_file(old / "head.safetensors")
    save_file({name: t for name, t in tensors.items() if name != "known_offset"}, old / "head.safetensors")
    with pytest.raises(BadInput, match=r"earlier version.*known_offset"):
        LLMPredictor.load(old, tiny_base, model_version="v", settings=TINY)

    def stop(entry: LogEntry) -> None:
        if entry["step"] >= 4:
            raise KeyboardInterrupt

    (tmp_path / "killed").mkdir()
    for chosen in (SHORT, SHORT.model_copy(update={"interest_weight": 0})):
        with pytest.raises(KeyboardInterrupt if chosen is SHORT else BadInput):
            train(trained.examples, tiny_base, chosen, seed=3, work=tmp_path / "killed", on_log=stop)


def test_a_finished_run_is_not_run_again(trained: Trained, tiny_base: Path) -> None:
    def never(entry: LogEntry) -> None:
        raise AssertionError(entry)

    again = train(trained.examples, tiny_base, TINY, seed=0, work=trained.checkpoint, on_log=never)
    assert again == trained.result


def test_another_seed_is_another_model(tiny_base: Path, tmp_path: Path) -> None:
    examples = last_search_world(60)
    made = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        train(examples, tiny_base, SHORT.model_copy(update={"train_tokens": 2_000}), seed=seed, work=tmp_path / name)
        made.append(hashes(tmp_path / name))
    assert made[0] == made[1]
    assert made[0][0] != made[2][0]


def test_bfloat16_learns_too(tiny_base: Path, tmp_path: Path) -> None:
    settings = TINY.model_copy(update={"dtype": "bfloat16", "train_tokens": 20_000})
    metrics = train(last_search_world(300), tiny_base, settings, seed=0, work=tmp_path).metrics
    assert metrics["validation_recall@1"] > 2 * metrics["popularity_recall@1"]


def test_only_the_top_layers_are_adapted(trained: Trained) -> None:
    from safetensors import safe_open

    with safe_open(trained.checkpoint / "adapter" / "adapter_model.safetensors", "np") as file:
        names = list(file.keys())
    assert names
    assert all(".layers.1." in name for name in names)
    assert adapted_layers(30, 1 / 3) == list(range(20, 30))
    assert adapted_layers(2, 0.01) == [1]


def test_modules_the_base_lacks_are_named(tiny_base: Path, tmp_path: Path) -> None:
    settings = SHORT.model_copy(update={"lora_modules": ("c_attn",)})
    with pytest.raises(BadInput, match="c_attn"):
        train(last_search_world(30), tiny_base, settings, seed=0, work=tmp_path)


def test_a_loss_that_explodes_stops_the_run(tiny_base: Path, tmp_path: Path) -> None:
    settings = SHORT.model_copy(update={"head_learning_rate": 1e30, "adapter_learning_rate": 1e30})
    with pytest.raises(BadInput, match="loss is nan"):
        train(last_search_world(60), tiny_base, settings, seed=0, work=tmp_path)


def test_too_few_users_are_a_clear_error(tiny_base: Path, tmp_path: Path) -> None:
    examples = last_search_world(30)
    nobody = TrainingExamples(examples.contexts, examples.targets.iloc[:1], examples.catalogue)
    with pytest.raises(BadInput, match="two are needed"):
        train(nobody, tiny_base, SHORT, seed=0, work=tmp_path)


@given(st.integers(300, 20_000), st.integers(1, 3), st.integers(0, 4))
@example(tokens=20_000, epochs=1, seed=0)
@settings(max_examples=20, deadline=None)
def test_the_sample_keeps_its_budget_and_shares_no_user(tiny_base: Path, tokens: int, epochs: int, seed: int) -> None:
    examples = last_search_world(80)
    settings = TINY.model_copy(update={"train_tokens": tokens, "epochs": epochs, "max_prompt_tokens": 90})
    sample = draw_sample(examples, LineTokenizer(tiny_base), settings, np.random.default_rng(seed))
    counts = sample.counts
    assert counts["train_tokens"] * epochs <= max(tokens, 90 * epochs)
    targets = examples.targets
    by_part = [
        (part, column, targets.iloc[part.request])
        for part, column in (
            (sample.train, sample.train_target),
            (sample.validation, sample.validation_target),
        )
    ]
    if counts["train_users"] + counts["validation_users"] == 80:
        for _, column, rows in by_part:
            assert [f"a{c}" for c in column] == list(rows["advertiser_id"])
        users = [set(rows["user"]) for _, _, rows in by_part]
        assert not users[0] & users[1]
        held_out = targets["user"].isin(users[1])
        assert sample.popularity.sum() == (~held_out).sum()
    assert counts["validation_users"] >= 1
    total = counts["train_users"] + counts["validation_users"]
    assert counts["validation_users"] == max(1, round(total * settings.validation_share))


@given(st.integers(1, 400), st.floats(0, 0.5))
@settings(max_examples=50, deadline=None)
def test_the_learning_rate_rises_then_falls_to_its_share(steps: int, warmup: float) -> None:
    shares = [learning_rate_share(step, steps, warmup) for step in range(steps)]
    peak = int(np.argmax(shares))
    assert all(0 < share <= 1 for share in shares)
    assert np.all(np.diff(shares[: peak + 1]) >= 0)
    assert np.all(np.diff(shares[peak:]) <= 1e-12)
    assert min(shares[peak:]) >= FINAL_SHARE - 1e-9


def test_a_teacher_tells_what_users_in_common_say_and_leaves_held_out_ones_out(tiny_base: Path) -> None:
    examples = checkerboard_world(200, np.random.default_rng(0))[0]
    sample = draw_sample(examples, LineTokenizer(tiny_base), TINY, np.random.default_rng(0))
    says = Teacher.fit(examples, sample.held_out).probabilities(sample.train_row)
    group = np.arange(24) % 4
    later = (examples.targets["position"] > 2).to_numpy()[sample.train_row]
    own = says * (group == group[sample.train_target][:, None])
    assert own.sum(axis=1)[later].mean() > 0.8
    np.testing.assert_allclose(says.sum(axis=1), 1, atol=1e-5)
    fewer = Teacher.fit(examples, np.arange(0, 200, 2)).probabilities(sample.train_row)
    assert not np.allclose(fewer, says)


def test_soft_targets_teach_what_few_hard_ones_cannot(tiny_base: Path, tmp_path: Path) -> None:
    examples = checkerboard_world(400, np.random.default_rng(0))[0]
    losses = []
    for share in (0.0, 0.8):
        work = tmp_path / str(share)
        work.mkdir()
        settings = TINY.model_copy(update={"train_tokens": 4_000, "cooccurrence_share": share})
        losses.append(train(examples, tiny_base, settings, seed=0, work=work).metrics["validation_log_loss"])
    assert losses[1] < losses[0]
