"""`adprior explain`: what it shows of a user is what the stages published and computed, and nobody else is shown."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import pandas as pd
import pytest

from ml.contexts.labels import test_labels as labels_of
from ml.contexts.render import event_lines
from ml.contexts.store import read_columns, read_contexts
from ml.explain.explanation import Explanation
from ml.explain.page import page_name
from ml.explain.scores import PRIORS_SHOWN
from ml.llm.interests import read_interests
from ml.predictors.predictions import read_predictions
from ml.predictors.registry import BASELINES
from ml.ranking.arms import arms
from ml.ranking.converts import ConvertsModel
from ml.ranking.impressions import ranker_rows
from ml.ranking.priors import Priors
from ml.ranking.ranker import Ranker
from ml.report.page import outside_resources
from orchestration import plan
from orchestration.explain_command import explanation_of
from orchestration.settings import Settings
from orchestration.workspace import Workspace
from tests.pipeline.conftest import DAY, Adprior, Pipeline

TODAY = date.fromisoformat(DAY)


@pytest.fixture(scope="module")
def space(tiny_run: Pipeline) -> Workspace:
    return Workspace(Settings(profile="tiny", out=tiny_run.out))


@pytest.fixture(scope="module")
def evaluated_rows(space: Workspace) -> pd.DataFrame:
    """The evaluation's rows of the first test day: all users that were scored."""
    rows = ranker_rows(
        space.lake,
        space.timeline(TODAY),
        negatives=1,
        rng=np.random.default_rng(0),
        users=read_predictions(space.table("advertiser_predictions", TODAY))["user_id"].unique(),
        splits=("test",),
    )
    return rows[rows["day"] == min(rows["day"])]


@pytest.fixture(scope="module")
def explained(space: Workspace, evaluated_rows: pd.DataFrame) -> list[Explanation]:
    """The three users with most impressions of their own candidates on that day."""
    candidates = pd.read_parquet(space.table("candidate_sets", TODAY) / "candidates.parquet")
    shown = evaluated_rows.merge(candidates[["user_id", "ad_id"]], on=["user_id", "ad_id"])
    users = shown["user_id"].value_counts().index[:3]
    return [explanation_of(space, TODAY, user) for user in users]


def test_scores_and_priors_are_those_of_the_evaluation(space, evaluated_rows, explained):
    llm = read_predictions(space.table("advertiser_predictions", TODAY))
    directory = plan.target(space, "ranker", TODAY)
    interests = read_interests(space.table("advertiser_predictions", TODAY))
    frames = arms(space.lake, evaluated_rows, {"llm": Priors(llm, interests)}, ConvertsModel.load(directory))
    scores = {arm: Ranker.load(directory / arm).predict(frames[arm]) for arm in ("none", "llm")}
    compared = 0
    for found in explained:
        assert found.ranked_for == date(2026, 4, 23)
        by_ad = {candidate.ad_id: candidate for candidate in found.candidates}
        priors = {prior.advertiser_id: prior.values for prior in found.priors}
        mine = evaluated_rows["user_id"].eq(found.user_id) & evaluated_rows["surface"].eq(found.surface)
        for place in np.flatnonzero(mine & evaluated_rows["ad_id"].isin(by_ad)):
            row = evaluated_rows.iloc[place]
            for arm in scores:
                assert by_ad[row["ad_id"]].scores[arm].probability == scores[arm][place]
            assert priors[row["advertiser_id"]] == frames["llm"][PRIORS_SHOWN].iloc[place].astype(float).to_dict()
            compared += 1
    assert compared >= 3


def test_positions_order_the_bid_weighted_scores(explained):
    for found in explained:
        for arm in ("none", "llm"):
            ordered = sorted(found.candidates, key=lambda candidate: candidate.scores[arm].position)
            assert [c.scores[arm].position for c in ordered] == list(range(1, len(ordered) + 1))
            scores = [c.scores[arm].score for c in ordered]
            assert scores == sorted(scores, reverse=True)


def test_prompt_and_stream_are_the_stored_ones(space, explained):
    directory = space.table("user_contexts", TODAY) / "contexts"
    stored = read_columns(directory, ["user_id", "prompt", "content_hash", "n_tokens"]).set_index("user_id")
    for found in explained:
        context = found.context
        row = stored.loc[found.user_id]
        assert context is not None
        assert (context.prompt, context.content_hash, context.n_tokens) == tuple(row)
        lines = event_lines(read_contexts(directory, [found.user_id]))
        kept = [line for line, event in zip(lines, context.events, strict=True) if event.in_prompt]
        assert context.prompt.split("\n", 1)[1] == "".join(kept)
    assert any(found.context.n_dropped for found in explained if found.context), "no prompt was cut: nothing is tested"


