"""text_linear: its rows are TF-IDF of the rendered prompt, and it keeps the contract."""

from __future__ import annotations

from functools import partial

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from ml.contexts.render import render_prompts
from ml.contexts.stream import UserContexts
from ml.predictors.text_features import PromptTfidf, terms
from ml.predictors.text_linear import TextLinear, TextLinearSettings
from tests.contracts.predictor_contract import PredictorContract, build_examples, checkerboard_world


class TestContract(PredictorContract):
    wins = ("fashion", "habit", "checkerboard")

    def make(self) -> TextLinear:
        return TextLinear(TextLinearSettings(rank=16, epochs=12, batch=64, min_prompts=1))


def prompts(contexts: UserContexts) -> list[str]:
    return render_prompts(contexts, lambda lines: np.ones(len(lines), dtype=int), 10_000).text


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 23), max_size=6), min_size=2, max_size=8),
    st.integers(1, 3),
    st.integers(1, 3),
    st.floats(0, 1),
)
def test_rows_are_tfidf_of_the_text_rendered_at_any_position(
    past: list[list[int]], min_prompts: int, longest: int, share: float
) -> None:
    contexts = build_examples(past).contexts
    contexts.users["region"] = ["CA", *["NY"] * (len(contexts) - 1)]
    expected = TfidfVectorizer(analyzer=partial(terms, longest=longest), min_df=min_prompts)
    try:
        expected.fit(prompts(contexts))
    except ValueError:
        return  # no term is frequent enough
    features = PromptTfidf(min_prompts=min_prompts, longest=longest).fit(contexts)
    assert features.n_terms == len(expected.vocabulary_)
    position = np.floor(np.diff(contexts.offsets) * share).astype(int)
    rows = features.read(contexts).at(np.arange(len(contexts)), position)
    texts = prompts(cut(contexts, position))
    np.testing.assert_allclose(rows.toarray(), expected.transform(texts).toarray(), atol=1e-6)


def cut(contexts: UserContexts, position: np.ndarray) -> UserContexts:
    """The streams after their first `position` events."""
    kept = np.concatenate([np.arange(n) + first for n, first in zip(position, contexts.offsets, strict=False)])
    offsets = np.append(0, np.cumsum(position))
    return UserContexts(contexts.as_of, contexts.users, contexts.events.iloc[kept].reset_index(drop=True), offsets)


def test_older_lines_weigh_less_by_one_step_of_decay_each() -> None:
    """A term of one line only: its count is the weight of the line."""
    contexts = build_examples([[1, 2, 3]]).contexts
    rows = PromptTfidf(min_prompts=1, decay=0.5).fit(contexts).read(contexts)
    n = int(contexts.offsets[1])
    weights = rows.lines_of(np.array([0]), np.array([n])).toarray()[0]
    conversions = contexts.conversions()["position"].to_numpy()
    np.testing.assert_allclose(weights[rows.line[1 + conversions]], 0.5 ** (n - 1.0 - conversions))
    assert weights[rows.line[0]] == 1, "the profile does not age"


def test_each_distinct_line_is_analysed_once() -> None:
    contexts = build_examples([[1, 1, 1, 2]] * 10).contexts
    read = PromptTfidf(min_prompts=1).fit(contexts).read(contexts)
    lines = "".join(prompts(contexts)).splitlines()
    assert read.weights.shape[0] == len(set(lines))
    assert len(read.line) == len(lines)


def test_only_the_newest_lines_count() -> None:
    contexts = build_examples([[1, 2, 3, 4]]).contexts
    every = PromptTfidf(min_prompts=1).fit(contexts).read(contexts)
    two = PromptTfidf(min_prompts=1, max_events=2).fit(contexts).read(contexts)
    found = [set(rows.lines_of(np.array([0]), np.array([4])).indices) for rows in (every, two)]
    assert found[0] == {every.line[0], *every.line[1:5]}
    assert found[1] == {two.line[0], *two.line[3:5]}


def test_it_reads_words_that_no_history_has() -> None:
    """Users who have converted with nobody yet, but searched for a group of advertisers."""
    examples, _ = checkerboard_world(400, np.random.default_rng(0))
    source = TextLinear().fit(examples)
    searchers = build_examples([[2], [3]], seed=5).contexts
    events = searchers.events
    events.loc[:, ["kind", "text"]] = ["search", "group 1"]
    events.loc[:, ["advertiser_id", "advertiser_name"]] = None
    mass = source.probabilities(searchers)[:, np.arange(24) % 4 == 1].sum(axis=1)
    assert (mass > 0.6).all()
