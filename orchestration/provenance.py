"""Where figures come from: the commit of this checkout and the machine that computed."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parent.parent


@cache
def git_commit() -> str:
    """Short commit of this checkout, with a + if it has local changes; "unknown" outside one."""
    return _git("describe", "--always", "--dirty=+") or "unknown"


@cache
def full_commit() -> str | None:
    """All of the commit's hash; None outside a checkout."""
    return _git("rev-parse", "HEAD")


def machine() -> dict[str, Any]:
    """What the figures were made on."""
    cpu, flags = _processor()
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "bf16_matrix_units": "amx_bf16" in flags.split(),
        "gpu": _gpu(),
    }


def machine_name() -> str:
    """The machine in a few words, such as "Intel(R) Xeon(R), 2 cores, 24 GB"."""
    memory = round(psutil.virtual_memory().total / 2**30)
    return f"{_processor()[0]}, {len(os.sched_getaffinity(0))} cores, {memory} GB"


def _processor() -> tuple[str, str]:
    """Its name, and the flags of what it can do."""
    cpu, info = platform.processor() or "unknown", Path("/proc/cpuinfo")
    if not info.exists():
        return cpu, ""
    lines = dict(line.split(":", 1) for line in info.read_text().split("\n\n")[0].splitlines() if ":" in line)
    values = {key.strip(): value.strip() for key, value in lines.items()}
    return values.get("model name", cpu), values.get("flags", "")


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
