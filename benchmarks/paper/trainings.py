"""Trainings for all methods, with the same cases and, except for one row, the same T."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import time

from napari_bayes_nnunet.app.training.process import command_arguments
from napari_bayes_nnunet.app.training.request import PRESETS as TRAINING_PRESETS
from napari_bayes_nnunet.app.training.request import TrainingRequest
from napari_bayes_nnunet.core.command import BAYES_NNUNET
from napari_bayes_nnunet.core.ensemble.schedule import RestartSchedule, Shape
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record
from napari_bayes_nnunet.io.files.atomic import write_json

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
    """One training: kind, seed, schedule of the learning rate, and dropout."""

    kind: str
    seed: int
    schedule: RestartSchedule
    dropout: float | None = None

    @property
    def epochs(self) -> int:
        """Number of epochs."""
        return self.schedule.epochs

    def folder(self, output: Path) -> Path:
        """Return the run folder; the trainings of a kind share a parent and can be read as one."""
        return output / "trainings" / self.kind / f"seed{self.seed}"

    def request(
        self, dataset: Path, output: Path, split: Path, *, preset: Preset, device: str
    ) -> TrainingRequest:
        """Return the request that starts the training, or resumes it."""
        run = RunFolder(self.folder(output))
        if run.record.exists():
            return TrainingRequest(dataset=dataset, output=run.path, device=device, resume=True)
        return TrainingRequest(
            dataset=dataset,
            output=run.path,
            preset=preset.name,  # type: ignore[arg-type]
            schedule=self.schedule,
            selection=TRAINING_PRESETS[preset.name].selection,
            iterations_per_epoch=preset.iterations,
            dropout=self.dropout,
            split=split,
            device=device,
            seed=self.seed,
            keep_trajectory=True,
        )


def trainings(preset: Preset) -> list[Training]:
    """Return all trainings, starting with those that most rows need."""
    plain = replace(TRAINING_PRESETS[preset.name].schedule, epochs=preset.epochs)

    def shaped(shape: Shape, *, cycles: int = 3, epochs: int = preset.epochs) -> RestartSchedule:
        return replace(plain, shape=shape, cycles=cycles, epochs=epochs)

    poly = shaped("poly", cycles=1)
    fifth = shaped("poly", cycles=1, epochs=preset.epochs // DEEP)
    restarts = shaped("restarts")
    return [
        Training(kind="restarts", seed=1, schedule=restarts),
        Training(kind="poly", seed=1, schedule=poly),
        Training(kind="dropout", seed=1, schedule=poly, dropout=0.1),
        Training(kind="cosine", seed=1, schedule=shaped("cosine")),
        *(Training(kind="poly", seed=s, schedule=poly) for s in range(2, DEEP + 1)),
        *(Training(kind="short", seed=s, schedule=fifth) for s in range(1, DEEP + 1)),
        *(Training(kind="restarts", seed=s, schedule=restarts) for s in range(2, preset.seeds + 1)),
    ]


def write_split(split: Path, file: Path) -> list[str]:
    """Write the split of the trainings, and return the validation cases for the evaluation.

    The trainings get only four of these cases, for their curves, because a training ends by
    segmenting every validation case with many members, which no row needs.
    """
    (fold,) = json.loads(split.read_text(encoding="utf-8"))
    held_back: list[str] = fold["val"]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, [{"train": fold["train"], "val": held_back[:4]}])
    return held_back


def is_finished(training: Training, output: Path) -> bool:
    """Return whether all epochs of the training are done."""
    run = RunFolder(training.folder(output))
    final = run.fold("0") / "checkpoint_final.pth"
    if not final.exists():
        return False
    record = read_record(run.record)
    return record.is_complete("0") and record.schedule.epochs == training.epochs


def finished_epochs(run: Path) -> list[float]:
    """Return the seconds of every finished epoch of a training, in their order."""
    progress = RunFolder(run).progress
    if not progress.exists():
        return []
    lines = progress.read_text(encoding="utf-8", errors="replace").splitlines()
    return [message["seconds"] for message in _messages(lines) if message.get("kind") == "epoch"]


def _messages(lines: Sequence[str]) -> Iterator[dict]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:  # cut short by a kill
            continue


def preprocessed_run(output: Path, preset: Preset) -> RunFolder | None:
    """Return a training whose cases are preprocessed, None if there is none.

    Its record is written after its preprocessed data, which do not change from then on.
    """
    runs = (RunFolder(training.folder(output)) for training in trainings(preset))
    return next((run for run in runs if run.record.exists() and run.workspace.exists()), None)


def share_preprocessing(training: Training, output: Path, preset: Preset) -> None:
    """Link the preprocessed data of another training, which has the same cases."""
    target = RunFolder(training.folder(output))
    source = preprocessed_run(output, preset)
    if source is None or target.workspace.exists():
        return
    target.path.mkdir(parents=True, exist_ok=True)
    linked = target.path.with_name(f"{target.path.name}-linked")
    shutil.rmtree(linked, ignore_errors=True)
    shutil.copytree(source.workspace, linked, copy_function=os.link)
    linked.replace(target.workspace)  # at once, so that a kill leaves all of them or none


def train_once(
    training: Training,
    request: TrainingRequest,
    output: Path,
    *,
    threads: int | None = None,
    command: Sequence[str] = BAYES_NNUNET,
) -> None:
    """Run a training in a process of its own, with ``threads`` of a CPU."""
    log = output / "trainings" / f"{training.kind}-{training.seed}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time()
    with log.open("a", encoding="utf-8") as file:
        done = subprocess.run(
            [*command, "train", "--jsonl", *command_arguments(request)],
            stdout=file,
            stderr=file,
            env={**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})},
            check=False,
        )
    minutes = (time() - started) / 60
    name = f"{training.kind}, seed {training.seed}"
    print(f"{name}: exit code {done.returncode} after {minutes:.1f} min", flush=True)
