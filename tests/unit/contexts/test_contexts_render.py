"""The renderer: its text is pinned, and truncation drops the oldest whole lines first."""

from datetime import date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.contexts.render import PROMPT_VERSION, event_lines, first_kept, profile_lines, render_prompts
from ml.contexts.schema import EVENT_SCHEMA, USER_SCHEMA, assemble
from ml.contexts.stream import UserContexts
from ml.errors import BadInput

GOLDEN = Path(__file__).with_name("golden_prompts.txt")
NOON = datetime(2024, 1, 5, 12)

HAND_WRITTEN = {
    ("u1", "25-34", "female", "CA"): [
        ("search", "trail running shoes", None, None),
        ("visit", None, "Nike", "running shoes"),
        ("save", None, "Brooks", "running shoes"),
        ("conversion", None, "Nike", "running shoes"),
    ],
    ("u2", None, None, None): [],
    ("u3", None, "male", None): [
        ("search", None, None, None),  # nothing was left of the text
        ("visit", None, None, "city trips"),
        ("visit", None, "Booking.com", None),
        ("conversion", None, None, "travel"),  # the advertiser is not in the register yet
        ("conversion", None, "Zorro,\n Inc.", "lip care"),  # a name may not start a line
    ],
    ("u4", "65+", None, "New York"): [("conversion", None, "N" * 70, None)],
}


def contexts_of(users: dict) -> UserContexts:
    """Contexts by hand: {(user_id, age, gender, region): [(kind, text, advertiser_name, category), ...]}."""
    rows = [
        (NOON, NOON, kind, text, category, None, name) for mine in users.values() for kind, text, name, category in mine
    ]
    return assemble(
        date(2024, 1, 5),
        pa.table([pa.array(c, pa.string()) for c in zip(*users, strict=True)], schema=USER_SCHEMA),
        pa.Table.from_pylist([dict(zip(EVENT_SCHEMA.names, row, strict=True)) for row in rows], EVENT_SCHEMA),
        np.array([len(mine) for mine in users.values()]),
    )


def characters(lines):
    return np.array([len(line) for line in lines])


def test_the_rendered_text_is_pinned():
    prompts = render_prompts(contexts_of(HAND_WRITTEN), characters, 10_000)
    shown = f"PROMPT_VERSION {PROMPT_VERSION}\n\n" + "\n".join(prompts.text)
    assert shown == GOLDEN.read_text(), "the text changed: raise PROMPT_VERSION, then write the golden file anew"


def test_a_prompt_is_its_lines():
    contexts = contexts_of(HAND_WRITTEN)
    profiles, events = profile_lines(contexts), event_lines(contexts)
    assert len(profiles) == len(contexts.users)
    assert len(events) == len(contexts.events)
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in [*profiles, *events])
    prompts = render_prompts(contexts, characters, 10_000)
    for i, text in enumerate(prompts.text):
        assert text == profiles[i] + "".join(events[contexts.offsets[i] : contexts.offsets[i + 1]])


def test_only_distinct_lines_are_counted():
    asked = []

    def count(lines):
        asked.extend(lines)
        return characters(lines)

    users = {(f"u{i}", "25-34", None, None): HAND_WRITTEN["u1", "25-34", "female", "CA"] for i in range(5)}
    render_prompts(contexts_of(users), count, 1000)
    assert len(asked) == len(set(asked)) == 5


STREAMS = st.lists(st.tuples(st.integers(1, 30), st.lists(st.integers(1, 30), max_size=8)), min_size=0, max_size=6)


@given(STREAMS, st.integers(0, 150))
@settings(max_examples=200)
def test_first_kept_is_what_a_plain_loop_finds(streams, budget):
    lengths = np.array([n for _, lines in streams for n in lines], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum([len(lines) for _, lines in streams])]).astype(np.int64)
    profiles = np.array([p for p, _ in streams], dtype=np.int64)
    expected = []
    for i, (profile, lines) in enumerate(streams):
        drop = 0
        while drop < len(lines) and profile + sum(lines[drop:]) > budget:
            drop += 1
        expected.append(offsets[i] + drop)
    assert first_kept(lengths, offsets, profiles, budget).tolist() == expected


@given(st.integers(30, 250))
@settings(max_examples=25, deadline=None)
def test_prompts_keep_the_budget_the_profile_and_the_newest_events(budget):
    contexts = contexts_of(HAND_WRITTEN)
    whole = render_prompts(contexts, characters, 10_000)
    cut = render_prompts(contexts, characters, budget)
    profiles = profile_lines(contexts)
    for i, text in enumerate(cut.text):
        assert cut.n_tokens[i] == len(text) <= budget
        assert text.startswith(profiles[i])
        assert whole.text[i].endswith(text.removeprefix(profiles[i]))
        assert text.count("\n") + cut.n_dropped[i] == whole.text[i].count("\n")
        if cut.n_dropped[i]:  # one line more would not have fitted
            dropped = event_lines(contexts)[contexts.offsets[i] + cut.n_dropped[i] - 1]
            assert len(text) + len(dropped) > budget
    assert whole.n_dropped.sum() == 0


def test_a_profile_beyond_the_budget_is_an_error():
    with pytest.raises(BadInput, match="max_prompt_tokens"):
        render_prompts(contexts_of(HAND_WRITTEN), characters, 10)


def test_nobody_gives_no_prompts():
    nobody = contexts_of(HAND_WRITTEN).take(np.array([], dtype=np.int64))
    assert render_prompts(nobody, characters, 100).text == []
