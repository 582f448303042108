"""An explanation on the terminal: what matters at 80 columns; the page beside it has everything.

Text that comes from logs is shown as text: neither markup nor control characters in it do anything.
"""

from __future__ import annotations

from datetime import date

import pandas as pd
from rich.box import SIMPLE
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ml.explain.explanation import Candidate, Context, Explanation, Outcome
from ml.explain.words import (
    MARKS,
    OUTCOME_NOTE,
    event_words,
    generators_words,
    kind_of_conventional,
    outcome_lines,
    profile_words,
    source_words,
)
from ml.report.formats import share
from orchestration.terminal import plain

ROWS = 10
"""Rows of a long table, unless everything is asked for."""
WIDE = 110
"""Columns from which the interest generator has one of its own."""
PRIOR_WORDS = {
    "prior_probability": "probability",
    "prior_log_odds": "log-odds",
    "prior_rank": "rank",
    "prior_vertical_share": "vertical",
    "prior_staleness_days": "days old",
    "prior_scored": "scored",
}
YIELDING = ("advertiser", "registered")
"""Columns that are broken over lines where the terminal is narrow."""


def show(found: Explanation, console: Console, *, everything: bool) -> None:
    """Print the explanation from what was known to what was scored, then what happened and what made it."""
    rows = None if everything else ROWS
    about = f"as of {found.as_of}   source {found.source}, profile {found.profile}"
    console.print(Text.assemble(("User ", "bold"), (plain(found.user_id), "bold"), "   ", about))
    for note in found.notes:
        console.print(Padding(Text(f"! {note}", style="yellow"), (0, 0, 0, 2)))
    if found.context:
        _context(found.context, console, rows)
    if found.predictions:
        _predictions(found, console, rows)
    if found.priors:
        _priors(found, console, rows)
    if found.candidates:
        _candidates(found, console, rows)
    _outcome(found.outcome, console)
    _versions(found, console)
    if not everything:
        console.print("\nLong tables are cut; --all shows every row here, the page has them all.", style="dim")


def show_sample(users: pd.DataFrame, day: date, console: Console, options: str = "") -> None:
    """User ids to try, a line each; `options` are those that `adprior explain` needs to find them again."""
    if users.empty:
        console.print(f"No consenting user has context, predictions and candidates as of {day}.")
        return
    table = _table("user", ("events", "right"), ("conversions", "right"), "outcome known")
    for user in users.itertuples():
        table.add_row(
            plain(user.user_id), str(user.n_events), str(user.n_conversions), "yes" if user.has_outcome else "no"
        )
    console.print(f"Consenting users that have everything as of {day}:", table)
    console.print(f"Next: [bold]adprior explain {plain(users['user_id'].iloc[0])}{options}[/bold]", soft_wrap=True)


def _heading(console: Console, title: str, about: str = "") -> None:
    console.print(Text.assemble("\n", (title, "bold"), (f"   {about}" if about else "", "dim")))


def _context(context: Context, console: Console, rows: int | None) -> None:
    _heading(console, "Profile", profile_words(context))
    events = context.events if rows is None else context.events[-rows:]
    left = len(context.events) - len(events)
    _heading(console, "Stream", f"{len(context.events)} events" + (f", the newest {len(events)}" if left else ""))
    for event in events:
        style = "" if event.in_prompt else "dim"
        console.print(Text(plain(f"  {event.known:%Y-%m-%d %H:%M}  {event_words(event)}"), style=style))
    dropped = f", {context.n_dropped} oldest events left out" if context.n_dropped else ", nothing left out"
    about = f"{context.n_tokens} of at most {context.budget} tokens{dropped}"
    _heading(console, "Prompt, as the LLM reads it", f"{about}, version {context.prompt_version}")
    lines = context.prompt.splitlines()
    shown = lines if rows is None or len(lines) <= 2 * rows else [lines[0], "...", *lines[1 - 2 * rows :]]
    for line in shown:
        console.print(Text(f"  {plain(line)}", style="cyan" if line != "..." else "dim"))
    console.print(Text(f"  content hash {context.content_hash}", style="dim", overflow="ellipsis", no_wrap=True))


