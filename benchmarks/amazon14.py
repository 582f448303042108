"""amazon14, a public log of purchases with named brands, as folds by the protocol of its README.

    fold = read_fold(Path("data/amazon14"), VALIDATION, cache=Path("var/amazon14"))

It goes through the product's own purchases source, lake and contexts. Where the product counts every branded purchase
as a conversion of the user, the protocol counts brands of the catalogue only (>= 20 users so far): a training or test
user has at least 3 of those, and a test user's target is his first of those in the 91 days after. Other brands stay in
the streams as they are. TEST is for the final comparison only.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

from ml.contexts.store import read_examples, write_examples
from ml.evaluation.snapshot_fold import first_conversions, judged, snapshot_examples
from ml.lake import Lake
from ml.predictors.fold import Fold
from ml.sources.ingest import ingest
from ml.sources.mapping import AMAZON14, load_mapping
from ml.sources.purchases import PurchaseLogs

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
        write_examples(snapshot_examples(lake, day, MIN_USERS), kept)
    everyone = read_examples(kept)
    return judged(everyone, first_conversions(lake, day, LABEL_WINDOW_DAYS, everyone.catalogue), MIN_CONVERSIONS)


def _ingest(data: Path, lake: Lake, cache: Path) -> None:
    mapping = load_mapping(AMAZON14).model_copy(update={"first_day": FIRST_DAY})
    source = PurchaseLogs(data, mapping)
    ingest(source, source.window(), lake, cache / "quarantine", sparse=True, chunk_days=91)
    (cache / "lake" / "complete").touch()
