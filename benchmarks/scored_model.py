"""The advertiser LLM that the scoring benchmarks run: trained on amazon14's validation fold, kept in --cache."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.amazon14 import VALIDATION, read_fold
from benchmarks.harness import Row, write_results
from ml.contexts.stream import TrainingExamples
from ml.llm import checkpoint
from ml.llm.base_model import fetch_base_model
from ml.llm.predictor import LLMPredictor
from ml.llm.settings import LLMSettings
from ml.llm.train import train


def arguments(description: str) -> argparse.ArgumentParser:
    """The options that all of them have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, required=True, help="directory of amazon14")
    parser.add_argument("--cache", type=Path, default=Path("var/amazon14"))
    parser.add_argument("--base-models", type=Path, default=Path("var/base_models"))
    parser.add_argument("--checkpoint", type=Path, help="a trained model of the same fold; default: train one, once")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="few users, one round: does it run?")
    parser.add_argument("--to", type=Path, help="where results are written; default docs/results, with --quick nowhere")
    return parser


def examples_of(given: argparse.Namespace) -> TrainingExamples:
    return read_fold(given.data, VALIDATION, given.cache).examples


def trained(given: argparse.Namespace, examples: TrainingExamples, base_model: str) -> LLMPredictor:
    """A loaded predictor of default settings, or of a few thousand tokens if it shall be quick or tiny."""
    few = given.quick or base_model == "tiny"
    settings = LLMSettings(base_model=base_model, dtype=given.dtype, device="cpu", threads=given.threads)
    settings = settings.model_copy(update={"train_tokens": 8_000}) if few else settings
    base = fetch_base_model(base_model, given.base_models)
    work = given.cache / f"scored-{base_model}-{given.dtype}-{settings.train_tokens}"
    if given.checkpoint and base_model != "tiny":
        work = given.checkpoint
    elif not checkpoint.is_complete(work):
        work.mkdir(parents=True, exist_ok=True)
        train(examples, base, settings, seed=0, work=work)
    return LLMPredictor.load(work, base, model_version=work.name, settings=settings)


def finish(given: argparse.Namespace, name: str, rows: list[Row], notes: str) -> None:
    """Print the rows, and write them unless it was a quick try."""
    for row in rows:
        print(row)
    if not given.quick or given.to:
        where: dict[str, Any] = {"to": given.to} if given.to else {}
        command = f"python -m benchmarks.{name.replace('-', '_')} --data <amazon14>"
        write_results(name, rows, command=command, notes=notes, **where)
