"""Settings of user contexts."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ContextSettings(BaseModel):
    """Who gets a context, and how long it may be."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    active_days: int = Field(90, ge=1, le=36_500)
    """A user is active with an event in this many days up to as_of (days)."""
    max_text_words: int = Field(12, ge=1)
    """Words of a search that are kept, after scrubbing (words)."""
