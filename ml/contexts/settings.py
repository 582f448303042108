"""Settings of user contexts."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ContextSettings(BaseModel):
    """Who gets a context, and how long it may be."""

    model_config = ConfigDict(extra="forbid")

    active_days: int = Field(90, ge=1, le=36_500)
    """A user is active with an event in this many days up to as_of (days)."""
    max_prompt_tokens: int = Field(192, ge=16)
    """Budget of one rendered prompt; the oldest events are dropped first (tokens of the base model)."""
    max_text_words: int = Field(12, ge=1)
    """Words of a search that are kept, after scrubbing (words)."""
