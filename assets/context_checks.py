"""Checks of the contexts and training examples: budget and privacy by Great Expectations, time by the Timeline."""

import dagster as dg

from ml.errors import TimelineViolation
from orchestration.check_results import as_result, plain
from orchestration.resources import WorkspaceResource
from orchestration.stage import Finished


@dg.asset_check(
    asset="user_contexts", blocking=True, description="Token budget, one row a user, no personal text or URL."
)
def prompts_are_sound(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """Great Expectations over the day's contexts."""
    from ml.contexts.store import read_columns
    from ml.validation.contexts import check_contexts_table

    done = Finished(context, workspace.open(), "user_contexts")
    columns = ["user_id", "n_tokens", "prompt", "content_hash"]
    table = read_columns(done.directory / "contexts", columns)
    return as_result(None, None, check_contexts_table(table, budget=done.settings.llm.max_prompt_tokens))


@dg.asset_check(asset="user_contexts", blocking=True, description="No event in a context that was not known by as_of.")
def nothing_after_as_of(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """The Timeline's rule over every event of every context."""
    from ml.contexts.store import read_contexts

    done = Finished(context, workspace.open(), "user_contexts")
    events = read_contexts(done.directory / "contexts").events
    try:
        done.timeline.check_contexts(events)
    except TimelineViolation as violation:
        return plain(False, str(violation))
    return plain(
        True, f"{len(events):,} events, all known by the end of {done.day}; the last at {events['time'].max()}"
    )


@dg.asset_check(
    asset="user_contexts", blocking=True, description="Share of consenting active users that have a context."
)
def coverage(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """Contexts against a plain count in the lake."""
    from ml.contexts.coverage import active_consenting_users

    done = Finished(context, workspace.open(), "user_contexts")
    expected = active_consenting_users(done.workspace.lake, done.day, done.settings.contexts)
    share, least = done.manifest["rows"] / max(expected, 1), done.settings.checks.min_context_coverage
    return plain(
        share >= least,
        f"{done.manifest['rows']:,} of {expected:,} active users have a context: {share:.3f}, at least {least}",
        share=share,
    )


@dg.asset_check(
    asset="training_examples",
    blocking=True,
    description="No label known after the cutoff, none visible in its own history.",
)
def split_rules(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """The Timeline's rules over every target."""
    from ml.contexts.store import read_examples

    done = Finished(context, workspace.open(), "training_examples")
    examples = read_examples(done.directory / "examples")
    try:
        done.timeline.check_training_targets(examples.targets)
        done.timeline.check_contexts(examples.contexts.events)
    except TimelineViolation as violation:
        return plain(False, str(violation))
    cutoff = done.timeline.predictor_cutoff
    return plain(
        True, f"{len(examples.targets):,} targets, all known by the end of {cutoff}, none visible in its own history"
    )


@dg.asset_check(asset="training_examples", blocking=True, description="Enough targets and advertisers to learn from.")
def class_counts(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """Targets per advertiser."""
    from ml.contexts.store import read_examples

    done = Finished(context, workspace.open(), "training_examples")
    counts = read_examples(done.directory / "examples").targets["advertiser_id"].value_counts()
    least = done.settings.checks.min_advertisers_with_targets
    largest = int(counts.max()) if len(counts) else 0
    return plain(
        len(counts) >= least,
        f"{len(counts)} advertisers have a target (at least {least}); the largest has {largest}",
        largest=largest,
        median=float(counts.median()) if len(counts) else 0.0,
    )
