"""Statistics of a log for the world card: how skewed, how long, how predictable; and what its ads do.

    people = people_statistics(fold, rng)         # any log: the world, a purchase log
    ads = ad_statistics(lake)                     # a log with impressions

Both logs go through the product's own sources, contexts and predictors, so that the figures can stand side by side.
It does not know which log is which, nor what is published elsewhere (`ml.world.card_page`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ml.evaluation.bootstrap import EvaluationSettings, Resamples, ratio_of_sums
from ml.evaluation.ranked import ranks_in_matrix
from ml.evaluation.results import Interval
from ml.lake import Lake
from ml.predictors.cooccurrence import Cooccurrence
from ml.predictors.fold import Fold
from ml.predictors.popularity import Popularity

Figures = dict[str, float | Interval]
"""By what they are called on the card."""
RECALL_AT = 10
_IMPRESSIONS = """
    CREATE TEMP TABLE shown AS
    SELECT i.*, k.event_time AS clicked, c.event_time AS converted
    FROM impressions i
    LEFT JOIN (SELECT impression_id, min(event_time) AS event_time FROM clicks GROUP BY 1) k USING (impression_id)
    LEFT JOIN (SELECT impression_id, min(event_time) AS event_time FROM conversions
               WHERE attribution = 'click' GROUP BY 1) c USING (impression_id)
"""
_DELAYS = "SELECT {} FROM (SELECT epoch(known_at) - epoch(event_time) AS delay FROM conversions)"
_AD_FIGURES = {
    "impressions of a user and day": (
        "SELECT count(*) / count(DISTINCT (user_id, day)) FROM (SELECT user_id, event_time::DATE AS day FROM shown)"
    ),
    "clicks per impression": "SELECT count(clicked) / count(*) FROM shown",
    "clicks per impression on search pages": "SELECT count(clicked) / count(*) FROM shown WHERE surface = 'search'",
    "clicks per impression on the home page": "SELECT count(clicked) / count(*) FROM shown WHERE surface = 'home'",
    "clicks per impression at the second place over the first": """
        SELECT (count(clicked) FILTER (position = 1) / count(*) FILTER (position = 1))
             / (count(clicked) FILTER (position = 0) / count(*) FILTER (position = 0)) FROM shown""",
    "conversions credited to a click, per click": "SELECT count(converted) / count(clicked) FROM shown",
    "share of conversions credited to a click": "SELECT avg((attribution = 'click')::INT) FROM conversions",
    "share of conversions credited to a view": "SELECT avg((attribution = 'view')::INT) FROM conversions",
    "share of conversions known within an hour": _DELAYS.format("avg((delay < 3600)::INT)"),
    "share of conversions known within a day": _DELAYS.format("avg((delay < 86400)::INT)"),
    "share of conversions known after five days or later": _DELAYS.format("avg((delay >= 5 * 86400)::INT)"),
    "share of impressions with a logged propensity": "SELECT count(propensity) / count(*) FROM shown",
    "price of a thousand impressions, dollars": "SELECT 1000 * avg(price_paid) FROM shown",
}


def people_statistics(fold: Fold, rng: np.random.Generator) -> Figures:
    """Users, histories, popularity, and recall of two plain predictors.

    Args:
        fold: what is known at the end of a snapshot day, and who converts with whom after it.
        rng: draws of users for the intervals.
    """
    events = fold.examples.contexts.events
    per_user = np.bincount(events["user"], minlength=len(fold.examples.contexts))
    conversions = np.bincount(fold.examples.targets["user"], minlength=len(fold.examples.contexts))
    counts = np.sort(fold.examples.catalogue["conversions"].to_numpy(dtype=np.float64))[::-1]
    figures: Figures = {
        "users with three conversions or more": float(len(per_user)),
        "advertisers in the catalogue": float(len(counts)),
        "conversions of a user, median": float(np.median(conversions)),
        "conversions of a user, 90th percentile": float(np.quantile(conversions, 0.9)),
        "events of a user, median": float(np.median(per_user)),
        "events of a user, 90th percentile": float(np.quantile(per_user, 0.9)),
        "share of conversions with the top 1 % of advertisers": _top(counts, 0.01),
        "share of conversions with the top 10 % of advertisers": _top(counts, 0.1),
        "Gini coefficient of advertisers' conversions": gini(counts),
        "share of next advertisers that are new to the user": float(fold.is_new.mean()),
    }
    return figures | dict(_recalls(fold, rng))


def _recalls(fold: Fold, rng: np.random.Generator) -> Iterator[tuple[str, Interval]]:
    resamples = Resamples(len(fold.labels), EvaluationSettings().resamples, rng)
    groups = {"all targets": np.ones(len(fold.labels)), "new advertisers": fold.is_new.astype(float)}
    for source in (Popularity(), Cooccurrence()):
        ranks = ranks_in_matrix(source.fit(fold.examples).probabilities(fold.contexts), fold.column)
        found = (ranks <= RECALL_AT).astype(float)
        for group, mask in groups.items():
            name = f"recall@{RECALL_AT} of {source.name}, {group}"
            yield name, resamples.interval(ratio_of_sums(found * mask, mask))


def ad_statistics(lake: Lake) -> Figures:
    """Clicks, conversions after clicks, delays and the random slice of a log with impressions."""
    with lake.connect() as con:
        con.execute(_IMPRESSIONS)
        return {name: float(con.sql(query).fetchall()[0][0]) for name, query in _AD_FIGURES.items()}


def gini(counts: np.ndarray) -> float:
    """Gini coefficient of non-negative numbers: 0 all alike, towards 1 all with one."""
    ordered = np.sort(counts)
    n = len(ordered)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * ordered.sum()))


def _top(counts: np.ndarray, share: float) -> float:
    """Share of the total that the largest `share` of the numbers (at least one) hold; `counts` descending."""
    return float(counts[: max(round(share * len(counts)), 1)].sum() / counts.sum())
