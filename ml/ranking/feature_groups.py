"""Groups of ranker features that say the same kind of thing, and so share their importance among them."""

from __future__ import annotations

from ml.errors import BadInput

GROUPS = {
    "profile": "who the user is: age, gender, region",
    "ad": "what is shown and where: category, vertical, price, age of the ad, surface",
    "history": "what the user did, in all and with the ad, its advertiser, category and vertical",
    "popularity": "what everybody did with the ad and its advertiser",
    "priors": "what the arm's source forecast for the user and advertiser",
}
_PROFILE = ("age_bucket_code", "gender_code", "region_code")
_AD = ("category_code", "vertical_code", "surface_code", "ad_log_price", "ad_age_days")
_PREFIXES = {"prior_": "priors", "user_": "history", "advertiser_": "popularity", "ad_": "popularity"}


def group_of(feature: str) -> str:
    """The group a feature belongs to.

    Raises:
        BadInput: a feature that no group knows.
    """
    for group, names in (("profile", _PROFILE), ("ad", _AD)):
        if feature in names:
            return group
    for prefix, group in _PREFIXES.items():
        if feature.startswith(prefix):
            return group
    raise BadInput(f"feature {feature!r} has no group", where="ranker features", remedy="add it to feature_groups.py")
