"""Suite of the user contexts: token budget, uniqueness, and no personal text or URL in a prompt."""

from __future__ import annotations

import pandas as pd

from ml.validation.outcome import Outcome, validate

PERSONAL = r"(?i)(?:https?://|www\.|[\w.+-]+@[\w-]+\.[a-z]{2,}|\d{7,})"
"""URL-like, e-mail-like and phone-like text."""


def check_contexts_table(table: pd.DataFrame, *, budget: int) -> Outcome:
    """Check columns user_id, n_tokens, prompt and content_hash of a day's contexts.

    Args:
        table: one row a user.
        budget: most tokens a prompt may have.
    """
    import great_expectations.expectations as gxe

    rules = [
        gxe.ExpectTableRowCountToBeBetween(min_value=1),
        gxe.ExpectColumnValuesToBeUnique(column="user_id"),
        gxe.ExpectColumnValuesToNotBeNull(column="prompt"),
        gxe.ExpectColumnValuesToNotBeNull(column="content_hash"),
        gxe.ExpectColumnValuesToBeBetween(column="n_tokens", min_value=1, max_value=budget),
        gxe.ExpectColumnValuesToNotMatchRegex(column="prompt", regex=PERSONAL),
    ]
    return validate(table, rules, "user contexts", private=frozenset({"prompt"}))
