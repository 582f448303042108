"""What must hold of streams on any lake: no future, no reordering of the past, nobody without consent."""

from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ml.contexts.build import build_contexts
from ml.contexts.examples import all_targets, build_training_examples
from ml.contexts.labels import eligible_users
from ml.contexts.render import event_lines, profile_lines, render_prompts
from ml.contexts.settings import ContextSettings
from ml.contexts.store import write_contexts, write_examples
from ml.contexts.stream import EVENT_FIELDS, UserContexts
from ml.timeline import Timeline, TimelineSettings
from tests.lakes import GENERATE_ONLY, known_by, random_frames, scramble_future, temporary_lake

FIRST, N_DAYS = date(2024, 1, 1), 10
SEEDS = st.integers(0, 2**32)
DAYS = st.integers(4, N_DAYS - 1).map(lambda n: FIRST + timedelta(days=n))
SETTINGS = ContextSettings(active_days=6)
TIMELINE = TimelineSettings(label_window_days=2, outcome_days=1, ranker_days=2, calibration_days=1)


def frames_of(seed: int, **options):
    """A random lake without impressions and clicks, which no context reads."""
    frames = random_frames(np.random.default_rng(seed), first=FIRST, n_days=N_DAYS, n_users=12, **options)
    return {name: frame for name, frame in frames.items() if name not in ("impressions", "clicks")}


def characters(lines):
    return np.array([len(line) for line in lines])


