"""Arms: the same rows and settings with the priors of one source, of another, or of none. Arms are data."""

from __future__ import annotations

import pandas as pd

from ml.errors import BadInput
from ml.lake import Lake
from ml.ranking.features import build_features, verticals
from ml.ranking.priors import prior_features

NONE = "none"


def arms(lake: Lake, rows: pd.DataFrame, priors_by_source: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Features of the same rows per arm: "none" without prior columns, then one arm a source.

    Args:
        rows: what `ranker_rows` returns.
        priors_by_source: Predictions tables by arm name, such as "llm" and "placebo".

    Returns:
        Feature frames by arm, each indexed as `rows`; they share the base columns.

    Raises:
        BadInput: a source is called "none".
    """
    if NONE in priors_by_source:
        raise BadInput('an arm may not be called "none"', where="priors_by_source", remedy="name it after its source")
    base = build_features(lake, rows)
    of_advertiser = verticals(lake)
    with_priors = {
        name: pd.concat([base, prior_features(rows, priors, of_advertiser)], axis=1)
        for name, priors in priors_by_source.items()
    }
    return {NONE: base, **with_priors}
