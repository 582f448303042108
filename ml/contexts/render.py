"""The one renderer of prompts, for training and inference alike.

    user: 25-34, female, CA
    search: trail running shoes
    visit: Nike, running shoes
    bought: Nike, running shoes

One profile line, then one line an event in stream order, each ending in a newline; a prompt is its lines
and nothing else, so token ids can be cached and joined by the line. Unknown fields are left out.

Truncation order: the profile always stays; of the events the OLDEST are dropped first, whole lines only.

Any change of the text needs a new PROMPT_VERSION (tests/unit/contexts/golden_prompts.txt pins it). It does
not know tokenizers: it is given a function that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ml.contexts.stream import PROFILE_FIELDS, UserContexts
from ml.errors import BadInput

PROMPT_VERSION = "1"
VERBS = {"search": "search", "visit": "visit", "save": "save", "conversion": "bought"}
MAX_FIELD = 60
"""Characters of a name, category or profile field that are rendered."""


class Prompts(NamedTuple):
    """Rendered prompts, in the order of the contexts' users."""

    text: list[str]
    n_tokens: np.ndarray
    """Shape (n_users,): tokens of the prompt, the sum over its lines."""
    n_dropped: np.ndarray
    """Shape (n_users,): oldest events left out."""


def profile_lines(contexts: UserContexts) -> list[str]:
    """One line a user, aligned with `contexts.users`."""
    return _rendered(contexts.users[list(PROFILE_FIELDS)], lambda values: _line("user", *values))


def event_lines(contexts: UserContexts) -> list[str]:
    """One line an event, aligned with `contexts.events`."""
    fields = contexts.events[["kind", "text", "advertiser_name", "category"]]
    return _rendered(fields, lambda values: _line(VERBS[values[0]], *values[1:]))


def first_kept(line_lengths: np.ndarray, offsets: np.ndarray, profile_lengths: np.ndarray, budget: int) -> np.ndarray:
    """First event of each user that fits the budget together with the profile and all later events.

    Args:
        line_lengths: shape (n_events,), tokens of each event line.
        offsets: shape (n_users + 1,), events of user i are rows offsets[i]:offsets[i + 1].
        profile_lengths: shape (n_users,), tokens of each profile line.
        budget: tokens of a whole prompt.

    Returns:
        Shape (n_users,): row of the first kept event, offsets[i + 1] if none is kept.
    """
    until = np.concatenate([[0], np.cumsum(line_lengths, dtype=np.int64)])
    ends = offsets[1:]
    room = np.maximum(budget - np.asarray(profile_lengths, dtype=np.int64), 0)
    first: np.ndarray = np.clip(np.searchsorted(until, until[ends] - room, side="left"), offsets[:-1], ends)
    return first


def render_prompts(contexts: UserContexts, count_tokens: Callable[[Sequence[str]], np.ndarray], budget: int) -> Prompts:
    """The prompt of every user, within the budget.

    Args:
        contexts: whose prompts.
        count_tokens: tokens of each of the given lines, shape (n_lines,); called once, with distinct lines.
        budget: most tokens a prompt may have.

    Raises:
        BadInput: a profile alone exceeds the budget.
    """
    profiles, events = profile_lines(contexts), event_lines(contexts)
    codes, distinct = pd.factorize(np.array([*profiles, *events], dtype=object))
    lengths = np.asarray(count_tokens(list(distinct)), dtype=np.int64)[codes] if len(codes) else codes
    of_profile, of_event = lengths[: len(profiles)], lengths[len(profiles) :]
    if (of_profile > budget).any():
        longest = int(of_profile.max())
        raise BadInput(
            f"a profile line has {longest} tokens, the whole prompt may have {budget}",
            where="llm.max_prompt_tokens",
            remedy=f"set it to {longest} at least, better several times that",
        )
    first, ends = first_kept(of_event, contexts.offsets, of_profile, budget), contexts.offsets[1:]
    text = [
        profile + "".join(events[a:b]) for profile, a, b in zip(profiles, first.tolist(), ends.tolist(), strict=True)
    ]
    until = np.concatenate([[0], np.cumsum(of_event)])
    return Prompts(text, of_profile + until[ends] - until[first], first - contexts.offsets[:-1])


def _line(head: str, *values: str) -> str:
    known = [" ".join(value.split())[:MAX_FIELD].rstrip() for value in values if value]
    return f"{head}: {', '.join(known)}".rstrip() + "\n"


def _rendered(fields: pd.DataFrame, line: Callable[[tuple[Any, ...]], str]) -> list[str]:
    """`line` of every row, called once for each distinct row; nulls reach it as ""."""
    filled = fields.fillna("")
    codes = filled.groupby(list(filled.columns), sort=False).ngroup().to_numpy()
    _, firsts = np.unique(codes, return_index=True)
    distinct = [line(values) for values in filled.iloc[firsts].itertuples(index=False, name=None)]
    rendered: list[str] = np.array(distinct, dtype=object)[codes].tolist() if distinct else []
    return rendered
