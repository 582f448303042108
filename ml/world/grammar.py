"""The words of a world: search queries, ad titles and addresses, composed from each subvertical's vocabulary.

    grammar = Grammar(load_subverticals(), names)
    grammar.queries(subs, advertisers, rng)      # "trail running shoes for flat feet", "where to buy sneakers", ...

A query is a form (`FORMS`) whose slots are filled with pieces: lead, detail, noun and tail of the subvertical, or an
advertiser's name. One want has hundreds of wordings; one query in twenty has a typing error. All words come from one
pool of pieces, taken by number for whole arrays of rows, so that no row costs a step of Python. Words are drawn
independently of everything but the subvertical and the advertiser: there is nothing in them that only a reader of
sentences could use. It does not know who asks.
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ml.world.typos import mistyped

MAX_WORDS = 10
"""No query is longer."""
MISTYPED = 0.05
"""Share of queries with a typing error."""

HEADS = ("best", "cheap", "top rated", "new", "affordable", "good", "local", "buy")
QUESTIONS = ("where to find", "how much is", "what is the best", "who has", "how to choose", "compare")
TAILS = ("on sale", "reviews", "deals", "online", "prices", "coupon", "ideas", "near me", "open now", "this weekend")
PLACES = (
    "near me", "nearby", "downtown", "open now", "open late", "in my area", "in houston", "in phoenix", "in columbus",
    "in charlotte", "in denver", "in seattle", "in nashville", "in tampa", "in omaha", "in fresno", "in boston",
)  # fmt: skip
BRAND_TAILS = ("sale", "near me", "coupon", "reviews", "return policy", "hours", "promo code", "locations", "gift card")
BRAND_QUESTIONS = ("is it open", "any good", "vs others", "phone number", "rewards")
_OFF_TOPIC = {
    ("weather", "news", "traffic", "sunset time", "air quality", "power outage"): (
        "today", "this weekend", "right now", "tonight", "tomorrow", "texas", "ohio",
    ),
    ("how to", "easy way to", "video how to", "can you"): (
        "boil eggs", "tie a tie", "fold a paper plane", "whistle", "juggle", "draw a cat", "take a screenshot",
        "remember names", "stop hiccups", "solve a cube",
    ),
    ("translate", "meaning of", "how to spell", "pronounce"): (
        "good morning", "serendipity", "thank you in french", "ubiquitous", "happy birthday in german", "quinoa",
    ),
    ("lyrics", "who sang", "guitar chords", "funny video"): (
        "amazing grace", "happy birthday song", "national anthem", "auld lang syne", "cat and piano", "marching band",
    ),
    ("who won", "score of", "schedule of", "history of"): (
        "the game last night", "the world cup", "the spelling bee", "the marathon", "the olympics", "the election",
    ),
    ("what time is it in", "capital of", "how far is", "population of", "map of"): (
        "tokyo", "brazil", "the moon", "iceland", "kenya", "new zealand",
    ),
}  # fmt: skip
"""First words and what may follow them, of searches that are about nothing advertised."""

FORMS: dict[str, float] = {
    "noun": 0.08, "detail noun": 0.27, "noun tail": 0.09, "head noun": 0.08, "head detail noun": 0.05,
    "detail noun tail": 0.07, "noun use": 0.08, "detail noun use": 0.09, "question noun": 0.06,
    "question noun use": 0.02, "noun price": 0.04, "detail noun price": 0.03, "noun place": 0.04,
}  # fmt: skip
"""How often a query that names no advertiser has which slots."""
BRAND_FORMS: dict[str, float] = {
    "brand": 0.18, "brand noun": 0.26, "brand detail noun": 0.12, "brand brandtail": 0.26, "noun brand": 0.08,
    "brand brandquestion": 0.05, "brand noun price": 0.05,
}  # fmt: skip
"""The same for those that name one."""
_TITLES: dict[str, float] = {
    "Brand noun": 0.3, "detail noun by Brand": 0.25, "Brand detail noun": 0.2, "save noun at Brand": 0.15,
    "Brand noun use": 0.1,
}  # fmt: skip


class Grammar:
    """Writes text about subverticals (by number) and advertisers (by number).

    Args:
        subverticals: rows with nouns, details and uses (words separated by |), price and subvertical.
        names: of the advertisers.
    """

    def __init__(self, subverticals: pd.DataFrame, names: list[str]) -> None:
        self._words = [" ".join(row).replace("|", " ") for row in subverticals[["nouns", "details", "uses"]].to_numpy()]
        slugs = [f"https://example.com/{name.replace(' ', '-')}/" for name in subverticals["subvertical"]]
        self._sections = pa.array([*slugs, "https://example.com/p/"], pa.string())
        pool = _Pool(len(subverticals), len(names))
        for slot, column in (("noun", "nouns"), ("detail", "details")):
            pool.by_sub(slot, [cell.split("|") for cell in subverticals[column]])
        pool.by_sub("use", [[f"for {use}" for use in cell.split("|")] for cell in subverticals["uses"]])
        pool.by_sub("price", [_price_words(float(price)) for price in subverticals["price"]])
        for slot, words in (
            ("head", HEADS), ("question", QUESTIONS), ("tail", TAILS), ("place", PLACES), ("brandtail", BRAND_TAILS),
            ("brandquestion", BRAND_QUESTIONS), ("by", ("by",)), ("at", ("at",)),
            ("save", ("Save on", "Shop", "Today:")),
        ):  # fmt: skip
            pool.general(slot, words)
        pool.general(
            "offtopic", [f"{a} {b}" for firsts, seconds in _OFF_TOPIC.items() for a in firsts for b in seconds]
        )
        pool.by_advertiser("brand", [plain(name) for name in names])
        pool.by_advertiser("Brand", names)
        self._pool = pool.closed()

    def queries(self, subs: np.ndarray, advertisers: np.ndarray, rng: np.random.Generator) -> pa.StringArray:
        """(n,) searches in lower case.

        Args:
            subs: what is wanted, -1 for off topic.
            advertisers: whom the query names, -1 for nobody.
            rng: the wordings.
        """
        plain_form, brand_form = _drawn(FORMS, len(subs), rng), _drawn(BRAND_FORMS, len(subs), rng)
        forms = [("offtopic",), *(tuple(form.split()) for form in (*FORMS, *BRAND_FORMS))]
        which = np.where(advertisers >= 0, 1 + len(FORMS) + brand_form, 1 + plain_form)
        texts = self._pool.fill(forms, np.where(subs < 0, 0, which), np.maximum(subs, 0), advertisers, rng)
        wrong = np.flatnonzero(rng.random(len(subs)) < MISTYPED)
        if not len(wrong):
            return texts
        fixed = pa.array(mistyped(texts.take(pa.array(wrong)).to_pylist(), rng), pa.string())
        mask = np.zeros(len(subs), dtype=bool)
        mask[wrong] = True
        return pc.replace_with_mask(texts, pa.array(mask), fixed)

    def titles(self, advertisers: np.ndarray, subs: np.ndarray, rng: np.random.Generator) -> list[str]:
        """Short ad titles; every one names its advertiser."""
        forms = [tuple(form.split()) for form in _TITLES]
        texts: list[str] = self._pool.fill(forms, _drawn(_TITLES, len(subs), rng), subs, advertisers, rng).to_pylist()
        return [text[0].upper() + text[1:] for text in texts]

    def urls(self, subs: np.ndarray, rng: np.random.Generator) -> pa.StringArray:
        """Addresses; one says no more than the category does (`subs` -1: nothing at all)."""
        pages = pc.cast(pa.array(rng.integers(10_000, 100_000, len(subs))), pa.string())
        section = self._sections.take(pa.array(np.where(subs < 0, len(self._sections) - 1, subs)))
        return pc.binary_join_element_wise(section, pages, "")

    def words(self, sub: int) -> set[str]:
        """Every word of a subvertical's own vocabulary."""
        return set(self._words[sub].split())


