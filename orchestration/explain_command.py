"""`adprior explain`: finds what was published for a day, explains one user with it, shows text and writes a page."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ml.artifacts import read_manifest
from ml.explain.explanation import Explanation, Version
from ml.explain.published import Published
from orchestration import ingested, plan
from orchestration.last_run import settings_of_last_run, there
from orchestration.mlflow_records import RegisteredVersion, registered_versions
from orchestration.waiting import waiting
from orchestration.workspace import Workspace, day_to_look_at

if TYPE_CHECKING:
    from upath import UPath

SHOWN = (
    "user_contexts",
    "advertiser_llm",
    "advertiser_predictions",
    "control_predictions",
    "retrieval_model",
    "candidate_sets",
    "past_predictions",
    "past_control_predictions",
    "ranker",
)
"""Stages whose results an explanation rests on, in the order of the pipeline."""
SAMPLED = 5


def explain_command(user_id: str, *, everything: bool, as_json: bool) -> None:
    """Explain one user on the terminal and as a page.

    Raises:
        BadInput: unknown user, no consent, or nothing published for the day.
    """
    from ml.explain.page import page_name, render
    from orchestration.explain_text import show

    console, workspace = Console(), Workspace(settings_of_last_run())
    day = day_to_look_at(workspace, "advertiser_predictions")
    with waiting("reading what the stages published"):
        found = explanation_of(workspace, day, user_id)
    if as_json:
        print(found.model_dump_json(indent=2))
        return
    page = workspace.beside(workspace.table("report", day)) / page_name(user_id)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(found), encoding="utf-8")
    show(found, console, everything=everything)
    console.print(f"\nPage: [bold]{page}[/bold]", soft_wrap=True)


def sample_command() -> None:
    """List a few users that have everything."""
    import numpy as np

    from ml.explain.sample import sample_users
    from orchestration.explain_text import show_sample

    workspace = Workspace(settings_of_last_run())
    day = day_to_look_at(workspace, "advertiser_predictions")
    with waiting("looking for users that have everything"):
        rng = np.random.default_rng([workspace.settings.seed, 6])
        users = sample_users(published(workspace, day), workspace.lake, workspace.timeline(day), SAMPLED, rng)
    show_sample(users, day, Console(), there(workspace.settings, " --out {}"))


def explanation_of(workspace: Workspace, day: date, user_id: str) -> Explanation:
    """The explanation of one user on a day of this workspace."""
    from ml.explain.assemble import explain
    from ml.explain.consent import must_consent

    settings = workspace.settings
    must_consent(workspace.lake, user_id, day)  # before the seconds that the rest takes
    versions = versions_of(workspace, day)
    old = [version.what for version in versions if not version.up_to_date]
    notes = [f"Made with other settings or logs than those in force now: {', '.join(old)}."] if old else []
    return explain(
        user_id,
        published(workspace, day),
        workspace.lake,
        workspace.timeline(day),
        prompt_budget=settings.llm.max_prompt_tokens,
        about={"source": settings.source, "profile": settings.profile},
        versions=versions,
        notes=notes,
    )


def published(workspace: Workspace, day: date) -> Published:
    """Directories of the day's results that are there."""
    names = ("user_contexts", "advertiser_predictions", "control_predictions", "candidate_sets", "ranker")
    there = {name: workspace.local(name, day) for name in names if _place(workspace, name, day)}
    return Published(*map(there.get, names))


def versions_of(workspace: Workspace, day: date) -> list[Version]:
    """Versions of everything an explanation of the day rests on, with the runs that made them."""
    record = ingested.read(workspace)
    raw = record["days"].get(day.isoformat(), "none")
    tracked = {(v.model, v.directory): v for v in registered_versions(workspace.settings)}
    found = [
        Version(
            what="raw_logs",
            version=day.isoformat(),
            fingerprint=raw,
            dagster_run=record["dagster_run_id"] or None,
            up_to_date=raw != "none",
        )
    ]
    for name in SHOWN:
        if place := _place(workspace, name, day):
            found.append(_version(workspace, name, place, day, tracked))
    return found


def _version(
    workspace: Workspace, name: str, place: Path | UPath, day: date, tracked: dict[tuple[str, str], RegisteredVersion]
) -> Version:
    manifest = workspace.manifest(place)
    known = tracked.get((name, place.name))
    return Version(
        what=name,
        version=place.name,
        fingerprint=manifest["fingerprint"],
        made_by=manifest["model_version"] if manifest["model_version"] != place.name else None,
        rows=manifest["rows"],
        dagster_run=manifest["dagster_run_id"],
        mlflow_run=known.run_id if known else None,
        registered=" ".join([known.version, *known.aliases]) if known else None,
        up_to_date=manifest["fingerprint"] == plan.fingerprint(workspace, name, day),
    )


def _place(workspace: Workspace, asset: str, day: date) -> Path | UPath | None:
    """Where the day's result of an asset is published, if it is."""
    place = plan.target(workspace, asset, day)
    return place if read_manifest(place) else None
