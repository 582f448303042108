"""text_linear: its rows are TF-IDF of the rendered prompt, and it keeps the contract."""

from __future__ import annotations

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
@given(st.lists(st.lists(st.integers(0, 23), max_size=6), min_size=2, max_size=8), st.integers(1, 3))
def test_rows_are_tfidf_of_the_rendered_text(past: list[list[int]], min_prompts: int) -> None:
    contexts = build_examples(past).contexts
    contexts.users["region"] = ["CA", *["NY"] * (len(contexts) - 1)]
    try:
        expected = TfidfVectorizer(analyzer=terms, min_df=min_prompts).fit_transform(prompts(contexts))
    except ValueError:
        return  # no term is frequent enough
    features = PromptTfidf(min_prompts=min_prompts).fit(contexts)
    rows = features.transform(contexts, np.arange(len(contexts)), np.diff(contexts.offsets))
    assert features.n_terms == expected.shape[1]
    np.testing.assert_allclose(rows.toarray(), expected.toarray(), atol=1e-6)


def test_a_position_sees_the_prompt_before_it_and_nothing_later() -> None:
    contexts = build_examples([[1, 2, 3, 4], [5, 6]]).contexts
    features = PromptTfidf(min_prompts=1).fit(contexts)
    n = int(contexts.offsets[1])
    rows = features.transform(contexts, np.zeros(n + 1, dtype=int), np.arange(n + 1)).toarray()
    changed = build_examples([[1, 2, 3, 4], [5, 6]]).contexts
    changed.events.loc[n - 1, "advertiser_name"] = "another"
    changed_rows = features.transform(changed, np.zeros(n + 1, dtype=int), np.arange(n + 1)).toarray()
    np.testing.assert_array_equal(rows[:n], changed_rows[:n])
    assert not np.array_equal(rows[n], changed_rows[n])


def test_only_the_newest_lines_count() -> None:
    contexts = build_examples([[1, 2, 3, 4]]).contexts
    terms_seen = [
        PromptTfidf(min_prompts=1, max_events=most).fit(contexts).transform(contexts, np.array([0]), np.array([4])).nnz
        for most in (1, 2, 100)
    ]
    assert terms_seen == sorted(terms_seen)
    assert terms_seen[0] < terms_seen[2]


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
