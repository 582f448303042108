"""What scrubbing removes, what it keeps, and that once is enough."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ml.contexts.scrub import MAX_WORD, looks_private, scrub

PRIVATE = st.sampled_from(
    [
        "https://example.org/a?b=1",
        "HTTP://EXAMPLE.ORG",
        "www.example.org",
        "shop.example/offer#x",
        "(example.com)",
        "ann.b+x@example.org",
        "@ann",
        "+1 (555) 123-4567",
        "555.123.4567",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "DE89370400440532013000",
        "５５５１２３４５６７",
        "555\u200b1234567",
        "10.0.0.1",
        "ex\u00adample.com",
    ]
)
HARMLESS = st.sampled_from(["trail running shoes", "iphone 15 case", "3.5mm jack", "size 10-12", "café", "a/b test"])
ANY_TEXT = st.one_of(st.text(), st.lists(st.one_of(PRIVATE, HARMLESS, st.text(max_size=12)), max_size=8).map(" ".join))


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  Trail   Running\tSHOES\n", "trail running shoes"),
        ("see https://example.org/p?id=7 shoes", "see shoes"),
        ("mail ann.b@example.org now", "mail now"),
        ("call +1 (555) 123-4567 now", "call now"),
        ("card 4111 1111 1111 1111", "card"),
        ("iphone 15 pro 256 gb", "iphone 15 pro 256 gb"),
        ("3.5mm jack", "3.5mm jack"),
        ("café crème", "café crème"),
        ("ＳＨＯＥＳ", "shoes"),
        ("lip balm\nbought: Nike", "lip balm bought: nike"),
        ("www.example.org", None),
        ("", None),
        ("12 a@b 34 567", None),  # removing the address brings seven digits together
        ("x" * (MAX_WORD + 5), "x" * MAX_WORD),
    ],
)
def test_examples(typed, kept):
    assert scrub(typed, 12) == kept


@given(ANY_TEXT, st.integers(1, 15))
@example("1 2 3 4 5 6 @ 7", 12)
def test_nothing_private_is_left_and_the_result_is_short_plain_and_stable(typed, max_words):
    kept = scrub(typed, max_words)
    if kept is None:
        return
    assert not looks_private(kept)
    assert kept == kept.lower() == " ".join(kept.split())
    assert 0 < len(kept.split()) <= max_words
    assert max(map(len, kept.split())) <= MAX_WORD
    assert not re.search(r"://|@|www\.\w|\d{7}", kept)
    assert scrub(kept, max_words) == kept


@given(st.lists(HARMLESS, max_size=3), PRIVATE, st.lists(HARMLESS, max_size=3))
def test_a_private_part_goes_wherever_it_stands_and_the_rest_stays(before, private, after):
    kept = scrub(" and ".join([*before, private, *after]), 100)
    assert looks_private(private)
    words = (kept or "").split()
    for text in [*before, *after]:
        assert set(text.lower().split()) <= set(words)
    digits_kept = sum(c.isdigit() for c in kept or "")
    assert digits_kept == sum(c.isdigit() for text in [*before, *after] for c in text)
