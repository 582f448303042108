"""Training of the retrieval model from a lake: streams, ads and positives of one cutoff, in one call."""

from __future__ import annotations

from ml.candidates.ad_tokens import known_ads
from ml.candidates.positives import read_positives
from ml.candidates.settings import TowerSettings
from ml.candidates.two_tower import TwoTower
from ml.contexts.stream import UserContexts
from ml.lake import Lake


def train_towers(lake: Lake, contexts: UserContexts, settings: TowerSettings, *, seed: int) -> TwoTower:
    """Two towers that know nothing after the day of `contexts`.

    Args:
        lake: validated logs.
        contexts: all consenting users' streams at the cutoff.
        settings: of the towers.
        seed: of everything random.

    Raises:
        BadInput: the logs hold no positive of the objective by then.
    """
    with lake.connect(as_of=contexts.as_of) as con:
        ads = known_ads(con)
    positives = read_positives(lake, contexts.as_of, contexts, ads, settings)
    return TwoTower.fit(contexts, ads, positives, settings, seed=seed)
