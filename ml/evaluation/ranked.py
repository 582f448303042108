"""How good a ranking of advertisers is for users with one target each: recall, NDCG and MRR, by groups of targets.

    recall@k   is the target among the first k
    ndcg@k     1 / log2(1 + rank) if it is, else 0 (Järvelin & Kekäläinen 2002, with one relevant item)
    mrr@k      1 / rank if it is, else 0

A metric of a group is a mean over its users and has the group's name before it (`new_recall@10`); all users are the
group without a name. It knows only ranks: nothing of probabilities, nor which source is favoured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ml.contexts.stream import UserContexts
from ml.errors import BadInput
from ml.evaluation.bootstrap import EvaluationSettings, Resamples, Statistic, divide, evaluate, ratio_of_sums
from ml.evaluation.results import Evaluation, Interval

CUTS = (1, 5, 10, 20, 50)
KINDS = ("recall", "ndcg", "mrr")
GROUPS = ("", "new", "short", "rare", "catalogue")
"""All; advertisers new to the user; users with SHORT_HISTORY conversions or fewer; rare advertisers (see
`rare_advertisers`); targets in the catalogue."""
SHORT_HISTORY = 3
RARE_SHARE = 0.2
METRICS = tuple(
    f"{group}_{kind}@{k}".lstrip("_")
    for group in GROUPS
    for kind in (KINDS if group != "catalogue" else KINDS[:1])
    for k in CUTS
)


def judge(
    ranks: Mapping[str, np.ndarray],
    groups: Mapping[str, np.ndarray],
    *,
    rng: np.random.Generator,
    settings: EvaluationSettings | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
) -> Evaluation:
    """Every metric of every source on the same users, with paired differences.

    Args:
        ranks: source -> rank of each user's target, inf where it is not among the predictions, shape (n_users,).
        groups: what `groups_of` gives: name -> mask, shape (n_users,).
        rng: draws the resamples.
        settings: number of draws.
        pairs: (source, against) to compare; by default `usual_pairs`.
    """
    sources = list(ranks)
    resamples = Resamples(len(next(iter(ranks.values()))), (settings or EvaluationSettings()).resamples, rng)
    return evaluate(
        resamples,
        _means(np.stack([ranks[source] for source in sources], axis=1), groups),
        arms=sources,
        metrics=METRICS,
        pairs=usual_pairs(sources) if pairs is None else pairs,
    )


def _means(ranks: np.ndarray, groups: Mapping[str, np.ndarray]) -> Statistic:
    """METRICS as one statistic of ranks (n_users, n_sources): weights (b, n_users) -> (b, n_sources, n_metrics)."""
    found = ranks[:, :, None] <= CUTS
    with np.errstate(divide="ignore"):
        gains = {"recall": np.ones_like(ranks), "ndcg": 1 / np.log2(1 + ranks), "mrr": 1 / ranks}
    values = np.concatenate([gains[kind][:, :, None] * found for kind in KINDS], axis=2)
    columns = {group: len(CUTS) * (1 if group == "catalogue" else len(KINDS)) for group in GROUPS}

    def statistic(weights: np.ndarray) -> np.ndarray:
        means = []
        for group, width in columns.items():
            mine = weights * groups[group]
            above = np.tensordot(mine, values[:, :, :width], axes=1)
            # Rounded: two sources with the same ranks must not differ by the order in which a matrix product adds.
            means.append(np.round(divide(above, mine.sum(axis=1)[:, None, None]), 12))
        return np.concatenate(means, axis=2)

    return statistic


def groups_of(
    contexts: UserContexts, labels: pd.DataFrame, is_new: np.ndarray, catalogue: pd.DataFrame
) -> dict[str, np.ndarray]:
    """Which labels belong to each of GROUPS, shape (n_labels,) each.

    Args:
        contexts: streams of the snapshot day, all labelled users among them.
        labels: user_id, advertiser_id.
        is_new: see `ml.contexts.labels.new_to_user`.
        catalogue: advertisers that could be predicted, with their conversions so far (`ml.predictors.catalogue`).
    """
    counts = np.bincount(contexts.conversions()["user"], minlength=len(contexts))
    rows = pd.Index(contexts.user_ids).get_indexer(pd.Index(labels["user_id"]))
    targets = labels["advertiser_id"].to_numpy()
    return {
        "": np.ones(len(labels), dtype=bool),
        "new": np.asarray(is_new, dtype=bool),
        "short": counts[rows] <= SHORT_HISTORY,
        "rare": np.isin(targets, rare_advertisers(catalogue)),
        "catalogue": np.isin(targets, catalogue["advertiser_id"].to_numpy()),
    }


def rare_advertisers(catalogue: pd.DataFrame) -> np.ndarray:
    """Ids of the smallest advertisers that together hold RARE_SHARE of the catalogue's conversions so far."""
    ascending = catalogue.sort_values(["conversions", "advertiser_id"], kind="stable")
    until = ascending["conversions"].cumsum()
    return np.asarray(ascending["advertiser_id"].to_numpy()[until <= RARE_SHARE * until.iloc[-1]])