class _Pool:
    """All pieces of text, with where the pieces of each slot lie: of a subvertical, an advertiser, or anybody's."""

    def __init__(self, subs: int, advertisers: int) -> None:
        self._owners = {"sub": subs, "advertiser": advertisers, "anybody": 1}
        self._pieces: list[str] = []
        self._slots: dict[str, tuple[str, np.ndarray, np.ndarray]] = {}
        """Of each slot: whose pieces they are, the first piece and the number of pieces of each owner."""

    def by_sub(self, slot: str, words: list[list[str]]) -> None:
        self._add(slot, "sub", words)

    def by_advertiser(self, slot: str, words: list[str]) -> None:
        self._add(slot, "advertiser", [[word] for word in words])

    def general(self, slot: str, words: tuple[str, ...] | list[str]) -> None:
        self._add(slot, "anybody", [list(words)])

    def _add(self, slot: str, owner: str, words: list[list[str]]) -> None:
        count = np.array([len(some) for some in words])
        first = len(self._pieces) + np.concatenate([[0], np.cumsum(count)[:-1]])
        self._pieces += [word for some in words for word in some]
        self._slots[slot] = (owner, first, count)

    def closed(self) -> _Pool:
        """Itself, once all pieces are there."""
        self._texts = pa.array(self._pieces, pa.string())
        return self

    def fill(
        self, forms: list[tuple[str, ...]], which: np.ndarray, subs: np.ndarray, advertisers: np.ndarray,
        rng: np.random.Generator,
    ) -> pa.StringArray:  # fmt: skip
        """(n,) texts: form `which` of each row, its slots filled at random and joined with spaces."""
        places = max(len(form) for form in forms)
        numbers = np.full((places, len(which)), -1)
        owners = {"sub": subs, "advertiser": advertisers, "anybody": np.zeros(len(which), dtype=np.int64)}
        luck = rng.random((places, len(which)))
        for number, form in enumerate(forms):
            rows = np.flatnonzero(which == number)
            for place, slot in enumerate(form):
                owner, first, count = self._slots[slot]
                of = owners[owner][rows]
                numbers[place, rows] = first[of] + (luck[place, rows] * count[of]).astype(np.int64)
        parts = [self._texts.take(pa.array(numbers[place], mask=numbers[place] < 0)) for place in range(places)]
        return pc.binary_join_element_wise(*parts, " ", null_handling="skip")


def plain(name: str) -> str:
    """A name as people type it: lower case, letters without accents, digits and spaces only."""
    ascii_only = unicodedata.normalize("NFKD", name.replace("ø", "o")).encode("ascii", "ignore").decode()
    return " ".join(re.sub(r"[^a-z0-9 ]", " ", ascii_only.lower().replace("'", "").replace("&", " and ")).split())


def _price_words(usual: float) -> list[str]:
    """What people write about prices around the usual one: two round figures, and words."""
    low, high = (_rounded(usual * share) for share in (0.7, 1.5))
    return [f"under {low}", f"under {high}", "cheapest", "on a budget", "price", "how much"]


def _rounded(dollars: float) -> int:
    step = 10 ** max(int(np.log10(dollars)), 0)
    return max(int(round(dollars / step) * step), 5)


def _drawn(forms: dict[str, float], n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) numbers of forms, as often as their shares say."""
    shares = np.array(list(forms.values()))
    return rng.choice(len(shares), n, p=shares / shares.sum())