def bytes_under(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def contexts_as_written(frames, as_of: date) -> dict[str, bytes]:
    with temporary_lake(frames) as lake, TemporaryDirectory() as out:
        contexts = build_contexts(lake, as_of, SETTINGS)
        write_contexts(contexts, Path(out) / "contexts", render_prompts(contexts, characters, 200))
        return bytes_under(Path(out))


def examples_as_written(frames, timeline: Timeline) -> dict[str, bytes]:
    with temporary_lake(frames) as lake, TemporaryDirectory() as out:
        write_examples(build_training_examples(lake, timeline, SETTINGS, min_users=1), Path(out) / "examples")
        return bytes_under(Path(out))


@given(SEEDS, DAYS)
@settings(max_examples=6, deadline=None, phases=GENERATE_ONLY)
def test_another_future_changes_no_byte_of_any_context(seed, as_of):
    frames = frames_of(seed)
    other = scramble_future(frames, as_of, np.random.default_rng(seed + 1))
    assume(not other["conversions"].equals(frames["conversions"]))
    assert contexts_as_written(other, as_of) == contexts_as_written(frames, as_of)


@given(SEEDS, DAYS)
@settings(max_examples=4, deadline=None, phases=GENERATE_ONLY)
def test_another_future_changes_no_byte_of_the_training_examples(seed, as_of):
    frames, timeline = frames_of(seed), Timeline(as_of, TimelineSettings(**TIMELINE.model_dump()))
    other = scramble_future(frames, timeline.predictor_cutoff, np.random.default_rng(seed + 1))
    assert examples_as_written(other, timeline) == examples_as_written(frames, timeline)


def naive_streams(frames, as_of: date, users: set[str]) -> dict[str, list[tuple]]:
    """(known, id, kind) of the events of each user in order, by sorting in Python; what was not known is not there."""
    streams: dict[str, list[tuple]] = {user: [] for user in sorted(users)}
    for row in known_by("activity", frames["activity"], as_of).itertuples():
        if row.user_id in streams:
            streams[row.user_id].append((row.event_time, row.event_id, row.kind))
    for row in known_by("conversions", frames["conversions"], as_of).itertuples():
        if row.user_id in streams:
            known = row.event_time if pd.isna(row.known_at) else row.known_at
            streams[row.user_id].append((known, row.conversion_id, "conversion"))
    return {user: sorted(mine) for user, mine in streams.items() if mine}


def consenting(frames, as_of: date) -> set[str]:
    newest = known_by("users", frames["users"], as_of).sort_values("updated_at").groupby("user_id").tail(1)
    return set(newest.loc[newest["consent"].astype(bool), "user_id"])


@given(SEEDS, DAYS, st.booleans())
@settings(max_examples=6, deadline=None, phases=GENERATE_ONLY)
def test_streams_are_what_sorting_by_hand_gives(seed, as_of, only_active):
    frames = frames_of(seed)
    with temporary_lake(frames) as lake:
        contexts = build_contexts(lake, as_of, SETTINGS, only_active=only_active)
    expected = naive_streams(frames, as_of, consenting(frames, as_of))
    if only_active:
        recent = pd.Timestamp(as_of + timedelta(days=1 - SETTINGS.active_days))
        happened = {
            name: known_by(name, frames[name], as_of).loc[lambda f: f["event_time"] >= recent, "user_id"]
            for name in ("activity", "conversions")
        }
        active = set(happened["activity"]) | set(happened["conversions"])
        expected = {user: mine for user, mine in expected.items() if user in active}
    assert contexts.user_ids.tolist() == list(expected)
    got = list(zip(contexts.events["user"], contexts.events["time"], contexts.events["kind"], strict=True))
    users = {user: row for row, user in enumerate(expected)}
    assert got == [(users[user], time, kind) for user, mine in expected.items() for time, _, kind in mine]
    assert np.diff(contexts.offsets).tolist() == [len(mine) for mine in expected.values()]
    Timeline(as_of, TIMELINE).check_contexts(contexts.events)


@given(SEEDS, st.tuples(DAYS, DAYS).map(sorted))
@settings(max_examples=6, deadline=None, phases=GENERATE_ONLY)
def test_an_earlier_snapshot_is_a_prefix_of_a_later_one(seed, days):
    with temporary_lake(frames_of(seed, registers_change=False)) as lake:
        early, late = (build_contexts(lake, day, SETTINGS, only_active=False) for day in days)
    rows = {user: row for row, user in enumerate(late.user_ids)}
    assert set(early.user_ids) <= set(rows)
    prefix = late.take(np.array([rows[user] for user in early.user_ids], dtype=np.int64))
    assert profile_lines(prefix) == profile_lines(early)
    columns = ["time", "event_time", *EVENT_FIELDS]
    for i in range(len(early)):
        before, after = (c.events.iloc[c.offsets[i] : c.offsets[i + 1]][columns] for c in (early, prefix))
        pd.testing.assert_frame_equal(after.iloc[: len(before)].reset_index(drop=True), before.reset_index(drop=True))


@given(SEEDS, DAYS, st.booleans(), st.data())
@settings(max_examples=6, deadline=None, phases=GENERATE_ONLY)
def test_changing_an_event_changes_nothing_before_it(seed, as_of, remove, data):
    frames = frames_of(seed)
    with temporary_lake(frames) as lake:
        contexts = build_contexts(lake, as_of, SETTINGS, only_active=False)
    streams = naive_streams(frames, as_of, consenting(frames, as_of))
    assume(streams)
    user = data.draw(st.sampled_from(sorted(streams)))
    j = data.draw(st.integers(0, len(streams[user]) - 1))
    with temporary_lake(without_or_altered(frames, streams[user][j][1], remove=remove)) as lake:
        other = build_contexts(lake, as_of, SETTINGS, only_active=False)
    if user not in set(other.user_ids):
        assert len(streams[user]) == 1
        return
    for what in (rendered_before, targets_before):
        assert what(other, user, j) == what(contexts, user, j)
    unaffected = [c.take(np.flatnonzero(c.user_ids != user)) for c in (contexts, other)]
    assert event_lines(unaffected[0]) == event_lines(unaffected[1])


def without_or_altered(frames, event_id: str, *, remove: bool):
    """The frames with one event gone, or made another one of the same moment."""
    changed = {}
    for name, key in (("activity", "event_id"), ("conversions", "conversion_id")):
        frame, mine = frames[name].copy(), frames[name][key] == event_id
        if name == "activity":
            frame.loc[mine, ["kind", "category", "advertiser_id"]] = ["save", "altered", "a0"]
        else:
            frame.loc[mine, ["advertiser_id", "ad_id"]] = ["a1", None]
        changed[name] = frame[~mine] if remove else frame
    return {**frames, **changed}


def rendered_before(contexts: UserContexts, user: str, j: int) -> list[str]:
    row = int(np.flatnonzero(contexts.user_ids == user)[0])
    start = contexts.offsets[row]
    return [profile_lines(contexts)[row], *event_lines(contexts)[start : start + j]]


def targets_before(contexts: UserContexts, user: str, j: int) -> list[tuple]:
    """Position and visible end of the targets whose conversion stands before position j."""
    row = int(np.flatnonzero(contexts.user_ids == user)[0])
    standing = contexts.conversions()["position"].to_numpy()
    targets = all_targets(contexts)
    mine = targets[(targets["user"].to_numpy() == row) & (standing < j)]
    return [tuple(str(value) for value in values) for values in mine.itertuples(index=False)]


@given(SEEDS, DAYS)
@settings(max_examples=6, deadline=None, phases=GENERATE_ONLY)
def test_no_target_sees_itself_or_anything_of_its_day(seed, as_of):
    timeline = Timeline(as_of, TIMELINE)
    with temporary_lake(frames_of(seed, late_share=0.7)) as lake:
        examples = build_training_examples(lake, timeline, SETTINGS, min_users=0)
    contexts = examples.contexts
    assert contexts.as_of == timeline.predictor_cutoff
    for target in examples.targets.itertuples():
        start, end = contexts.offsets[target.user : target.user + 2]
        stream = contexts.events.iloc[start:end]
        day = target.event_time.normalize()
        visible, rest = stream.iloc[: target.position], stream.iloc[target.position :]
        assert (visible["time"] < day).all()
        assert (visible["event_time"] < day).all()
        assert (rest["time"] >= day).all()  # and it sees all there is to see
        itself = (rest["event_time"] == target.event_time) & (rest["advertiser_id"] == target.advertiser_id)
        assert itself.any()
        last = visible["time"].iloc[-1] if len(visible) else pd.NaT
        assert last == target.visible_until or (pd.isna(last) and pd.isna(target.visible_until))


@given(SEEDS, DAYS, st.integers(0, 5))
@settings(max_examples=4, deadline=None, phases=GENERATE_ONLY)
def test_eligible_users_have_their_conversions(seed, as_of, least):
    with temporary_lake(frames_of(seed)) as lake:
        contexts = build_contexts(lake, as_of, SETTINGS)
    kinds = [
        contexts.events["kind"].iloc[contexts.offsets[i] : contexts.offsets[i + 1]].tolist()
        for i in range(len(contexts))
    ]
    assert eligible_users(contexts, least).tolist() == [
        i for i, mine in enumerate(kinds) if mine.count("conversion") >= least
    ]