def exclusive_hits(
    ranks: Mapping[str, np.ndarray], source: str, others: Sequence[str], *, k: int, resamples: Resamples
) -> Interval:
    """Share of a source's hits at k that none of `others` has, with its interval.

    Two runs of one source differ by chance alone, so the figure means something only beside that of a second
    seed of the best other source.
    """
    hits = ranks[source] <= k
    missed = ~np.any([ranks[other] <= k for other in others], axis=0)
    return resamples.interval(exclusive(hits, missed))


def exclusive_ratio(
    ranks: Mapping[str, np.ndarray], one: str, two: str, others: Sequence[str], *, k: int, resamples: Resamples
) -> Interval:
    """How many times as large the exclusive share of `one` is as that of `two`, on the same draws.

    Args:
        ranks: as in `judge`.
        one, two: say, the LLM and a second seed of the best other source.
        others: whom both are compared with; neither is among them.
        k: what counts as a hit.
        resamples: the draws.
    """
    missed = ~np.any([ranks[other] <= k for other in others], axis=0)
    shares = [exclusive(ranks[name] <= k, missed) for name in (one, two)]
    return resamples.interval(lambda weights: divide(shares[0](weights), shares[1](weights)))


def exclusive(hits: np.ndarray, missed: np.ndarray) -> Statistic:
    """Statistic: share of `hits` that the others `missed`, both shape (n_users,)."""
    return ratio_of_sums((hits & missed).astype(float), hits.astype(float))


def usual_pairs(sources: Sequence[str]) -> list[tuple[str, str]]:
    """llm against every other source, its blend against the others', and placebo against popularity.

    As far as they are there; a blend is a source named "first+second".
    """
    single = [source for source in sources if "+" not in source]
    pairs = [("llm", source) for source in single if source != "llm"] if "llm" in sources else []
    blends = [source for source in sources if "+" in source]
    mine, others = ([b for b in blends if b.startswith("llm+") is is_mine] for is_mine in (True, False))
    pairs += [(one, other) for one in mine for other in others]
    return [*pairs, ("placebo", "popularity")] if {"placebo", "popularity"} <= set(sources) else pairs


def ranks_in_table(predictions: pd.DataFrame, labels: pd.DataFrame) -> np.ndarray:
    """Rank of each label's advertiser in its user's predictions, inf where it is not among them, shape (n_labels,).

    Args:
        predictions: user_id, advertiser_id, rank; at most once per user and advertiser.
        labels: user_id, advertiser_id: one a user.

    Raises:
        BadInput: two labels of one user.
    """
    if labels["user_id"].duplicated().any():
        raise BadInput("several labels of one user", where="labels", remedy="keep the first conversion of each user")
    keys = ["user_id", "advertiser_id"]
    found = labels[keys].merge(predictions[[*keys, "rank"]], on=keys, how="left", validate="many_to_one")
    return np.asarray(found["rank"].fillna(np.inf).to_numpy(dtype=float))


def ranks_in_matrix(probabilities: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Rank of each target in a whole distribution, ties to the lower column, inf outside the catalogue.

    Args:
        probabilities: shape (n, n_advertisers).
        column: shape (n,): catalogue row of each target, -1 outside it.
    """
    at = np.maximum(column, 0)
    own = probabilities[np.arange(len(column)), at][:, None]
    before = (probabilities > own) | ((probabilities == own) & (np.arange(probabilities.shape[1]) < at[:, None]))
    return np.where(column >= 0, 1.0 + before.sum(axis=1), np.inf)
