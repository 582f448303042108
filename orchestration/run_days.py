"""The days a run is about: one partition, or a range of them."""

from datetime import date, timedelta
from typing import Any

from orchestration.partitions import daily


def run_days(context: Any) -> list[str]:
    """ISO days of the run's partition or partition range; every day so far if it has none."""
    tags = context.run.tags
    if key := tags.get("dagster/partition"):
        return [key]
    first, last = tags.get("dagster/asset_partition_range_start"), tags.get("dagster/asset_partition_range_end")
    if first and last:
        start = date.fromisoformat(first)
        return [str(start + timedelta(days=i)) for i in range((date.fromisoformat(last) - start).days + 1)]
    return list(daily.get_partition_keys())
