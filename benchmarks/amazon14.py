"""amazon14, a public log of purchases with named brands, as folds by the protocol of its README.

    fold = read_fold(Path("data/amazon14"), VALIDATION, cache=Path("var/amazon14"))

It goes through the product's own purchases source, lake and contexts. Where the product counts every branded purchase
as a conversion of the user, the protocol counts brands of the catalogue only (>= 20 users so far): a training or test
user has at least 3 of those, and a test user's target is his first of those in the 91 days after. Other brands stay in
the streams as they are. TEST is for the final comparison only.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from ml.contexts.build import build_contexts
from ml.contexts.examples import all_targets
from ml.contexts.labels import new_to_user
from ml.contexts.settings import ContextSettings
from ml.contexts.store import read_examples, write_examples
from ml.contexts.stream import TrainingExamples
from ml.lake import Lake
from ml.predictors.catalogue import build_catalogue
from ml.predictors.fold import Fold
from ml.sources.ingest import ingest
from ml.sources.mapping import AMAZON14, load_mapping
from ml.sources.purchases import PurchaseLogs
from ml.timeline import end_of

VALIDATION, TEST = date(2014, 1, 22), date(2014, 4, 23)
"""Last day known of either fold; its label window opens the day after."""
LABEL_WINDOW_DAYS = 91
MIN_USERS, MIN_CONVERSIONS = 20, 3
FIRST_DAY = date(2014, 1, 1)
"""Everything before it is filed under it: the lake has few partitions then."""


def read_fold(data: Path, day: date, cache: Path) -> Fold:
    """The fold of a day; made once, then read from `cache`.

    Args:
        data: directory with events.parquet and items.parquet.
        day: VALIDATION or TEST.
        cache: directory for the lake and the prepared examples.
    """
    lake, kept = Lake(cache / "lake"), cache / f"examples-{day}"
    if not (cache / "lake" / "complete").exists():
        _ingest(data, lake, cache)
    if not (kept / "manifest.json").exists():
        write_examples(_examples(lake, day), kept)
    everyone = read_examples(kept)
    labels = _labels(lake, day, everyone.catalogue)
    counts = _conversions(everyone)
    able = pd.Index(everyone.contexts.user_ids[counts >= MIN_CONVERSIONS])
    examples = everyone.take(np.flatnonzero(counts >= MIN_CONVERSIONS))
    labels = labels[labels["user_id"].isin(able)].reset_index(drop=True)
    judged = examples.contexts.take(able.get_indexer(pd.Index(labels["user_id"])))
    return Fold(examples, judged, labels, new_to_user(judged, labels))


def _ingest(data: Path, lake: Lake, cache: Path) -> None:
    mapping = load_mapping(AMAZON14).model_copy(update={"first_day": FIRST_DAY})
    source = PurchaseLogs(data, mapping)
    ingest(source, source.window(), lake, cache / "quarantine", sparse=True, chunk_days=91)
    (cache / "lake" / "complete").touch()


def _examples(lake: Lake, day: date) -> TrainingExamples:
    contexts = build_contexts(lake, day, ContextSettings(active_days=36_500), only_active=False)
    with lake.connect(as_of=day) as con:
        catalogue = build_catalogue(con, day, min_users=MIN_USERS)
    targets = all_targets(contexts)
    targets = targets[targets["advertiser_id"].isin(catalogue["advertiser_id"])].reset_index(drop=True)
    return TrainingExamples(contexts, targets, catalogue)


def _conversions(examples: TrainingExamples) -> np.ndarray:
    """Conversions with advertisers of the catalogue, shape (n_users,): the targets are just these."""
    return np.bincount(examples.targets["user"], minlength=len(examples.contexts))


def _labels(lake: Lake, day: date, catalogue: pd.DataFrame) -> pd.DataFrame:
    """First conversion of each user with an advertiser of the catalogue in the window after `day`, by user id."""
    with lake.connect() as con:
        con.register("catalogue", catalogue)
        return con.execute(
            """
            SELECT user_id, advertiser_id FROM conversions SEMI JOIN catalogue USING (advertiser_id)
            WHERE event_time >= $opens AND event_time < $closes
            QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY event_time, conversion_id) = 1
            ORDER BY user_id
            """,
            {"opens": end_of(day), "closes": end_of(day + timedelta(days=LABEL_WINDOW_DAYS))},
        ).df()
