"""The words of a world: search queries, ad titles and addresses, built from each subvertical's vocabulary.

A query says what is wanted in one of many wordings ("trail running shoes", "best sneakers on sale");
it names an advertiser only when told to. It does not know who asks.
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pandas as pd

MAX_WORDS = 4
_HEADS = ("best", "cheap", "top rated", "new", "affordable", "good")
_TAILS = ("near me", "on sale", "reviews", "deals", "online", "prices", "coupon", "open now", "ideas")
_BRAND_TAILS = ("sale", "near me", "coupon", "reviews", "return policy", "hours")
_TITLES = ("{brand} {noun}", "{detail} {noun} by {brand}", "{brand}: {detail} {noun}", "Save on {noun} at {brand}")
_OFF_TOPIC = (
    "weather this weekend", "news today", "song lyrics", "translate to spanish", "how to boil eggs",
    "movie times tonight", "basketball scores", "funny cat videos", "time in tokyo", "what day is easter",
    "crossword answers", "traffic right now", "moon phase tonight", "famous quotes", "how tall is everest",
    "birthday wishes", "unit converter", "who won last night", "baby names", "sunset time today",
)  # fmt: skip


class Grammar:
    """Writes text about a subvertical (by number) or an advertiser (by number)."""

    def __init__(self, subverticals: pd.DataFrame, names: list[str]) -> None:
        self._nouns = [cell.split("|") for cell in subverticals["nouns"]]
        self._details = [cell.split("|") for cell in subverticals["details"]]
        self._slugs = [name.replace(" ", "-") for name in subverticals["subvertical"]]
        self._names = names
        self._plain = [plain(name) for name in names]

    def query(self, sub: int, advertiser: int, rng: np.random.Generator) -> str:
        """A search of 1 to 4 lower-case words; `advertiser` -1 for one that names none, `sub` -1 for off topic."""
        if sub < 0:
            return _pick(_OFF_TOPIC, rng)
        noun, detail = _pick(self._nouns[sub], rng), _pick(self._details[sub], rng)
        if advertiser >= 0:
            tail = (noun, _pick(_BRAND_TAILS, rng), "")[rng.integers(3)]
            return _join(self._plain[advertiser], tail)
        form = rng.integers(5)
        if form == 0:
            return _join(noun, _pick(_TAILS, rng))
        if form == 1:
            return _join(_pick(_HEADS, rng), noun)
        if form == 2:
            return _join(detail, noun, _pick(_TAILS, rng))
        return _join(detail, noun)

    def title(self, advertiser: int, sub: int, rng: np.random.Generator) -> str:
        """A short ad title."""
        return _pick(_TITLES, rng).format(
            brand=self._names[advertiser], noun=_pick(self._nouns[sub], rng), detail=_pick(self._details[sub], rng)
        )

    def url(self, sub: int, rng: np.random.Generator) -> str:
        """An address; it says no more than the category does (`sub` -1: nothing at all)."""
        section = "p" if sub < 0 else self._slugs[sub]
        return f"https://example.com/{section}/{rng.integers(10_000, 100_000)}"

    def words(self, sub: int) -> set[str]:
        """Every word of a subvertical's own vocabulary."""
        return set(" ".join(self._nouns[sub] + self._details[sub]).split())


def plain(name: str) -> str:
    """A name as people type it: lower case, letters without accents, digits and spaces only."""
    ascii_only = unicodedata.normalize("NFKD", name.replace("ø", "o")).encode("ascii", "ignore").decode()
    return " ".join(re.sub(r"[^a-z0-9 ]", " ", ascii_only.lower().replace("'", "").replace("&", " and ")).split())


def _join(*parts: str) -> str:
    """The parts that fit whole into MAX_WORDS words; the first two matter most."""
    words: list[str] = []
    for part in parts:
        if len(words) + len(part.split()) <= MAX_WORDS:
            words += part.split()
    return " ".join(words)


def _pick(items: tuple[str, ...] | list[str], rng: np.random.Generator) -> str:
    return items[rng.integers(len(items))]
