"""Times that a reader feels, as the benchmarks measure them that exist for each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

MEASURED: Final = {
    "docks": ("benchmarks.startup", "--times", "5"),
    "keys": ("benchmarks.review_latency", "--presses", "20"),
}
ROOT = Path(__file__).parents[2]


def record(out: Path) -> None:
    """Write a text for each measurement."""
    out.mkdir(parents=True, exist_ok=True)
    for name, command in MEASURED.items():
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=True
        )
        (out / f"{name}.txt").write_text(done.stdout, encoding="utf-8")
