"""How candidate sets are made."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class CandidateSettings(BaseModel):
    """Size and mix of a candidate set, and the conventional generator's recipe."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    budget: int = Field(100, ge=1)
    """Ads in a user's candidate set."""
    quota: float = Field(0.3, ge=0, le=1)
    """Share of the budget that ads of predicted advertisers may take from the conventional generator; 0 is legal."""
    ads_per_advertiser: int = Field(5, ge=1)
    """Most ads that the targeted generator proposes of one advertiser to one user."""
    factors: int = Field(48, ge=1)
    """Length of the user and ad vectors of the factorisation."""
    regularization: float = Field(0.05, ge=0)
    """L2 penalty on the vectors."""
    iterations: int = Field(12, ge=1)
    """Sweeps of alternating least squares."""
    click_weight: float = Field(1.0, ge=0)
    """Confidence that one click adds."""
    conversion_weight: float = Field(5.0, ge=0)
    """Confidence that one conversion adds."""
    popular_days: int = Field(28, ge=1)
    """Days up to the snapshot whose interactions make an ad popular, for users the factorisation does not know."""
