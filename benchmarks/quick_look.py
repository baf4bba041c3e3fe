"""Time from the start of a Quick look to its first epoch.

python -m benchmarks.quick_look DATASET [--times 5]   (20 s each)

Each time the command of the dock starts in a new process, plans and preprocesses the dataset again,
and is killed after the first epoch. DATASET is a raw dataset of nnU-Net with at most 16 cases,
which are preprocessed without further processes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median


def first_epoch(dataset: Path) -> float:
    """Return the seconds until the command reports its first epoch."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        command = [sys.executable, "-m", "napari_bayes_nnunet", "train", dataset]
        options = ["--output", f"{folder}/run", "--preset", "quick", "--device", "cpu", "--jsonl"]
        with subprocess.Popen([*command, *options], stdout=subprocess.PIPE) as training:
            assert training.stdout is not None
            try:
                for line in training.stdout:
                    if json.loads(line)["kind"] == "epoch":
                        return time.perf_counter() - started
            finally:
                training.kill()
    raise SystemExit("The training ended before its first epoch.")


def main() -> None:
    """Print the times of a dataset."""
    parser = argparse.ArgumentParser(description="Time a Quick look up to its first epoch.")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--times", type=int, default=5)
    arguments = parser.parse_args()
    seconds = sorted(first_epoch(arguments.dataset) for _ in range(arguments.times))
    print("first epoch after", ", ".join(f"{value:.1f}" for value in seconds), "s")
    print(f"median {median(seconds):.1f} s")


if __name__ == "__main__":
    main()
