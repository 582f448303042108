"""The guide's example works as it stands, and the guide explains every field of the mapping."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

from ml.lake import Lake
from ml.sources.ingest import ingest
from ml.sources.log_mapping import ColumnMapping, ConsentList, LogMapping, TableMapping, load_log_mapping
from ml.sources.parquet_logs import ParquetLogs
from ml.timeline import Window

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "your-own-logs.md"


def write_example(root: Path) -> Path:
    """The files of the worked example; returns its mapping file."""
    text = GUIDE.read_text(encoding="utf-8")
    block = re.findall(r"^    my-logs/\n(?:^    .*\n)+", text, re.MULTILINE)[0]
    current = root
    for line in block.splitlines()[1:]:
        found = re.match(r"^      (\S+)?\s+(\S.*)$", line)
        assert found, line
        if found[1]:
            current = root / found[1]
            current.parent.mkdir(parents=True, exist_ok=True)
        with current.open("a") as file:
            file.write(found[2] + "\n")
    mapping = root / "mapping.yaml"
    mapping.write_text(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0])
    return mapping


def test_the_example_works(tmp_path: Path) -> None:
    source = ParquetLogs(tmp_path, load_log_mapping(write_example(tmp_path)))
    assert source.problems() == []
    days, lake = Window(date(2026, 3, 1), date(2026, 3, 2)), Lake(tmp_path / "lake")
    report = ingest(source, days, lake, tmp_path / "quarantine", sparse=False)
    rows = {name: (table.rows, table.quarantined) for name, table in report.tables.items()}
    assert rows == {"advertisers": (1, 0), "ads": (2, 0), "users": (3, 0), "activity": (3, 0), "conversions": (2, 0)}
    with lake.connect() as con:
        users = con.execute("SELECT user_id, consent FROM users ORDER BY 1").fetchall()
        first = con.execute("SELECT event_time::VARCHAR, value FROM conversions ORDER BY 1").fetchall()[0]
    assert users == [("c17", True), ("c18", False)]
    assert first == ("2026-03-01 08:30:00", 39.9), "Berlin is an hour ahead; cents"


def test_every_field_is_explained() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    for model in (LogMapping, TableMapping, ColumnMapping, ConsentList):
        for name, field in model.model_fields.items():
            assert field.description, (model.__name__, name)
            assert f"`{name}`" in text, (model.__name__, name)
