"""What the stages published for one user: only his rows are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from ml.contexts.store import read_columns, read_contexts
from ml.contexts.stream import UserContexts
from ml.llm.interests import COLUMNS, read_interests
from ml.predictors.predictions import FOLDER


@dataclass(frozen=True)
class Published:
    """Local directories of one snapshot day; None where the stage has not been made."""

    contexts: Path | None
    predictions: Path | None
    controls: Path | None
    candidates: Path | None
    ranker: Path | None

    def context_of(self, user_id: str) -> tuple[UserContexts, pd.Series] | None:
        """The user's stream, and his row of prompt, n_tokens, n_dropped, content_hash, prompt_version."""
        if self.contexts is None:
            return None
        contexts = read_contexts(self.contexts / "contexts", [user_id])
        columns = ["prompt", "n_tokens", "n_dropped", "content_hash", "prompt_version"]
        return (
            (contexts, read_columns(self.contexts / "contexts", columns, [user_id]).iloc[0]) if len(contexts) else None
        )

    def predictions_of(self, user_id: str) -> dict[str, pd.DataFrame]:
        """His predictions by source, each ordered by rank; without the sources that have none."""
        parts = [_rows(made / FOLDER, user_id) for made in (self.predictions, self.controls) if made]
        table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"source": [], "rank": []})
        ordered = table.sort_values(["source", "rank"], kind="stable")
        by_source = {str(name): rows.reset_index(drop=True) for name, rows in ordered.groupby("source")}
        return dict(sorted(by_source.items(), key=lambda item: (item[0] != "llm", item[0] == "placebo", item[0])))

    def interests_of(self, user_id: str) -> pd.DataFrame:
        """The interests that the LLM forecasts for him, ordered by rank; empty if there are none."""
        if self.predictions is None:
            return pd.DataFrame(columns=COLUMNS)
        interests = read_interests(self.predictions)
        mine: pd.DataFrame = interests.loc[interests["user_id"] == user_id, ["rank", "interest", "probability"]]
        return mine

    def candidates_of(self, user_id: str) -> pd.DataFrame:
        """His candidate set in its order (columns: see `ml.candidates.blend`); empty if he has none."""
        if self.candidates is None:
            return pd.DataFrame({"user_id": []})
        rows = _rows(self.candidates / "candidates.parquet", user_id)
        return rows.sort_values("rank", ignore_index=True)


def _rows(path: Path, user_id: str) -> pd.DataFrame:
    frame: pd.DataFrame = pq.read_table(path, filters=[("user_id", "==", user_id)]).to_pandas()
    return frame