def test_predictions_and_candidates_are_the_published_ones(space, explained):
    published = pd.concat(
        read_predictions(space.table(name, TODAY)) for name in ("advertiser_predictions", "control_predictions")
    )
    sets = pd.read_parquet(space.table("candidate_sets", TODAY) / "candidates.parquet")
    for found in explained:
        mine = published[published["user_id"] == found.user_id]
        assert next(iter(found.predictions)) == "llm" and set(found.predictions) == set(mine["source"])
        for source, rows in found.predictions.items():
            expected = mine[mine["source"] == source].sort_values("rank")
            assert [(r.rank, r.advertiser_id, r.probability) for r in rows] == list(
                expected[["rank", "advertiser_id", "probability"]].itertuples(index=False, name=None)
            )
        expected = sets[sets["user_id"] == found.user_id].sort_values("rank")
        assert [c.ad_id for c in found.candidates] == expected["ad_id"].tolist()
        assert ["+".join(c.generators) for c in found.candidates] == expected["generators"].tolist()
        ranks = [(c.conventional_rank or 0, c.targeted_rank or 0, c.interest_rank or 0) for c in found.candidates]
        columns = ["conventional_rank", "targeted_rank", "interest_rank"]
        assert ranks == list(expected[columns].fillna(0).itertuples(index=False, name=None))
        assert [c.tower_score for c in found.candidates] == expected["tower_score"].tolist()


def test_outcome_begins_with_the_label(space):
    labels = labels_of(space.lake, space.timeline(TODAY))
    label = labels[labels["user_id"].isin(read_predictions(space.table("advertiser_predictions", TODAY))["user_id"])]
    first = label.iloc[0]
    found = explanation_of(space, TODAY, first["user_id"]).outcome
    assert found.closed and found.conversions[0].advertiser_id == first["advertiser_id"]
    assert found.mark(first["advertiser_id"]) == "label"


def test_every_version_is_that_of_a_manifest(space, tiny_run, explained):
    versions = {version.what: version for version in explained[0].versions}
    runs = tiny_run.run_ids()
    for name in ("user_contexts", "advertiser_predictions", "candidate_sets", "control_predictions"):
        manifest = json.loads((tiny_run.table(name) / "manifest.json").read_text())
        assert (versions[name].fingerprint, versions[name].dagster_run) == (
            manifest["fingerprint"],
            runs[f"tables/{name}/{DAY}"],
        )
    for name in ("advertiser_llm", "retrieval_model", "ranker"):
        assert versions[name].version == tiny_run.models(name)[0].name
        assert versions[name].mlflow_run and versions[name].registered.startswith("1 ")
    assert all(version.up_to_date for version in explained[0].versions)


@pytest.mark.parametrize("width", [80, 120])
def test_text_and_page(adprior: Adprior, tiny_run: Pipeline, explained, width):
    user = explained[0].user_id
    done = adprior("explain", user, width=width)
    assert done.exit_code == 0, done.stderr
    page = (tiny_run.table("report") / page_name(user)).read_text()
    for text in (done.stdout, page):
        for word in (
            "Profile" if text is done.stdout else "Prompt",
            "Candidates",
            "Afterwards",
            "did not see",
            "ranker",
        ):
            assert word in text
        assert "example.com" not in text and "http" not in text
    assert max(map(len, done.stdout.splitlines())) <= max(width, len(str(tiny_run.out)) + 80)
    assert outside_resources(page) == []
    with_files = json.loads((tiny_run.table("report") / "manifest.json").read_text())["files"]
    assert page_name(user) not in with_files, "the page is no part of what was published"


def test_json_is_the_whole_explanation(adprior: Adprior, explained):
    done = adprior("explain", explained[0].user_id, "--json")
    assert Explanation.model_validate_json(done.stdout) == explained[0]


def test_sample_lists_users_that_have_everything(adprior: Adprior, space):
    done = adprior("explain", "--sample")
    users = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("u0")]
    assert done.exit_code == 0 and len(users) == 5
    found = explanation_of(space, TODAY, users[-1])
    assert found.context and {"llm", "placebo", *BASELINES} <= set(found.predictions)
    assert found.candidates and found.priors and found.interests


def test_a_user_without_consent_is_not_shown(adprior: Adprior, space, tiny_run):
    with space.lake.connect(as_of=TODAY) as con:
        user = con.execute("SELECT user_id FROM users WHERE NOT consent ORDER BY user_id").fetchall()[0][0]
    done = adprior("explain", user)
    assert done.exit_code == 1 and done.stdout == ""
    assert "has not consented" in done.stderr and "nothing is shown" in done.stderr
    assert not (tiny_run.table("report") / page_name(user)).exists()


def test_an_unknown_user_gets_one_error_without_other_peoples_ids(adprior: Adprior):
    done = adprior("explain", "u0015")
    assert done.exit_code == 1 and "no user 'u0015'" in done.stderr and "--sample" in done.stderr
    assert "u00150" not in done.stderr and done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["explain"], "no user named"), (["explain", "u1", "--as-of", "2026-04-21"], "there is 2026-04-22")],
)
def test_wrong_calls_say_what_to_do(adprior: Adprior, arguments, words):
    done = adprior(*arguments)
    assert done.exit_code == 1 and words in done.stderr and "remedy" in done.stderr
