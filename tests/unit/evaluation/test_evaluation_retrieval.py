"""retrieval: who is in the candidate set, by construction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.errors import BadInput
from ml.evaluation.bootstrap import EvaluationSettings
from ml.evaluation.retrieval import retrieval_recall

QUICK = EvaluationSettings(resamples=200)


def sets(rows: list[tuple[str, str]]) -> pd.DataFrame:
    """Candidates (user, ad); ad "3b" belongs to advertiser "3"."""
    return pd.DataFrame(
        {"user_id": [u for u, _ in rows], "ad_id": [ad for _, ad in rows], "advertiser_id": [ad[0] for _, ad in rows]}
    )


TARGETS = pd.DataFrame(
    {
        "user_id": ["u", "v", "w", "x"],
        "ad_id": ["1a", "2a", None, "4a"],
        "advertiser_id": ["1", "2", "3", "4"],
    }
)
# u: the ad itself; v: another ad of the advertiser; w: ad unknown, advertiser there; x: nothing of it.
CANDIDATES = sets([("u", "1a"), ("u", "9a"), ("v", "2b"), ("v", "9a"), ("w", "3b"), ("x", "1a"), ("x", "2a")])


def test_each_metric_by_hand() -> None:
    found = retrieval_recall(
        {"a": CANDIDATES},
        TARGETS,
        np.array([False, True, True, True]),
        budget=2,
        pairs=[],
        rng=np.random.default_rng(0),
        settings=QUICK,
    ).metrics["a"]
    assert found["ad_recall"].value == pytest.approx(1 / 3)
    assert found["advertiser_recall"].value == pytest.approx(3 / 4)
    assert found["new_advertiser_recall"].value == pytest.approx(2 / 3)


def test_several_targets_of_a_user_stay_together() -> None:
    """One user with all hits, one with none, five targets each: a draw gives 0, 1/2 or 1, nothing between."""
    targets = pd.DataFrame(
        {"user_id": ["u"] * 5 + ["v"] * 5, "ad_id": [f"{i}a" for i in range(5)] * 2, "advertiser_id": list("01234") * 2}
    )
    arm = sets([("u", f"{i}a") for i in range(5)])
    found = retrieval_recall(
        {"a": arm}, targets, np.ones(10, bool), budget=5, pairs=[], rng=np.random.default_rng(0), settings=QUICK
    ).metrics["a"]["ad_recall"]
    assert (found.low, found.value, found.high) == (0, 0.5, 1)


def test_differences_are_paired() -> None:
    rng = np.random.default_rng(0)
    users = [f"u{i:03d}" for i in range(300)]
    targets = pd.DataFrame({"user_id": users, "ad_id": "1a", "advertiser_id": "1"})
    base = sets([(user, "1a" if rng.random() < 0.4 else "2a") for user in users])
    more = sets([(user, "1a") if i < 60 else (user, ad) for i, (user, ad) in enumerate(zip(users, base["ad_id"]))])  # noqa: B905
    found = retrieval_recall(
        {"with": more, "without": base, "twin": base.copy()},
        targets,
        np.ones(300, bool),
        budget=1,
        pairs=[("with", "without"), ("twin", "without")],
        rng=rng,
        settings=QUICK,
    ).differences
    assert all(d.low > 0 for d in found if d.arm == "with")
    assert all((d.value, d.low, d.high) == (0, 0, 0) for d in found if d.arm == "twin")


def test_no_known_ad_is_not_a_recall_of_zero() -> None:
    found = retrieval_recall(
        {"a": CANDIDATES},
        TARGETS.assign(ad_id=None),
        np.ones(4, bool),
        budget=2,
        pairs=[],
        rng=np.random.default_rng(0),
        settings=QUICK,
    ).metrics_json()["a"]
    assert found["ad_recall"]["value"] is None
    assert found["advertiser_recall"]["value"] == 0.75


def test_a_broken_budget_is_refused() -> None:
    with pytest.raises(BadInput, match="2 candidates of user u, budget 1"):
        retrieval_recall({"a": CANDIDATES}, TARGETS, np.ones(4, bool), budget=1, pairs=[], rng=np.random.default_rng(0))
