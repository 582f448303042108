"""What happened to one user in the label window of the snapshot day: outcomes that no model saw.

It reads past `as_of`; nothing that predicts may import it. The first conversion is the label, as
`ml.contexts.labels` has it.
"""

from __future__ import annotations

from ml.contexts.stream import UserContexts
from ml.explain.explanation import Conversion, Outcome
from ml.lake import Lake
from ml.timeline import Timeline, end_of

_CONVERSIONS = """
SELECT c.advertiser_id, coalesce(a.name, c.advertiser_id), c.ad_id, c.event_time, coalesce(c.known_at, c.event_time)
FROM conversions c LEFT JOIN advertisers a USING (advertiser_id)
WHERE c.user_id = $user AND c.event_time >= $opens AND c.event_time < $closes
ORDER BY c.event_time, c.conversion_id
"""


def outcome_of(lake: Lake, timeline: Timeline, user_id: str, context: UserContexts | None) -> Outcome:
    """The user's conversions in the label window, once the logs reach to where all are known."""
    days = lake.days("conversions")
    closed = bool(days) and timeline.test_closes <= days[-1]
    past = set(context.conversions()["advertiser_id"]) if context is not None else None
    found = []
    if closed:
        window = {"user": user_id, "opens": end_of(timeline.as_of), "closes": end_of(timeline.test.last)}
        with lake.connect(as_of=timeline.test_closes) as con:
            found = con.execute(_CONVERSIONS, window).fetchall()
    names = ("advertiser_id", "advertiser", "ad_id", "happened", "known")
    return Outcome(
        first=timeline.test.first,
        last=timeline.test.last,
        closes=timeline.test_closes,
        closed=closed,
        conversions=[Conversion(**dict(zip(names, row, strict=True)), is_new=_is_new(row[0], past)) for row in found],
    )


def _is_new(advertiser_id: str, past: set[str] | None) -> bool | None:
    return None if past is None else advertiser_id not in past
