"""What is read back is what was written, and the hash changes when the content does."""

from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.contexts import store
from ml.contexts.examples import build_training_examples
from ml.contexts.render import PROMPT_VERSION, render_prompts
from ml.contexts.settings import ContextSettings
from ml.contexts.stream import TrainingExamples, UserContexts
from ml.errors import BadInput
from ml.timeline import Timeline, TimelineSettings
from tests.lakes import GENERATE_ONLY, random_frames, temporary_lake

AS_OF = date(2024, 1, 12)


def characters(lines):
    return np.array([len(line) for line in lines])


def example(seed: int, **options) -> TrainingExamples:
    timeline = Timeline(AS_OF, TimelineSettings(label_window_days=1, outcome_days=0, ranker_days=1, calibration_days=1))
    with temporary_lake(random_frames(np.random.default_rng(seed), n_days=14, **options)) as lake:
        return build_training_examples(lake, timeline, ContextSettings(), min_users=0)


def assert_same(one: UserContexts, two: UserContexts) -> None:
    assert one.as_of == two.as_of
    pd.testing.assert_frame_equal(one.users, two.users)
    pd.testing.assert_frame_equal(one.events, two.events)
    np.testing.assert_array_equal(one.offsets, two.offsets)
    assert one.offsets.dtype == two.offsets.dtype


@given(st.integers(0, 2**32), st.integers(1, 5), st.booleans())
@settings(max_examples=6, deadline=None, phases=GENERATE_ONLY)
def test_examples_and_contexts_round_trip_in_any_number_of_parts(tmp_path_factory, seed, users_per_part, with_prompts):
    examples = example(seed)
    directory = tmp_path_factory.mktemp("round")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "USERS_PER_PART", users_per_part)
        prompts = render_prompts(examples.contexts, characters, 300) if with_prompts else None
        manifest = store.write_contexts(examples.contexts, directory / "contexts", prompts)
        store.write_examples(examples, directory / "examples")
    assert len(manifest["files"]) == max(-(-len(examples.contexts) // users_per_part), 1)
    assert_same(store.read_contexts(directory / "contexts"), examples.contexts)
    again = store.read_examples(directory / "examples")
    assert_same(again.contexts, examples.contexts)
    pd.testing.assert_frame_equal(again.targets, examples.targets)
    pd.testing.assert_frame_equal(again.catalogue, examples.catalogue)


def test_nobody_round_trips(tmp_path):
    nobody = example(1).contexts.take(np.array([], dtype=np.int64))
    store.write_contexts(nobody, tmp_path / "c", render_prompts(nobody, characters, 100))
    assert_same(store.read_contexts(tmp_path / "c"), nobody)


def test_one_row_a_user_with_the_columns_of_the_design(tmp_path):
    contexts = example(2).contexts
    prompts = render_prompts(contexts, characters, 120)
    store.write_contexts(contexts, tmp_path / "c", prompts)
    rows = pq.read_table(tmp_path / "c" / "part-00000.parquet")
    assert rows.column_names == [
        *("user_id", "as_of", "profile", "events", "prompt", "n_tokens", "n_dropped"),
        *("n_events", "n_conversions", "content_hash", "prompt_version"),
    ]
    assert rows["user_id"].to_pylist() == sorted(contexts.user_ids)
    assert set(rows["as_of"].to_pylist()) == {contexts.as_of}
    assert set(rows["prompt_version"].to_pylist()) == {PROMPT_VERSION}
    assert rows["prompt"].to_pylist() == prompts.text
    assert rows["n_dropped"].to_pylist() == prompts.n_dropped.tolist()
    for row in rows.to_pylist():
        kinds = [event["kind"] for event in row["events"]]
        assert (row["n_events"], row["n_conversions"]) == (len(kinds), kinds.count("conversion"))
        assert row["n_tokens"] == len(row["prompt"]) <= 120
        assert row["prompt"].count("\n") == 1 + row["n_events"] - row["n_dropped"]


def test_fewer_users_written_again_leave_no_old_part(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "USERS_PER_PART", 2)
    contexts = example(3).contexts
    store.write_contexts(contexts, tmp_path / "c")
    fewer = contexts.take(np.array([1]))
    store.write_contexts(fewer, tmp_path / "c")
    assert_same(store.read_contexts(tmp_path / "c"), fewer)


def test_a_hash_belongs_to_the_user_not_to_the_company(tmp_path):
    contexts = example(4).contexts
    hashes = store.content_hashes(contexts)
    rows = np.arange(0, len(contexts), 2)
    assert store.content_hashes(contexts.take(rows)) == [hashes[i] for i in rows]


@pytest.mark.parametrize(
    "column", ["time", "event_time", "kind", "text", "category", "advertiser_id", "advertiser_name"]
)
def test_any_change_of_an_event_changes_the_hash_of_its_user_only(column):
    contexts = example(5).contexts
    row = int(contexts.offsets[2])
    events = contexts.events.copy()
    events.loc[row, column] = pd.Timestamp("2020-01-01") if "time" in column else "other"
    changed = UserContexts(contexts.as_of, contexts.users, events, contexts.offsets)
    differ = np.array(store.content_hashes(contexts)) != np.array(store.content_hashes(changed))
    assert np.flatnonzero(differ).tolist() == [2]


def test_profile_prompt_version_and_null_change_the_hash(monkeypatch):
    contexts = example(6).contexts
    before = store.content_hashes(contexts)
    for region in ("Nowhere", "", None):
        users = contexts.users.copy()
        users.loc[0, "region"] = region
        contexts = UserContexts(contexts.as_of, users, contexts.events, contexts.offsets)
        after = store.content_hashes(contexts)
        assert (after[0] != before[0], after[1:] == before[1:]) == (True, True)
        before = after
    monkeypatch.setattr(store, "PROMPT_VERSION", "other")
    assert not set(store.content_hashes(contexts)) & set(before)


def test_a_value_does_not_slip_into_the_next_field():
    contexts = example(7).contexts
    one, two = contexts.users.copy(), contexts.users.copy()
    one.loc[0, ["age_bucket", "gender"]] = ["ab", "c"]
    two.loc[0, ["age_bucket", "gender"]] = ["a", "bc"]
    hashes = [store.content_hashes(UserContexts(AS_OF, u, contexts.events, contexts.offsets))[0] for u in (one, two)]
    assert hashes[0] != hashes[1]


@pytest.mark.parametrize("read", [store.read_contexts, store.read_examples])
def test_what_is_not_complete_is_not_read(tmp_path, read):
    (tmp_path / "c").mkdir()
    pq.write_table(pa.table({"user_id": ["u"]}), tmp_path / "c" / "part-00000.parquet")
    with pytest.raises(BadInput, match="no complete"):
        read(tmp_path / "c")
