"""Past controls: every source and blend at the LLM's snapshots, for its users, knowing nothing of later days."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.contexts.build import build_contexts
from ml.contexts.examples import all_targets
from ml.contexts.labels import new_to_user
from ml.contexts.settings import ContextSettings
from ml.contexts.stream import TrainingExamples
from ml.lake import Lake
from ml.predictors.blend import BlendSettings
from ml.predictors.catalogue import build_catalogue
from ml.predictors.controls import Blending
from ml.predictors.fold import Fold
from ml.predictors.past_controls import predict_past_controls
from ml.predictors.predictions import from_probabilities, violations
from ml.predictors.registry import BASELINES, BaselineSettings
from ml.predictors.sequence import SequenceSettings
from ml.predictors.text_linear import TextLinearSettings
from tests.lakes import random_frames, scramble_future, write_lake

FIRST, CUTOFF, LATER = date(2024, 1, 1), date(2024, 1, 12), date(2024, 1, 16)
K = 3
QUICK = BaselineSettings(
    text_linear=TextLinearSettings(rank=8, epochs=1, min_prompts=1), sequence=SequenceSettings(hidden=8, epochs=1)
)


def predicted(lake: Lake) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the LLM is said to have said, and what is found."""
    contexts = build_contexts(lake, CUTOFF, ContextSettings())
    with lake.connect(as_of=CUTOFF) as con:
        catalogue = build_catalogue(con, CUTOFF)
    targets = all_targets(contexts)
    targets = targets[targets["advertiser_id"].isin(catalogue["advertiser_id"])].reset_index(drop=True)
    examples, ids = TrainingExamples(contexts, targets, catalogue), catalogue["advertiser_id"].to_numpy()
    said = []
    for number, day in enumerate((CUTOFF, LATER)):
        users = build_contexts(lake, day, ContextSettings()).user_ids[number:]  # at LATER one less
        shares = np.random.default_rng(number).dirichlet(np.ones(len(ids)), len(users))
        common = {"day": day, "source": "llm", "model_version": "v", "k": K}
        said.append(from_probabilities(shares, user_ids=users, advertiser_ids=ids, **common))
    labels = pd.DataFrame({"user_id": contexts.user_ids, "advertiser_id": np.resize(ids, len(contexts))})
    fold = Fold(examples, contexts, labels, new_to_user(contexts, labels))
    blending = Blending(fold, said[0], BlendSettings(form="pool", min_users=2))
    llm = pd.concat(said, ignore_index=True)
    found = predict_past_controls(examples, lake, llm, QUICK, blending, ContextSettings(), min_users=0, k=K)
    return llm, found


@pytest.fixture(scope="module")
def frames() -> dict[str, pd.DataFrame]:
    return random_frames(np.random.default_rng(5), first=FIRST, n_days=20, n_users=30)


@pytest.fixture(scope="module")
def both(
    frames: dict[str, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory
) -> tuple[pd.DataFrame, pd.DataFrame]:
    return predicted(write_lake(frames, tmp_path_factory.mktemp("lake")))


def test_every_source_and_blend_speaks_for_the_llms_users_on_its_days(both: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    llm, found = both
    sources = set(found["source"])
    assert set(BASELINES) < sources and sum("+" in source for source in sources) == 2
    asked = set(llm[["user_id", "day"]].itertuples(index=False, name=None))
    for _, mine in found.groupby("source"):
        assert set(mine[["user_id", "day"]].itertuples(index=False, name=None)) == asked
        for _, at in mine.groupby("day"):
            assert violations(at, set(llm["advertiser_id"]) | set(at["advertiser_id"])) == []
    assert (found.groupby(["source", "day", "user_id"]).size() <= K).all()


def test_nothing_after_a_snapshot_changes_what_is_said_there(
    both: tuple[pd.DataFrame, pd.DataFrame], frames: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    other = write_lake(scramble_future(frames, LATER, np.random.default_rng(1)), tmp_path)
    pd.testing.assert_frame_equal(predicted(other)[1], both[1])
    earlier = write_lake(scramble_future(frames, CUTOFF, np.random.default_rng(1)), tmp_path / "earlier")
    at = [table[table["day"] == CUTOFF].reset_index(drop=True) for table in (predicted(earlier)[1], both[1])]
    pd.testing.assert_frame_equal(*at)
