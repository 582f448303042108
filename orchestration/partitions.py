"""The daily partitions: UTC days from the source's first day on."""

import dagster as dg

from orchestration.settings import load_settings

daily = dg.DailyPartitionsDefinition(start_date=load_settings().first_day.isoformat())
