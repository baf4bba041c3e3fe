"""Trainings for all methods, with the same cases and, except for one row, the same T."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import time

from napari_bayes_nnunet.core.command import BAYES_NNUNET
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record

DEEP = 5
"""Number of trainings in a deep ensemble, as in the paper."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Size of the experiment; ``name`` is the preset of ``bayes-nnunet train``.

    Every training has ``epochs`` (T) of ``iterations``. The spread of the ``seeds`` trainings with
    restarts shows the randomness of training. Under shift, ``shifted`` frames are evaluated: "all",
    or "ES", which has the smaller RV.
    """

    name: str
    epochs: int
    iterations: int
    seeds: int
    mirroring: str
    shifted: str


PRESETS = {
    "cpu": Preset(name="tiny", epochs=150, iterations=30, seeds=2, mirroring="none", shifted="ES"),
    "paper": Preset(
        name="paper", epochs=1200, iterations=250, seeds=3, mirroring="full", shifted="all"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training: kind, seed, flags of ``bayes-nnunet train`` and epochs."""

    kind: str
    seed: int
    flags: tuple[str, ...]
    epochs: int

    def folder(self, output: Path) -> Path:
        """Return the run folder; the trainings of a kind share a parent and can be read as one."""
        return output / "trainings" / self.kind / f"seed{self.seed}"


def trainings(preset: Preset) -> list[Training]:
    """Return all trainings, starting with those that most rows need."""
    full, fifth = preset.epochs, preset.epochs // DEEP
    poly = ("--schedule", "poly")
    kinds = [
        (1, "restarts", ("--schedule", "restarts"), full),
        (1, "poly", poly, full),
        (1, "dropout", (*poly, "--dropout", "0.1"), full),
        (1, "cosine", ("--schedule", "cosine", "--cycles", "3"), full),
        *((seed, "poly", poly, full) for seed in range(2, DEEP + 1)),
        *((seed, "short", poly, fifth) for seed in range(1, DEEP + 1)),
        *((s, "restarts", ("--schedule", "restarts"), full) for s in range(2, preset.seeds + 1)),
    ]
    return [Training(kind=k, seed=s, flags=f, epochs=e) for s, k, f, e in kinds]


def write_split(split: Path, file: Path) -> list[str]:
    """Write the split of the trainings, and return the validation cases for the evaluation.

    The trainings get only four of these cases, for their curves, because a training ends by
    segmenting every validation case with many members, which no row needs.
    """
    (fold,) = json.loads(split.read_text(encoding="utf-8"))
    held_back: list[str] = fold["val"]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([{"train": fold["train"], "val": held_back[:4]}]), encoding="utf-8")
    return held_back


def train_all(
    dataset: Path, output: Path, split: Path, *, preset: Preset, device: str, processes: int
) -> None:
    """Run every unfinished training, ``processes`` at a time, each in its own process.

    The first training runs alone, because the others link its preprocessed data.
    """

    def run(training: Training) -> None:
        if not is_finished(training, output):
            _share_preprocessing(training, output, preset)
            threads = "1" if processes > 1 else ""
            _train(training, dataset, output, split, preset=preset, device=device, threads=threads)

    first, *others = trainings(preset)
    run(first)
    with ThreadPoolExecutor(processes) as pool:
        list(pool.map(run, others))


def is_finished(training: Training, output: Path) -> bool:
    """Return whether all epochs of the training are done."""
    run = RunFolder(training.folder(output))
    final = run.fold("0") / "checkpoint_final.pth"
    if not final.exists():
        return False
    record = read_record(run.record)
    return record.is_complete("0") and record.schedule.epochs == training.epochs


def _share_preprocessing(training: Training, output: Path, preset: Preset) -> None:
    """Link the preprocessed data of a finished training, which has the same cases."""
    target = RunFolder(training.folder(output))
    others = (RunFolder(t.folder(output)) for t in trainings(preset))
    source = next((o for o in others if any(o.fold("0").glob("checkpoint_final.pth"))), None)
    if source is not None and not target.workspace.exists():
        shutil.copytree(source.workspace, target.workspace, copy_function=os.link)


def _train(
    training: Training,
    dataset: Path,
    output: Path,
    split: Path,
    *,
    preset: Preset,
    device: str,
    threads: str,
) -> None:
    run = RunFolder(training.folder(output))
    flags = [*training.flags, "--epochs", str(training.epochs), "--preset", preset.name]
    flags += ["--iterations-per-epoch", str(preset.iterations)]
    flags += ["--split", str(split), "--seed", str(training.seed), "--keep-trajectory"]
    if run.record.exists():
        flags = ["--resume"]
    command = [*BAYES_NNUNET, "train", str(dataset)]
    started = time()
    log = output / "trainings" / f"{training.kind}-{training.seed}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        done = subprocess.run(
            [*command, "--output", str(run.path), "--device", device, *flags, "--jsonl"],
            stdout=file,
            stderr=file,
            env={**os.environ, **({"OMP_NUM_THREADS": threads} if threads else {})},
            check=False,
        )
    minutes = (time() - started) / 60
    name = f"{training.kind}, seed {training.seed}"
    print(f"{name}: exit code {done.returncode} after {minutes:.1f} min", flush=True)
