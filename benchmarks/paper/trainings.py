"""Trainings for all methods and ablations, with the same cases and, but for one row, the same T."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import time

from napari_bayes_nnunet.app.messages import EpochDone
from napari_bayes_nnunet.app.training.process import command_arguments
from napari_bayes_nnunet.app.training.progress import messages_in, progress_of
from napari_bayes_nnunet.app.training.request import TrainingRequest, has_begun
from napari_bayes_nnunet.core.choices import DropoutPlacement
from napari_bayes_nnunet.core.command import BAYES_NNUNET
from napari_bayes_nnunet.core.ensemble.schedule import RestartSchedule
from napari_bayes_nnunet.core.ensemble.training_settings import PRESETS as TRAINING_PRESETS
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset.raw_dataset import read_splits, splits_to_json
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record
from napari_bayes_nnunet.io.files.atomic import write_json

DEEP = 5
"""Number of trainings in a deep ensemble, as in the paper."""
POSTERIOR_TEMPERATURES = (1.0, 0.01)
"""Those of SGHMC; the trainings with restarts have 0."""
DROPOUT: dict[str, DropoutPlacement] = {"dropout": "everywhere", "dropout-encoder": "encoder"}
OVER_CYCLE = "over-tc"
SEED_ROWS = ("restarts", "poly")
"""Kinds whose seeds show the randomness of training, and whose trajectories are kept."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Size of the experiment; ``name`` is the preset of ``bayes-nnunet train``.

    Every training has ``epochs`` (T) of ``iterations``. The spread of the ``seeds`` trainings with
    restarts shows the randomness of training. Each ablation has ``ablation_seeds``, and so has
    SGHMC one if there are any. Under shift, ``shifted`` frames are evaluated: "all", or "ES", which
    has the smaller RV.
    """

    name: str
    epochs: int
    iterations: int
    seeds: int
    mirroring: str
    shifted: str
    ablation_seeds: int = 0


PRESETS = {
    "cpu": Preset(
        name="tiny",
        epochs=600,
        iterations=25,
        seeds=3,
        mirroring="none",
        shifted="ES",
        ablation_seeds=2,
    ),
    "paper": Preset(
        name="paper", epochs=1200, iterations=250, seeds=3, mirroring="full", shifted="all"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training: kind, seed, schedule of the learning rate, dropout, and noise of SGHMC.

    Trainings with SGHMC, whose results are kept, need the commit a0d44c70.
    """

    kind: str
    seed: int
    schedule: RestartSchedule
    dropout: float | None = None
    dropout_placement: DropoutPlacement | None = None
    posterior_temperature: float | None = None

    @property
    def name(self) -> str:
        """Name in messages and tables."""
        return f"{self.kind}, seed {self.seed}"

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
        """Return the request that starts the training, or resumes it if its weights are there."""
        run = RunFolder(self.folder(output))
        if has_begun(run, "0"):
            return TrainingRequest(dataset=dataset, output=run.path, device=device, resume=True)
        return TrainingRequest(
            dataset=dataset,
            output=run.path,
            preset=preset.name,  # type: ignore[arg-type]
            schedule=self.schedule,
            selection=TRAINING_PRESETS[preset.name].selection,
            iterations_per_epoch=preset.iterations,
            dropout=self.dropout,
            dropout_placement=self.dropout_placement,
            split=split,
            device=device,
            seed=self.seed,
            keep_trajectory=self.kind in SEED_ROWS,
        )


