"""The candidate table: one row an ad that may be ranked for a user, and what each column says.

Ranks are null where a generator did not propose the ad. Whoever turns them into features reads their meaning here.
"""

from __future__ import annotations

TWO_TOWER, POPULAR, TARGETED, INTEREST = "two_tower", "popular", "targeted", "interest"
"""Generators: the first two are the conventional one, with and without a stream to read."""

COLUMNS = {
    "user_id": "whom the ad would be shown to",
    "ad_id": "the ad, once a user",
    "advertiser_id": "whose ad it is",
    "rank": "place in the set, 1..n without gaps; a prefix keeps the generators' mix",
    "generators": 'who proposed it, joined by "+": two_tower or popular, then targeted, then interest',
    "conventional_rank": "place by the two-tower score (popularity for users without a stream), 1 = best; "
    "null beyond the budget",
    "conventional_score": "two_tower: the dot product; popular: recent clicks or conversions; null with its rank",
    "targeted_rank": "place among the ads of predicted advertisers, 1 = best; null if not proposed",
    "targeted_score": "P(advertiser) / t for the advertiser's t-th best ad for the user",
    "interest_rank": "place among the ads of predicted interests (categories), 1 = best; null if not proposed",
    "interest_score": "P(interest) / t for the category's t-th best ad for the user",
    "tower_score": "the two-tower dot product whoever proposed the ad; null for users without a stream",
}
"""Column -> meaning, in the table's order."""

REMOVED = {
    "user_id": "whom it was removed for; null: everybody",
    "ad_id": "the ad",
    "advertiser_id": "whose ad it is",
    "reason": "why it must not be shown, see `ml.candidates.eligibility`",
    "generators": "who would have proposed it to the user; null where user_id is",
}
"""Columns of the table of removed candidates."""
