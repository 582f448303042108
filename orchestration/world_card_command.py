"""`adprior world-card`: simulates the world of the settings and sets its statistics beside those of a purchase log."""

from __future__ import annotations

import tempfile
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from ml.lake import Lake
from ml.sources.base import LogSource
from ml.sources.mapping import AMAZON14, load_mapping
from ml.timeline import Window
from ml.world.card import Figures, ad_statistics, people_statistics
from ml.world.card_page import render
from orchestration.settings import Settings, load_settings
from orchestration.waiting import waiting

MIN_CONVERSIONS = 3
"""Known conversions of the users that the card looks at, in both logs."""
REAL_WINDOW_DAYS, REAL_MIN_USERS = 91, 20
"""Label window and smallest advertiser of the purchase log, as in its protocol."""


def world_card_command(purchases: Path | None, write: Path | None) -> None:
    """Print the card, or write it to a file.

    Args:
        purchases: directory of a purchase log in the layout of amazon14; None leaves it out.
        write: file to write.
    """
    making = waiting("simulating the world and reading it")
    with tempfile.TemporaryDirectory(prefix="adprior-card-") as scratch, making:
        page = card(load_settings(), purchases, Path(scratch))
    if write is None:
        print(page)
        return
    write.write_text(page, encoding="utf-8")
    print(f"{write}: written")


def card(settings: Settings, purchases: Path | None, scratch: Path) -> str:
    """The page for the world of some settings; everything temporary goes under `scratch`."""
    from ml.sources.purchases import PurchaseLogs
    from ml.sources.world import WorldSource

    world, window = settings.world, settings.timeline.label_window_days
    source = WorldSource(world, settings.seed, scratch / "landing")
    lake = _lake_of(source, scratch / "world", sparse=False)
    last = source.window().last - timedelta(days=world.outcome_days)
    people = _people(lake, last - timedelta(days=2 * window), window, settings.catalogue.min_users, settings.seed)
    real: Figures | None = None
    if purchases is not None:
        log = PurchaseLogs(purchases, load_mapping(AMAZON14))
        final = log.window().last - timedelta(days=2 * REAL_WINDOW_DAYS)
        bought = _lake_of(log, scratch / "purchases", sparse=True, chunk_days=91)
        real = _people(bought, final, REAL_WINDOW_DAYS, REAL_MIN_USERS, settings.seed)
    about = {
        "world": f"Size: {world.users:,} users, {world.advertisers:,} advertisers, {world.ads:,} ads, {world.days} "
        f"days and {world.outcome_days} more; seed {settings.seed}. Users with {MIN_CONVERSIONS} conversions or more, "
        f"as known {2 * window} days before the end of the {world.days} days; the window after it is judged.",
        "window": str(window),
        "log": "amazon14 (purchases)",
    }
    return render(people, ad_statistics(lake), real, about)


def _people(lake: Lake, day: date, window: int, min_users: int, seed: int) -> Figures:
    from ml.evaluation.snapshot_fold import snapshot_fold

    fold = snapshot_fold(lake, day, window_days=window, min_users=min_users, min_conversions=MIN_CONVERSIONS)
    return people_statistics(fold, np.random.default_rng([seed, 9]))


def _lake_of(source: LogSource, root: Path, *, sparse: bool, chunk_days: int = 7) -> Lake:
    from ml.sources.ingest import ingest

    lake = Lake(root / "lake")
    days = source.window()
    ingest(source, Window(days.first, days.last), lake, root / "quarantine", sparse=sparse, chunk_days=chunk_days)
    return lake