def trainings(preset: Preset) -> list[Training]:
    """Return all trainings, starting with those that most rows need."""
    restarts = replace(TRAINING_PRESETS[preset.name].schedule, epochs=preset.epochs, cycles=3)
    poly = replace(restarts, shape="poly", cycles=1)
    cosine = replace(restarts, shape="cosine")
    fifth = replace(poly, epochs=preset.epochs // DEEP)
    return [
        *(Training(kind="restarts", seed=s, schedule=restarts) for s in range(1, preset.seeds + 1)),
        *(Training(kind="poly", seed=s, schedule=poly) for s in range(1, DEEP + 1)),
        *(
            Training(kind=kind, seed=1, schedule=poly, dropout=0.1, dropout_placement=placement)
            for kind, placement in DROPOUT.items()
        ),
        Training(kind="cosine", seed=1, schedule=cosine),
        *(Training(kind="short", seed=s, schedule=fifth) for s in range(1, DEEP + 1)),
        *_sghmc(restarts, preset),
        *(
            Training(kind=kind, seed=seed, schedule=schedule)
            for seed in range(1, preset.ablation_seeds + 1)
            for kind, schedule in _ablations(restarts).items()
            if seed == 1 or kind != OVER_CYCLE
        ),
    ]


def _sghmc(restarts: RestartSchedule, preset: Preset) -> Iterator[Training]:
    for temperature in POSTERIOR_TEMPERATURES if preset.ablation_seeds else ():
        kind = f"sghmc-{temperature:g}"
        yield Training(kind=kind, seed=1, schedule=restarts, posterior_temperature=temperature)


def _ablations(restarts: RestartSchedule) -> dict[str, RestartSchedule]:
    """Return the schedules that differ from the paper's in one value, by kind."""
    return {
        "gamma-0.5": replace(restarts, gamma=0.5),
        "restart-0.01": replace(restarts, restart_lr=restarts.initial_lr),
        "cycles-1": replace(restarts, cycles=1),
        "cycles-5": replace(restarts, cycles=5),
        OVER_CYCLE: replace(restarts, decay_over="Tc"),
    }


Fold = dict[str, list[str]]
"""Cases for "train" and "val"."""


def read_split(file: Path, cases: Sequence[str]) -> Fold:
    """Return the only fold of a split.

    Raises DataError if there are several, or if it does not fit the ``cases`` of the dataset.
    """
    folds = splits_to_json(read_splits(file, cases))
    if len(folds) != 1:
        raise DataError("{file} has several folds. Choose a split with one.", file=file)
    return folds[0]


def write_split(fold: Fold, file: Path) -> None:
    """Write the split of the trainings.

    They get only four of the validation cases, for their curves, because a training ends by
    segmenting every validation case with many members, which no row needs.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, [{"train": fold["train"], "val": fold["val"][:4]}])


def record_of(output: Path) -> Path:
    """Return the file with the preset, cases and split of an experiment."""
    return output / "experiment.json"


def has_ended(training: Training, output: Path) -> bool:
    """Return whether all epochs of the training are done; its weights may be deleted since."""
    run = RunFolder(training.folder(output))
    if not run.record.exists():
        return False
    record = read_record(run.record)
    return record.is_complete("0") and record.schedule.epochs == training.epochs


def is_finished(training: Training, output: Path) -> bool:
    """Return whether all epochs of the training are done, and its weights are there."""
    final = RunFolder(training.folder(output)).fold("0") / "checkpoint_final.pth"
    return final.exists() and has_ended(training, output)


def finished_epochs(run: Path) -> tuple[EpochDone, ...]:
    """Return the finished epochs of a training, each as it was trained last.

    A training that was killed repeats the epochs after its last checkpoint.
    """
    progress = RunFolder(run).progress
    if not progress.exists():
        return ()
    return progress_of(messages_in(progress.read_bytes())).reports_of.get("0", ())


def preprocessed_run(output: Path, preset: Preset) -> RunFolder | None:
    """Return a training whose cases are preprocessed, None if there is none.

    Its record is written after its preprocessed data, which do not change from then on.
    """
    runs = (RunFolder(training.folder(output)) for training in trainings(preset))
    return next((run for run in runs if run.record.exists() and run.workspace.exists()), None)


def share_preprocessing(training: Training, output: Path, preset: Preset) -> None:
    """Link the preprocessed data of another training, which has the same cases.

    They are copied to a drive without hard links.
    """
    target = RunFolder(training.folder(output))
    source = preprocessed_run(output, preset)
    if source is None or target.workspace.exists():
        return
    target.path.mkdir(parents=True, exist_ok=True)
    linked = target.path.with_name(f"{target.path.name}-linked")
    shutil.rmtree(linked, ignore_errors=True)
    shutil.copytree(source.workspace, linked, copy_function=_link_or_copy)
    linked.replace(target.workspace)  # at once, so that a kill leaves all of them or none


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def train_once(
    training: Training,
    request: TrainingRequest,
    output: Path,
    *,
    threads: int | None = None,
    command: Sequence[str] = BAYES_NNUNET,
) -> int:
    """Run a training in a process of its own, with ``threads`` of a CPU; return its exit code."""
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
    why = f". Its messages are in {log}" if done.returncode else ""
    print(f"{training.name}: exit code {done.returncode} after {minutes:.1f} min{why}", flush=True)
    return done.returncode
