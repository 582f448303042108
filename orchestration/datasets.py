"""Published tables and raw logs as MLflow datasets: name, our fingerprint as the digest, rows, as-of day, source.

Importing this imports mlflow: do it inside functions.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.data.dataset import Dataset
from mlflow.data.dataset_source_registry import resolve_dataset_source

from ml.artifacts import fingerprint_of
from orchestration import ingested, plan
from orchestration.stage import Stage

if TYPE_CHECKING:
    from upath import UPath


class PublishedData(Dataset):  # type: ignore[misc]
    """What a model learned from or was judged on; the data itself stays where it is."""

    def __init__(self, place: Path | UPath, name: str, digest: str, *, rows: int, as_of: str) -> None:
        self.facts = {"num_rows": rows, "as_of": as_of, "fingerprint": digest}
        super().__init__(resolve_dataset_source(str(place)), name=name, digest=digest)

    def _compute_digest(self) -> str:
        raise NotImplementedError("the digest is our fingerprint")

    @property
    def schema(self) -> None:
        return None

    @property
    def profile(self) -> dict[str, Any]:
        return self.facts

    def to_dict(self) -> dict[str, str]:
        return {**super().to_dict(), "profile": json.dumps(self.facts)}


def table(stage: Stage, asset: str) -> PublishedData:
    """A published upstream asset, as the stage's day sees it."""
    place = plan.target(stage.workspace, asset, stage.day)
    manifest = stage.workspace.manifest(place)
    return PublishedData(place, asset, manifest["fingerprint"], rows=manifest["rows"], as_of=manifest["as_of"])


def raw_logs(stage: Stage, last: date) -> PublishedData:
    """The validated raw logs of the days up to `last`; whoever reads them may use only some of the rows."""
    record, until = ingested.read(stage.workspace), last.isoformat()
    days = {day: fingerprint for day, fingerprint in record["days"].items() if day <= until}
    rows = [found["rows"] for table in record["tables"].values() for day, found in table.items() if day <= until]
    return PublishedData(stage.workspace.lake.root, "raw_logs", fingerprint_of(days), rows=sum(rows), as_of=until)