def _predictions(found: Explanation, console: Console, rows: int | None) -> None:
    """Advertisers of the first source, and those of the outcome, with what every source says of them."""
    every, outcome = list(found.predictions), found.outcome
    sources = every[: max(2, (console.width - 24) // 14)]
    _heading(console, "Predictions by source", "rank and probability, given that the user converts")
    by_source = {name: {row.advertiser_id: row for row in table} for name, table in found.predictions.items()}
    shown = [row.advertiser_id for row in found.predictions[sources[0]][:rows]]
    names = {row.advertiser_id: row.advertiser for table in found.predictions.values() for row in table}
    happened = {conversion.advertiser_id: conversion.advertiser for conversion in outcome.conversions}
    wanted = [*(names if rows is None else ()), *happened]
    table = _table("advertiser", *((source_words(name), "right") for name in sources))
    for advertiser in dict.fromkeys([*shown, *wanted]):
        cells = [by_source[name].get(advertiser) for name in sources]
        marked = plain((names | happened)[advertiser]) + MARKS[outcome.mark(advertiser)]
        table.add_row(Text(marked), *(f"{c.rank}  {share(c.probability)}" if c else "-" for c in cells))
    console.print(table)
    if len(sources) < len(every):
        missing = ", ".join(source_words(name) for name in every[len(sources) :])
        _aside(console, f"Not shown for want of width: {missing}.")
    if happened:
        _aside(console, OUTCOME_NOTE)
    if found.interests:
        said = ", ".join(f"{row.interest} {share(row.probability)}" for row in found.interests)
        _aside(console, f"Interests, by the LLM: {said}.")


def _priors(found: Explanation, console: Console, rows: int | None) -> None:
    _heading(console, "Priors, as the ranker reads them", "of the candidates' advertisers")
    names = list(found.priors[0].values)
    table = _table("advertiser", *((PRIOR_WORDS.get(name, name), "right") for name in names))
    for prior in found.priors[:rows]:
        table.add_row(Text(plain(prior.advertiser)), *(f"{prior.values[name]:.4g}" for name in names))
    console.print(table)


def _candidates(found: Explanation, console: Console, rows: int | None) -> None:
    about = f"{len(found.candidates)} ads"
    if found.ranked_for:
        about += f", scored for {found.ranked_for}" + (f" on surface {found.surface}" if found.surface else "")
    _heading(console, "Candidates", about)
    scored = bool(found.candidates[0].scores)
    ranked = sorted(found.candidates, key=_order) if scored else found.candidates
    columns = [("with priors", "right"), ("without", "right")] if scored else []
    names = (kind_of_conventional(found.candidates), "targeted", "interest")[: 3 if console.width >= WIDE else 2]
    generators = [(name, "right") for name in names]
    table = _table(("#", "right"), "ad", "advertiser", *generators, *columns)
    for candidate in ranked[:rows]:
        mark = "*" if found.outcome.bought(candidate.ad_id) else ""
        table.add_row(
            str(candidate.scores["llm"].position if scored else candidate.rank),
            Text(plain(candidate.ad_id) + mark),
            Text(plain(candidate.advertiser) + MARKS[found.outcome.mark(candidate.advertiser_id)]),
            *generators_words(candidate)[: len(names)],
            *(_score(candidate, arm) for arm in ("llm", "none") if scored),
        )
    console.print(table)
    if scored:
        _aside(
            console,
            f"Ordered by the ranker with priors, score = {found.score_formula}. Generators: rank (score) with which "
            "each proposed the ad. Rankers: calibrated P(conversion | impression) and position.",
        )


def _score(candidate: Candidate, arm: str) -> str:
    score = candidate.scores[arm]
    return f"{share(score.probability, 2)}  {score.position}"


def _order(candidate: Candidate) -> int:
    return candidate.scores["llm"].position


def _outcome(outcome: Outcome, console: Console) -> None:
    _heading(console, "Afterwards", f"{outcome.first} to {outcome.last}: outcome the models did not see")
    for line in outcome_lines(outcome):
        console.print(Text(plain(f"  {line}")))


def _versions(found: Explanation, console: Console) -> None:
    _heading(console, "Versions", "what all of this rests on")
    table = _table("stage", "version", "Dagster", "MLflow", "registered")
    for version in found.versions:
        name = version.version if version.registered or version.version == version.fingerprint else version.fingerprint
        table.add_row(
            Text.assemble(version.what, ("" if version.up_to_date else " (old)", "yellow")),
            name,
            (version.dagster_run or "-")[:8],
            (version.mlflow_run or "-")[:8],
            version.registered or "-",
        )
    console.print(table)


def _table(*columns: str | tuple[str, str]) -> Table:
    """A table whose first wide column gives way when the terminal is narrow; figures never do."""
    table = Table(box=SIMPLE, pad_edge=False, show_edge=False, collapse_padding=True, header_style="bold")
    for column in columns:
        name, justify = (column, "left") if isinstance(column, str) else column
        yields = name in YIELDING
        table.add_column(Text(name), justify=justify, no_wrap=not yields, overflow="fold")  # type: ignore[arg-type]
    return table


def _aside(console: Console, text: str) -> None:
    console.print(Padding(Text(text, style="dim"), (0, 0, 0, 2)))
