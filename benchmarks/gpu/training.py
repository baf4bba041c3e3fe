"""Training at the paper's size, whose state leaves in parts of 16 MiB and returns from them.

python -m benchmarks.gpu.training OUT [--dataset FOLDER] [--device cuda] [--seconds 500] [--join]

Trains in OUT/work/run until the seconds are over, asks the training to stop after its epoch, and
splits what a continuation needs into OUT/state: the settings, the last checkpoint and the members,
without the preprocessed images. If OUT/work/run is missing, or with ``--join``, the run is joined
from OUT/state first. The command can be repeated, also on other machines, until all epochs are
done. ``python -m benchmarks.gpu.parts join OUT/state RUN`` makes a run folder of the state.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from statistics import median
from time import monotonic, sleep
from typing import Any

from napari_bayes_nnunet.core.command import BAYES_NNUNET
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder

from .model import made_hearts
from .parts import INDEX, join_parts, split_folder
from .piece import PieceOptions, card_name, parse_options
from .processes import running
from .progress import FAILED, FINISHED, add_row

SPLIT_SECONDS = 30
"""Seconds that are kept for the end of the epoch's files and for the parts."""
POLL_SECONDS = 0.2


def main(words: list[str] | None = None) -> int:
    """Train until the time is over, split the state, and keep a row on the epochs."""
    options = parse_options(__doc__, words)
    run, state = RunFolder(options.work / "run"), options.out / "state"
    options.work.mkdir(parents=True, exist_ok=True)
    joined = bring_back(run, state) if options.join or not run.path.exists() else 0
    before = read_epochs(run)
    code, started = train(run, options)
    new = read_epochs(run)[len(before) :]
    if not new or not saved_states(run):
        return code or FAILED
    stopped = monotonic()
    parts = split_folder(run.path, state, leave_out=is_left_out)
    row = {
        "kind": "training",
        "card": card_name(options.device),
        "joined_files": joined,
        **summary(new, seconds=stopped - started),
        "split_seconds": round(monotonic() - stopped, 1),
        "parts": len(parts),
        "largest_mib": round(max(part.stat().st_size for part in parts) / 2**20, 2),
        "all_mib": round(sum(part.stat().st_size for part in parts) / 2**20, 1),
    }
    add_row(options.out, row)
    print(row, flush=True)
    return FINISHED if code == 0 else FAILED


def bring_back(run: RunFolder, state: Path) -> int:
    """Replace the run by that of the parts, keep its preprocessed images; return the files.

    Nothing is done if there are no parts.
    """
    if not (state / INDEX).exists():
        return 0
    joining = run.path.with_name("joining")
    shutil.rmtree(joining, ignore_errors=True)
    files = join_parts(state, joining)
    if run.workspace.exists():
        run.workspace.rename(joining / run.workspace.name)
    shutil.rmtree(run.path, ignore_errors=True)
    joining.rename(run.path)
    return len(files)


def train(run: RunFolder, options: PieceOptions) -> tuple[int, float]:
    """Train until the piece ends or has made its epochs; return the exit code and the start."""
    size = options.size
    dataset = options.dataset or made_hearts(options.work / "hearts", size)
    command = [*BAYES_NNUNET, "train", str(dataset), "--output", str(run.path), "--jsonl"]
    command += ["--device", options.device]
    command += ["--resume"] if saved_states(run) else [*size.flags, "--seed", "1"]
    before, started, is_asked = len(read_epochs(run)), monotonic(), False
    with running(command) as process:
        while process.poll() is None:
            made = [epoch["seconds"] for epoch in read_epochs(run)[before:]]
            needed = SPLIT_SECONDS + max(made, default=0)
            is_over = options.seconds_left < needed or len(made) >= size.epochs
            if is_over and run.path.exists() and not is_asked:
                is_asked = True
                run.stop.touch()
            sleep(POLL_SECONDS)
    run.stop.unlink(missing_ok=True)  # it may have ended before it was asked
    return process.wait(), started


def read_epochs(run: RunFolder) -> list[dict[str, Any]]:
    """Return the reports of the epochs so far."""
    lines = run.progress.read_text(encoding="utf-8") if run.progress.exists() else ""
    complete = lines[: lines.rfind("\n") + 1].splitlines()
    return [row for line in complete if (row := json.loads(line))["kind"] == "epoch"]


def saved_states(run: RunFolder) -> list[Path]:
    """Return the checkpoints from which a training can continue."""
    return [*run.path.glob("fold_*/checkpoint_*.pth")]


def is_left_out(name: str) -> bool:
    """Return whether a continuation makes a file of the run again."""
    folder, _, _ = name.partition("/")
    return folder == "nnunet_data" or name in ("stop", "training.lock", "job.json")


def summary(epochs: list[dict[str, Any]], *, seconds: float) -> dict[str, Any]:
    """Return the numbers of a piece of training; the first epoch, which is slower, counts apart."""
    times = [epoch["seconds"] for epoch in epochs]
    return {
        "first_epoch": epochs[0]["epoch"],
        "last_epoch": epochs[-1]["epoch"],
        "seconds": round(seconds, 1),
        "start_seconds": round(seconds - sum(times), 1),
        "first_epoch_seconds": times[0],
        "epoch_seconds": round(median(times[1:] or times), 2),
        "members": sum(epoch["member"] for epoch in epochs),
        "memory_mb": round(max(epoch["memory_bytes"] for epoch in epochs) / 1e6),
        "train_loss": round(epochs[-1]["train_loss"], 4),
    }


if __name__ == "__main__":
    sys.exit(main())
