"""Predictions: equal in a new process, alone or in company, and blind to what comes later."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from llm_worlds import PHRASES, TINY, Trained, catalogue, last_search_world

from ml.contexts.stream import UserContexts
from ml.errors import BadInput
from ml.llm.base_model import fetch_base_model, load_base_model
from ml.llm.predictor import LLMPredictor
from ml.predictors.predictions import violations

CONTEXTS = last_search_world(24, seed=11, events=7).contexts

SCORE_ELSEWHERE = """
import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from llm_worlds import TINY, Trained, last_search_world
from ml.llm.predictor import LLMPredictor
contexts = last_search_world(24, seed=11, events=7).contexts
predictor = LLMPredictor.load(Path(sys.argv[2]), Path(sys.argv[3]), model_version="v1", settings=TINY)
predictor.predict(contexts, 8).to_parquet(sys.argv[4])
"""


def test_a_new_process_gives_equal_scores(trained: Trained, tiny_base: Path, tmp_path: Path) -> None:
    here, out = trained.predictor.predict(CONTEXTS, 8), tmp_path / "there.parquet"
    arguments = [str(Path(__file__).parent), str(trained.checkpoint), str(tiny_base), str(out)]
    subprocess.run([sys.executable, "-c", SCORE_ELSEWHERE, *arguments], check=True)
    there = pd.read_parquet(out)
    assert list(there["advertiser_id"]) == list(here["advertiser_id"])
    np.testing.assert_allclose(there["probability"], here["probability"], rtol=1e-6)


def test_what_is_loaded_is_what_was_trained(trained: Trained, tiny_base: Path) -> None:
    """The merged model scores the validation users as the model in training did (the PEFT trap)."""
    from ml.llm.sample import draw_sample
    from ml.llm.tokens import LineTokenizer
    from ml.llm.validation import log_loss

    sample = draw_sample(trained.examples, LineTokenizer(tiny_base), TINY, np.random.default_rng([0, 0]))
    rows = trained.examples.targets.iloc[sample.validation.request]
    hidden = trained.predictor.hidden_states_at(
        trained.examples.contexts, rows["user"].to_numpy(), rows["position"].to_numpy()
    )
    logits = np.log(trained.predictor.distribution(hidden))
    assert log_loss(logits, sample.validation_target) == pytest.approx(
        trained.result.metrics["validation_log_loss"], abs=1e-4
    )


def test_it_forecasts_the_advertiser_of_the_last_search(trained: Trained) -> None:
    contexts = CONTEXTS.take(np.arange(24))
    searches = np.random.default_rng(0).integers(len(PHRASES), size=24)
    last = contexts.offsets[1:] - 1
    fields = ["kind", "text", "category", "advertiser_id", "advertiser_name"]
    contexts.events.loc[last, fields] = [("search", PHRASES[i], None, None, None) for i in searches]
    top = trained.predictor.predict(contexts, 2)
    chosen = top["advertiser_id"].to_numpy().reshape(24, 2)
    hits = (chosen == np.array([f"a{i}" for i in searches])[:, None]).any(axis=1)
    assert hits.mean() > 0.6


def test_predictions_are_sound(trained: Trained) -> None:
    table = trained.predictor.predict(CONTEXTS, 20)
    assert violations(table, set(trained.examples.catalogue["advertiser_id"])) == []
    assert len(table) == 24 * 8
    assert table.groupby("user_id")["probability"].sum().to_numpy() == pytest.approx(1)
    assert set(table["source"]) == {"llm"}
    assert set(table["model_version"]) == {"v1"}
    assert trained.predictor.known_until == trained.examples.contexts.as_of


def test_alone_as_in_company(trained: Trained) -> None:
    mixed = ragged(CONTEXTS)
    together = trained.predictor.hidden_states(mixed)
    for user in range(len(mixed)):
        alone = trained.predictor.hidden_states(mixed.take(np.array([user])))
        np.testing.assert_allclose(alone[0], together[user], atol=1e-4)


def test_later_events_change_nothing_read_earlier(trained: Trained) -> None:
    user, position = np.repeat(np.arange(24), 4), np.tile([0, 1, 3, 5], 24)
    before = trained.predictor.hidden_states_at(CONTEXTS, user, position)
    scrambled = CONTEXTS.take(np.arange(24))
    late = (np.arange(len(scrambled.events)) - scrambled.offsets[scrambled.events["user"]]) >= 5
    scrambled.events.loc[late, "text"] = "something else"
    scrambled.events.loc[late, "kind"] = "search"
    after = trained.predictor.hidden_states_at(scrambled, user, position)
    np.testing.assert_allclose(after, before, atol=1e-4)
    assert np.abs(trained.predictor.hidden_states(scrambled) - trained.predictor.hidden_states(CONTEXTS)).max() > 0.1


def test_past_snapshots_out_of_one_pass(trained: Trained) -> None:
    """Positions of one stream read as the contexts of those days, truncated ones too."""
    for budget in (60, 1000):
        settings = TINY.model_copy(update={"max_prompt_tokens": budget})
        predictor = LLMPredictor.load(trained.checkpoint, trained.predictor.base, model_version="", settings=settings)
        user, position = np.repeat(np.arange(24), 3), np.tile([0, 4, 7], 24)
        at = predictor.hidden_states_at(CONTEXTS, user, position)
        for row in range(0, len(user), 5):
            start = int(CONTEXTS.offsets[user[row]])
            keep = slice(start, start + int(position[row]))
            events = CONTEXTS.events.iloc[keep].reset_index(drop=True).assign(user=0)
            users = CONTEXTS.users.iloc[[user[row]]].reset_index(drop=True)
            snapshot = UserContexts(CONTEXTS.as_of, users, events, np.array([0, position[row]]))
            np.testing.assert_allclose(predictor.hidden_states(snapshot)[0], at[row], atol=1e-4)


def test_an_advertiser_never_trained_on_gets_a_sensible_probability(trained: Trained) -> None:
    newcomer = pd.DataFrame({"advertiser_id": ["new"], "name": ["Belim Two"], "vertical": ["bank"]})
    wider = pd.concat([newcomer, catalogue().iloc[::-1]], ignore_index=True)
    predictor = trained.predictor.with_catalogue(wider)
    hidden = trained.predictor.hidden_states(CONTEXTS)
    old, new = trained.predictor.distribution(hidden), predictor.distribution(hidden)
    assert np.isfinite(new).all()
    assert 0.001 < new[:, 0].mean() < 0.6
    np.testing.assert_allclose(new[:, 1:] / new[:, 1:].sum(axis=1, keepdims=True), old[:, ::-1], rtol=1e-4)
    assert list(predictor.advertiser_ids) == list(wider["advertiser_id"])
    assert list(trained.predictor.advertiser_ids) == list(catalogue()["advertiser_id"]), "the first one is as it was"
    with pytest.raises(BadInput, match="empty"):
        predictor.with_catalogue(wider.iloc[:0])


def test_another_base_model_is_refused(trained: Trained, tiny_base: Path, tmp_path: Path) -> None:
    import torch

    other = tmp_path / "other"
    shutil.copytree(tiny_base, other)
    model = load_base_model(tiny_base, "float32", "cpu")
    with torch.no_grad():
        next(iter(model.parameters())).mul_(1.01)
    model.save_pretrained(other)  # type: ignore[operator]
    with pytest.raises(BadInput, match="another base model"):
        LLMPredictor.load(trained.checkpoint, other, model_version="v1", settings=TINY)


def test_half_a_checkpoint_is_refused(trained: Trained, tiny_base: Path, tmp_path: Path) -> None:
    shutil.copytree(trained.checkpoint, tmp_path / "half", ignore=shutil.ignore_patterns("config.json"))
    with pytest.raises(BadInput, match="no complete LLM checkpoint"):
        LLMPredictor.load(tmp_path / "half", tiny_base, model_version="v1", settings=TINY)


@pytest.mark.slow
def test_smollm2_knows_that_nike_is_nearer_to_adidas_than_to_a_bank(tmp_path: Path) -> None:
    from ml.llm.reading import advertiser_lines, embed_lines
    from ml.llm.tokens import LineTokenizer

    kept = Path(__file__).parents[3] / "var" / "base_models"
    base = fetch_base_model("smollm2-135m", kept if kept.exists() else tmp_path)
    names = ["Nike", "Adidas", "Chase", "Wells Fargo", "Hilton", "Marriott"]
    brands = pd.DataFrame({"name": names, "vertical": None}).fillna("")
    model, tokenizer = load_base_model(base, "float32", "cpu"), LineTokenizer(base)
    states = embed_lines(model, advertiser_lines(brands), tokenizer, 1024, "cpu")
    centred = states - states.mean(axis=0)
    near = centred @ centred.T / np.linalg.norm(centred, axis=1) / np.linalg.norm(centred, axis=1)[:, None]
    for one, other in ((0, 1), (2, 3), (4, 5)):
        strangers = [i for i in range(6) if i not in (one, other)]
        assert near[one, other] > near[one, strangers].max() + 0.1


def ragged(contexts: UserContexts) -> UserContexts:
    """The same users with streams of 0 to 7 events."""
    keep = np.concatenate([np.arange(start, start + i % 8) for i, start in enumerate(contexts.offsets[:-1])])
    lengths = np.arange(len(contexts)) % 8
    events = contexts.events.iloc[keep].reset_index(drop=True)
    return UserContexts(contexts.as_of, contexts.users, events, np.concatenate([[0], np.cumsum(lengths)]))
