"""What every command shares: the app, the options they have in common, where options go, how errors end.

It imports nothing that takes time, so that --help and shell completion answer at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from ml.errors import AdpriorError, BadInput
from orchestration.cli.interrupts import every_interrupt_heard

Command = TypeVar("Command", bound=Callable[..., None])

app = typer.Typer(
    help="Adprior: an LLM's advertiser forecasts as candidates and priors, measured honestly.\n\n"
    "Start with [bold]adprior run --profile tiny[/bold]: every stage, in under 2 minutes. "
    "[bold]adprior COMMAND --help[/bold] explains a command and shows an example.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
PROFILES, SOURCES = ("tiny", "small", "full"), ("world", "parquet", "purchases")


def _option(about: str, metavar: str, *names: str, choices: Sequence[str] = ()) -> Any:
    """An option whose help says its default itself: the value shown would be a bare None."""
    return typer.Option(
        *names, help=about, metavar=metavar, show_default=False, autocompletion=(lambda: choices) if choices else None
    )


Profile = Annotated[
    str | None,
    _option(
        "Size of everything: tiny (seconds, a random LLM), small (the default: minutes, 2 cores), full (a GPU).",
        "|".join(PROFILES),
        choices=PROFILES,
    ),
]
Source = Annotated[
    str | None,
    _option(
        "Where the logs come from: world (the default: simulated), parquet (your own logs of ads), or purchases "
        "(a purchase log).",
        "|".join(SOURCES),
        choices=SOURCES,
    ),
]
Data = Annotated[
    str | None, _option("Directory of the logs, or s3:// prefix; purchases have a sample by default.", "DIR|s3://...")
]
Mapping = Annotated[
    Path | None,
    _option("Mapping file of the logs (which column is what); [bold]adprior init-mapping[/bold] drafts one.", "FILE"),
]
Out = Annotated[Path | None, _option("Where everything is written; by default var/.", "DIR")]
AsOf = Annotated[
    str | None,
    _option("Snapshot day, nothing after it is seen; by default the newest that fits.", "YYYY-MM-DD", "--as-of"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.", show_default=False)]


def in_group(group: str, name: str | None = None) -> Callable[[Command], Command]:
    """Register a command under a heading of --help; each paragraph of its docstring becomes one, however it is broken.

    An argument has no help of its own (typer 0.25 loses it under this click): explain it in the docstring.
    """

    def register(function: Command) -> Command:
        paragraphs = cleandoc(function.__doc__ or "").split("\n\n")
        about = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        app.command(name, rich_help_panel=group, help=about)(function)
        return function

    return register


@contextmanager
def command(*, as_of: str | None = None, resumes: bool = False, **given: Any) -> Iterator[None]:
    """Settle the options, then run the body: an error that the user can mend ends in a message and exit code 1.

    Args:
        as_of: of the command line, not yet read.
        resumes: say after Ctrl-C that typing the command again goes on where it was.
        given: options by the name of the setting; what is None stays what it was.
    """
    try:
        with every_interrupt_heard():
            _settle(as_of=as_day(as_of, "as_of (AS_OF=..., --as-of)"), **given)
            yield
    except AdpriorError as error:
        typer.secho(f"\nerror: {error}", fg="red", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo(f"\nstopped{'; type the same command again to go on where it was' if resumes else ''}", err=True)
        sys.exit(130)


def _settle(**given: Any) -> None:
    """Put command-line values where every process of this run reads its settings: the environment."""
    for name, value in given.items():
        if value is not None and str(value) != "":
            os.environ[f"ADPRIOR_{name.upper()}"] = str(value)


def as_day(text: str | None, where: str) -> date | None:
    """The day that an option names; None if it is not given.

    Raises:
        BadInput: not a day.
    """
    if not text:
        return None
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        remedy = "write it as YYYY-MM-DD, such as 2026-04-22, or leave it out for the default"
        raise BadInput(f"{text!r} is not a day", where=where, remedy=remedy) from None
