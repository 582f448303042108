"""What `make run` takes and shows, as a results table.

    python -m benchmarks.first_run world --out var
    python -m benchmarks.first_run purchases --data <dir> --out var

Runs the pipeline (or takes what an earlier, finished run left in --out) and writes
docs/results/first-run-<source>.json and .md out of its report.json. It measures nothing itself.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent.parent / "docs" / "results"
METRICS = {
    "predictors": ("recall@1", "recall@5", "recall@10", "recall@20", "new_recall@10", "new_recall@20"),
    "retrieval": ("advertiser_recall", "new_advertiser_recall", "ad_recall"),
    "ranker": ("auc", "log_loss", "normalized_entropy", "ece"),
}
TARGETS = {"world": 12 * 60, "purchases": 30 * 60}


def rows_of(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows {id, what, value, unit, low?, high?, target?, against?} of docs/results."""
    rows: list[dict[str, Any]] = [
        {
            "id": "seconds",
            "what": "all stages, install and model fetch not counted",
            "value": report["seconds_total"],
            "unit": "s",
            "target": TARGETS[report["source"]],
        },
        {"id": "memory", "what": "peak RSS", "value": report["peak_rss_mb"], "unit": "MB", "target": 6144},
        {"id": "test_users", "what": "labelled test users", "value": report["counts"]["test_users"], "unit": "users"},
    ]
    for part, metrics in METRICS.items():
        for arm, figures in report[part].items():
            rows += [
                {"id": f"{part}.{arm}.{metric}", "what": f"{metric}, {arm}", "unit": "", **figures[metric]}
                for metric in metrics
                if figures.get(metric)
            ]
    for part in ("predictor_differences", "retrieval_differences", "ranker_differences"):
        rows += [
            {
                "id": f"{part}.{d['metric']}.{d['arm']}-{d['against']}",
                "what": f"{d['metric']}, {d['arm']} minus {d['against']}",
                "unit": "",
                "against": d["against"],
                **{key: d[key] for key in ("value", "low", "high", "minimum_effect")},
            }
            for d in report[part]
            if d["value"] is not None
        ]
    return rows


def table_of(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    machine = result["machine"]
    lines = [
        f"# {result['name']}",
        "",
        f"{result['date'][:10]}, commit {result['commit']}, {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gb']} GB, bf16 matrix units: {'yes' if machine['bf16_matrix_units'] else 'no'}. "
        f"Command: `{result['command']}`. 95 % intervals over users; differences are paired.",
        "",
        "| what | value | 95 % interval | smallest effect shown in 4 of 5 |",
        "|---|---|---|---|",
    ]
    for row in result["rows"]:
        interval = f"{row['low']:.4f} to {row['high']:.4f}" if row.get("low") is not None else ""
        least = f"{row['minimum_effect']:.4f}" if row.get("minimum_effect") is not None else ""
        value = f"{row['value']:,.4f}".rstrip("0").rstrip(".") + f" {row['unit']}".rstrip()
        lines.append(f"| {row['what']} | {value} | {interval} | {least} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", choices=["world", "purchases"])
    parser.add_argument("--profile", default="small")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("var"))
    given = parser.parse_args()
    command = ["adprior", "run", "--source", given.source, "--profile", given.profile, "--out", str(given.out)]
    command += ["--data", str(given.data)] if given.data else []
    subprocess.run([str(Path(sys.executable).parent / command[0]), *command[1:]], check=True)
    reports = sorted((given.out / f"{given.source}-{given.profile}" / "tables" / "report").glob("*/report.json"))
    report = json.loads(reports[-1].read_text())
    shown = f"make run SOURCE={given.source} PROFILE={given.profile}" + (" DATA=<dir>" if given.data else "")
    result = {
        "name": f"first-run-{given.source}",
        "date": report["created"],
        "commit": report["git_commit"],
        "machine": report["machine"],
        "command": shown,
        "rows": rows_of(report),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{result['name']}.json").write_text(json.dumps(result, indent=2) + "\n")
    (RESULTS / f"{result['name']}.md").write_text(table_of(result))
    print(f"wrote {RESULTS / result['name']}.json and .md")


if __name__ == "__main__":
    main()
