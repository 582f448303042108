"""The guide's example works as it stands, and the guide explains every field."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

from pydantic import BaseModel

from ml.lake import Lake
from ml.sources.ingest import ingest
from ml.sources.mapping import EventsMapping, ItemsMapping, PurchaseMapping, UsersMapping, load_mapping
from ml.sources.purchases import PurchaseLogs
from ml.timeline import Window

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "purchase-logs.md"


def test_the_example_works(tmp_path: Path) -> None:
    text = GUIDE.read_text(encoding="utf-8")
    mapping_file = tmp_path / "my-shop.yaml"
    mapping_file.write_text(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0])
    block = re.findall(r"(?:^    customer,.*\n)(?:^    .*\n)+", text, re.MULTILINE)[0]
    lines = [re.split(r"\s{2,}", line.strip()) for line in block.splitlines()]
    for i, name in enumerate(("orders", "products", "customers")):
        (tmp_path / f"{name}.csv").write_text("".join(f"{line[i]}\n" for line in lines))
    source = PurchaseLogs(tmp_path, load_mapping(mapping_file))
    days = Window(date(2026, 3, 1), date(2026, 3, 7))
    report = ingest(source, days, Lake(tmp_path / "lake"), tmp_path / "quarantine", sparse=True)
    rows = {name: (table.rows, table.quarantined) for name, table in report.tables.items()}
    assert rows == {"advertisers": (1, 0), "ads": (1, 0), "users": (2, 0), "activity": (1, 0), "conversions": (1, 0)}


def test_every_field_is_explained() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    parts: list[type[BaseModel]] = [PurchaseMapping, EventsMapping, ItemsMapping, UsersMapping]
    for model in parts:
        for name in model.model_fields:
            assert re.search(rf"`(?:\w+)?\.?{name}`", text) or f"{name}." in text, (model.__name__, name)
