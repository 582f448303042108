"""An explanation as one HTML page that needs nothing from anywhere; text from logs is escaped.

The page is personal: it lies beside the report, and is no part of what is published or tracked.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

from jinja2 import Environment

from ml.explain import words
from ml.explain.explanation import Explanation
from ml.report import formats
from ml.report.templates import templates

SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def page_name(user_id: str) -> str:
    """File name of a user's page: his id where that is a safe file name, else its hash with what is safe of it."""
    if SAFE.fullmatch(user_id):
        return f"explain-{user_id}.html"
    start = re.sub(r"[^A-Za-z0-9]+", "-", user_id).strip("-")[:24]
    digest = hashlib.sha256(user_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"explain-{start}.{digest}.html"


def render(explanation: Explanation) -> str:
    """The whole page; the same explanation gives the same text."""
    return _environment().get_template("explain.html").render(e=explanation)


@cache
def _environment() -> Environment:
    here = Path(__file__).parent
    functions = (
        formats.number,
        formats.share,
        words.event_words,
        words.generators_words,
        words.kind_of_conventional,
        words.outcome_lines,
        words.profile_words,
        words.source_words,
    )
    environment = templates(here, here.parent / "report", functions=functions)
    environment.globals |= {"marks": words.MARKS, "outcome_note": words.OUTCOME_NOTE}
    return environment
