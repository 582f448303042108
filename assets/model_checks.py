"""Checks of the advertiser LLM and of everything made with it."""

import dagster as dg

from orchestration.check_results import plain
from orchestration.resources import WorkspaceResource
from orchestration.stage import Finished


@dg.asset_check(asset="advertiser_llm", blocking=True, description="The loss on held-out users fell.")
def loss_fell(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """Validation loss at the end against the start."""
    metrics = Finished(context, workspace.open(), "advertiser_llm").manifest["metrics"]
    start, end = metrics["validation_loss_start"], metrics["validation_loss_end"]
    return plain(end < start, f"validation loss {start:.4f} before, {end:.4f} after training", start=start, end=end)


@dg.asset_check(asset="advertiser_llm", blocking=True, description="The checkpoint reloads with equal scores.")
def reload_is_equal(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """Scores of a few training streams by the trained and by the reloaded model."""
    from ml.llm.reload import largest_difference
    from orchestration.llm import cached_base_model

    done = Finished(context, workspace.open(), "advertiser_llm")
    found, allowed = largest_difference(done.directory, cached_base_model(done.workspace), done.settings.llm)
    return plain(
        found <= allowed, f"largest difference in probability {found:.2e}, at most {allowed:.0e}", difference=found
    )


@dg.asset_check(asset="advertiser_llm", description="Beats popularity on held-out users; if not, no alias champion.")
def beats_popularity(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """Log loss beside popularity's; warns only."""
    from orchestration.llm import beats_popularity as won

    metrics = Finished(context, workspace.open(), "advertiser_llm").manifest["metrics"]
    mine, theirs = metrics["validation_log_loss"], metrics["popularity_log_loss"]
    return plain(
        won(metrics), f"log loss {mine:.4f}, popularity {theirs:.4f}", warn_only=True, llm=mine, popularity=theirs
    )


def _sound(asset: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name="predictions_are_sound",
        blocking=True,
        description="Every advertiser in the catalogue, ranks without gaps, probabilities of a user sum to at most 1.",
    )
    def check(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
        import pandas as pd

        from ml.predictors.predictions import read_predictions, violations

        done = Finished(context, workspace.open(), asset)
        predictions = read_predictions(done.directory)
        catalogue = pd.read_parquet(done.of("advertiser_predictions") / "catalogue.parquet")["advertiser_id"]
        broken = violations(predictions, set(catalogue))
        said = f"{len(predictions):,} rows of {predictions['user_id'].nunique():,} users keep every invariant"
        return plain(not broken, "; ".join(broken) or said)

    return check


advertiser_predictions_are_sound = _sound("advertiser_predictions")
control_predictions_are_sound = _sound("control_predictions")


@dg.asset_check(
    asset="advertiser_predictions",
    blocking=True,
    description="Interests of the scored users only: ranks without gaps, probabilities of a user sum to at most 1.",
)
def interests_are_sound(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """Invariants of the interests that the LLM forecasts beside the advertisers."""
    from ml.llm.interests import read_interests, violations
    from ml.predictors.predictions import read_predictions

    done = Finished(context, workspace.open(), "advertiser_predictions")
    interests = read_interests(done.directory)
    broken = violations(interests)
    if len(interests):
        strangers = set(interests["user_id"]) - set(read_predictions(done.directory)["user_id"])
        broken += [f"{len(strangers)} users without predictions"] if strangers else []
    users = interests["user_id"].nunique()
    said = (
        f"{len(interests):,} rows of {users:,} users" if users else "none: llm.interest_weight is 0, or too few targets"
    )
    return plain(not broken, "; ".join(broken) or said)


@dg.asset_check(
    asset="past_predictions", blocking=True, description="Priors of the Timeline's snapshots, by an older model."
)
def priors_are_older(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """Days of the priors against the Timeline, and the model's last label against the first of them."""
    import pandas as pd

    from ml.predictors.predictions import read_predictions

    done = Finished(context, workspace.open(), "past_predictions")
    days = sorted(pd.to_datetime(read_predictions(done.directory)["day"]).dt.date.unique())
    known_until = done.workspace.manifest(done.of("advertiser_llm"))["known_until"]
    passed = days == done.timeline.past_snapshots and known_until <= str(days[0])
    return plain(
        passed, f"priors of {', '.join(map(str, days))} by a model whose last label was known by {known_until}"
    )


@dg.asset_check(
    asset="retrieval_model", blocking=True, description="Vectors are finite, and every ad is eligible on the day."
)
def ads_are_eligible(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """Ads of the model against the registers of its day."""
    import numpy as np

    from ml.candidates.ad_retrieval import AdRetrieval
    from ml.predictors.catalogue import build_catalogue

    done = Finished(context, workspace.open(), "retrieval_model")
    model = AdRetrieval.load(done.directory)
    with done.workspace.lake.connect(as_of=model.as_of) as con:
        eligible = set(build_catalogue(con, model.as_of)["advertiser_id"])
    strangers = int((~model.ads["advertiser_id"].isin(eligible)).sum())
    finite = bool(np.isfinite(model.user_factors).all() and np.isfinite(model.ad_factors).all())
    said = f"{len(model.ads):,} ads, {strangers} of advertisers not active on {model.as_of}"
    return plain(finite and not strangers, f"{said}{'' if finite else '; vectors are not finite'}")


@dg.asset_check(asset="advertiser_predictions", blocking=True, description="Every user that was to be scored was.")
def everyone_is_scored(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """Users in the table against users asked for."""
    from ml.predictors.predictions import read_predictions

    done = Finished(context, workspace.open(), "advertiser_predictions")
    asked, found = done.manifest["users"], read_predictions(done.directory)["user_id"].nunique()
    return plain(found == asked, f"{found:,} of {asked:,} users have predictions", users=found)


@dg.asset_check(asset="candidate_sets", blocking=True, description="Budget kept, no ad twice for a user.")
def budget_kept(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """Sizes and duplicates of the candidate sets."""
    import pandas as pd

    done = Finished(context, workspace.open(), "candidate_sets")
    rows = pd.read_parquet(done.directory / "candidates.parquet", columns=["user_id", "ad_id"])
    largest, twice = int(rows.groupby("user_id").size().max()), int(rows.duplicated().sum())
    budget = done.settings.candidates.budget
    return plain(largest <= budget and not twice, f"at most {largest} ads a user (budget {budget}), {twice} ads twice")


@dg.asset_check(asset="candidate_sets", description="Slots of the ten largest advertisers, and Gini; warns.")
def concentration_guard(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """The paper's caution: a large quota crowds out small advertisers."""
    done = Finished(context, workspace.open(), "candidate_sets")
    (share, gini), limits = (done.manifest["metrics"][name] for name in ("top10_share", "gini")), done.settings.checks
    return plain(
        share <= limits.max_top10_share and gini <= limits.max_gini,
        f"the ten largest hold {share:.3f} of all slots, at most {limits.max_top10_share}; "
        f"Gini {gini:.3f}, at most {limits.max_gini}",
        warn_only=True,
        share=share,
        gini=gini,
    )


@dg.asset_check(asset="ranker", blocking=True, description="Every arm has its features and learned something.")
def rankers_are_complete(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """Arms, features and trees of the saved rankers."""
    from ml.ranking.features import FEATURES_BASE
    from ml.ranking.priors import FEATURES_PRIOR
    from ml.ranking.ranker import Ranker

    done = Finished(context, workspace.open(), "ranker")
    arms = {path.parent.name: Ranker.load(path.parent) for path in sorted(done.directory.glob("*/ranker.json"))}
    expected = {arm: set(FEATURES_BASE) | (set(FEATURES_PRIOR) if arm != "none" else set()) for arm in arms}
    lacking = {
        arm: sorted(expected[arm] - set(r.features)) for arm, r in arms.items() if expected[arm] - set(r.features)
    }
    said = ", ".join(f"{arm}: {len(r.features)} features, {r.rounds} trees" for arm, r in arms.items())
    passed = {"none", "llm", "placebo"} <= set(arms) and not lacking and all(r.rounds > 0 for r in arms.values())
    return plain(passed, f"{said}{f'; missing {lacking}' if lacking else ''}")
