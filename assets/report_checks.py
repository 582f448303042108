"""Checks of evaluation and report: a placebo that shows nothing, and a page that needs nothing."""

import json

import dagster as dg

from orchestration.check_results import plain
from orchestration.resources import WorkspaceResource
from orchestration.stage import Finished


@dg.asset_check(asset="evaluation", description="The placebo's priors do not help the ranker; warns.")
def placebo_adds_nothing(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """If shuffled predictions helped, the LLM's gain would not be knowledge of the user."""
    done = Finished(context, workspace.open(), "evaluation")
    found = json.loads((done.directory / "results.json").read_text())["ranker_differences"]
    auc = next(d for d in found if (d["metric"], d["arm"], d["against"]) == ("auc", "placebo", "none"))
    said = f"AUC with shuffled priors minus none: {auc['value']:+.5f} [{auc['low']:+.5f}, {auc['high']:+.5f}]"
    return plain(auc["low"] <= 0, said, warn_only=True, low=auc["low"], high=auc["high"])


@dg.asset_check(asset="report", blocking=True, description="The page loads nothing from anywhere.")
def page_is_self_contained(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """No source, style sheet or script of another address in report.html."""
    from ml.report.page import outside_resources

    done = Finished(context, workspace.open(), "report")
    page = done.directory / "report.html"
    outside = outside_resources(page.read_text())
    return plain(
        not outside, f"{page.stat().st_size / 1024:.0f} kB, {len(outside)} resources from elsewhere {outside[:3]}"
    )
