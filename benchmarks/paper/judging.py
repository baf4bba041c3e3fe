"""Evaluation of every row on every case, with one pass per network for all rows that use it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from tqdm import tqdm

from napari_bayes_nnunet.app.evaluation.case import evaluate_case
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.methods import (
    METHODS,
    ForwardPass,
    choose_members,
    make_passes,
)
from napari_bayes_nnunet.app.segmentation.result import MemberStatistics
from napari_bayes_nnunet.core.ensemble.posterior import RunningPosterior
from napari_bayes_nnunet.core.heart.structures import match_structure
from napari_bayes_nnunet.core.metrics.overlap import PairwiseDice
from napari_bayes_nnunet.io.ensemble.ensemble_folder import EnsembleFolder, Member
from napari_bayes_nnunet.io.files.atomic import null_for_nan
from napari_bayes_nnunet.io.images.nifti import read_channels, read_labels

from ..results import append_row, read_rows
from .rows import Row
from .rv_slices import rv_slices
from .shifts import SHIFTS, UNSHIFTED
from .stored_cases import case_to_json
from .trainings import Training

OTHERS = "patients of other data sets"
"""Key of the temperature that was fitted on all patients."""
FAILED_CASES = "All cases were evaluated except:"


@dataclass(frozen=True)
class Case:
    """Image with its reference; ``condition`` names the shift or the dataset.

    ``structures`` has the labels of the model, ``numbers`` those of the reference that differ, by
    the same names. If the reference ``is_partly_drawn``, only the slices with labels count.
    ``groups`` are written with the results.
    """

    condition: str
    name: str
    patient: str
    image: Path
    label: Path
    structures: dict[str, int]
    numbers: Mapping[str, int] = field(default_factory=dict)
    is_partly_drawn: bool = False
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class RowStatistics(MemberStatistics):
    """Statistics of a case, with the agreement of the members ``within`` each mode."""

    within: dict[Hashable, PairwiseDice] = field(default_factory=dict)

    def add_of_mode(self, probabilities: np.ndarray, mode: Hashable) -> None:
        """Add one member's (C, Z, Y, X) probabilities; its mode is, for example, its cycle."""
        labels = self.add(probabilities)
        self.within.setdefault(mode, PairwiseDice(self.structures)).add(labels)

    def diversity(self) -> dict[str, dict[str, float]]:
        """Return the mean Dice of each structure over the pairs within and between modes."""
        every, found = math.comb(self.agreement.count, 2), {}
        same = sum(math.comb(pairs.count, 2) for pairs in self.within.values())
        for name, mean in self.agreement.mean().items():
            within = sum(
                math.comb(pairs.count, 2) * pairs.mean()[name]
                for pairs in self.within.values()
                if pairs.count > 1
            )
            found[name] = {
                "within": within / same if same else math.nan,
                "between": (every * mean - within) / (every - same) if every > same else math.nan,
            }
        return found


@dataclass(frozen=True)
class Task:
    """One case, the rows of one folder of trainings, and their fitted temperatures by name."""

    case: Case
    folder: Path
    rows: tuple[Row, ...]
    mirroring: str
    device: str
    fitted: Mapping[str, float] = field(default_factory=dict)


def file_of(output: Path, condition: str, row: Row) -> Path:
    """Return the JSON Lines file with a row's cases under one condition."""
    return output / "rows" / condition / f"{row.name}.jsonl"


def judge(
    cases: Sequence[Case],
    rows: Sequence[Row],
    output: Path,
    *,
    mirroring: str,
    device: str,
    processes: int,
    temperatures: Mapping[str, Mapping[str, float]],
) -> None:
    """Evaluate the missing rows of every case, and write each as soon as it is finished.

    ``temperatures`` has the fitted τ by name of the row and patient, and that of `OTHERS`. Rows
    whose τ is not fitted yet are left out.
    """
    rows = [row for row in rows if not row.is_fitted or row.name in temperatures]
    tasks = [
        replace(task, fitted=_of_patient(temperatures, task.case.patient))
        for task in missing_tasks(cases, rows, output, output, mirroring, device)
    ]
    evaluate_tasks(tasks, judge_case, output, processes, "Evaluating")


def evaluate_tasks(
    tasks: Sequence[Task],
    work: Callable[[Task], list[tuple[Row, dict[str, Any]]]],
    kept: Path,
    processes: int,
    description: str,
) -> None:
    """Call ``work`` for every task, and append its lines to the files of the rows in ``kept``.

    Raises SystemExit at the end with the cases that could not be evaluated.
    """
    if not tasks:
        return
    failures = []
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _set_up, (processes,))
    waiting = {pool.submit(work, task): task for task in tasks}
    try:
        for done in tqdm(as_completed(waiting), total=len(tasks), desc=description, unit="task"):
            task = waiting[done]
            if error := done.exception():
                name = f"{task.case.condition}/{task.case.name} by {task.folder.name}"
                failures.append(f"{name}: {type(error).__name__}: {error}")
                continue
            for row, line in done.result():
                append_row(file_of(kept, task.case.condition, row), line)
    finally:  # nobody writes what is evaluated after Ctrl-C, or on a full disk
        pool.shutdown(cancel_futures=True)
    if failures:
        sys.exit("\n".join([FAILED_CASES, *failures]))


def judge_case(task: Task) -> list[tuple[Row, dict[str, Any]]]:
    """Evaluate the rows of one folder on one case."""
    reference = read_reference(task.case)
    return [
        (row, _line(task.case, statistics, reference, is_short=row.group == "cycles"))
        for row, statistics in row_statistics(task).items()
    ]


def read_reference(case: Case) -> np.ndarray:
    """Return the (Z, Y, X) labels of a case, numbered as the model's; other labels become 0."""
    labels = read_labels(case.label).voxels
    reference = np.zeros(labels.shape, np.uint8)
    for name, number in case.structures.items():
        reference[labels == case.numbers.get(name, number)] = number
    return reference


def judged_slices(case: Case, reference: np.ndarray) -> np.ndarray:
    """Return the slices that count."""
    if case.is_partly_drawn:
        return np.flatnonzero(reference.any(axis=(1, 2)))
    return np.arange(len(reference))


def row_members(folder: EnsembleFolder, row: Row) -> Sequence[Member]:
    """Return the members of a row, in the order of the folder."""
    if row.epochs:
        return [member for member in folder.usable_members if member.epoch in row.epochs]
    return choose_members(folder, row.method, row.members)


def row_statistics(task: Task) -> dict[Row, RowStatistics]:
    """Return the statistics of the case over the members of each row."""
    ensemble = _ensemble(task.folder, task.device)
    image, spacing = _image(task.case)
    passes_of = {
        row: make_passes(
            row_members(ensemble.folder, row),
            METHODS[row.method].combine,
            mirroring=task.mirroring,
        )
        for row in task.rows
    }
    wanted = list(
        dict.fromkeys(forward_pass for passes in passes_of.values() for forward_pass in passes)
    )
    probabilities = _probabilities(ensemble, image, spacing, wanted, task.mirroring)
    statistics = {}
    for row, passes in passes_of.items():
        temperature = (
            task.fitted.get(row.name, 1.0) if row.is_fitted else METHODS[row.method].temperature
        )
        statistics[row] = RowStatistics(
            structures=ensemble.structures,
            spacing=spacing,
            posterior=RunningPosterior(temperature=temperature),
        )
        for forward_pass in passes:
            member = forward_pass.members[-1]
            mode = member.training, member.fold, member.cycle
            statistics[row].add_of_mode(probabilities[forward_pass], mode)
    return statistics


def missing_tasks(
    cases: Sequence[Case],
    rows: Sequence[Row],
    output: Path,
    kept: Path,
    mirroring: str,
    device: str,
) -> Iterator[Task]:
    """Yield a task for every case and folder of trainings with rows that ``kept`` has no line of.

    ``output`` has the trainings.
    """
    done = {
        (condition, row.name): {case for case, _ in read_lines(file_of(kept, condition, row))}
        for condition in {case.condition for case in cases}
        for row in rows
    }
    for case in cases:
        by_folder: dict[str, list[Row]] = {}
        for row in rows:
            if not row.is_judged_under(case.condition):
                continue
            if case.name not in done[case.condition, row.name]:
                by_folder.setdefault(row.folder, []).append(row)
        for folder, missing in by_folder.items():
            trainings = output / "trainings" / folder
            yield Task(case, trainings, tuple(missing), mirroring, device)


def needed_trainings(
    planned: Iterable[Training], cases: Sequence[Case], rows: Sequence[Row], output: Path
) -> list[Training]:
    """Return the trainings of rows that are not judged on all cases; no others need weights.

    Those with SGHMC are left out, because they cannot be trained any more.
    """
    possible = [training for training in planned if training.posterior_temperature is None]
    tasks = missing_tasks(cases, rows, output, output, mirroring="", device="")
    missing = {row for task in tasks for row in task.rows}
    return [training for training in possible if any(row.uses(training) for row in missing)]


def read_lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield case name and content of every line, except damaged ones, as of a kill."""
    for content in read_rows(file):
        yield content.get("evaluation", content)["case"], content


def _of_patient(temperatures: Mapping[str, Mapping[str, float]], patient: str) -> dict[str, float]:
    return {row: of_row.get(patient, of_row[OTHERS]) for row, of_row in temperatures.items()}


def _set_up(processes: int) -> None:
    """Limit the threads of a new process, and let it end with the command, even if that is killed.

    Otherwise it would wait for ever for another case, and keep its memory on the GPU.
    """
    import torch

    from napari_bayes_nnunet.nnunet.fork_guard import be_killed_with_parent

    be_killed_with_parent()
    if processes > 1:  # more threads are slower on small images
        torch.set_num_threads(1)


@lru_cache(maxsize=8)
def _ensemble(folder: Path, device: str) -> Ensemble:
    return Ensemble(folder, device=device)  # in the precision of `predict`


def _image(case: Case) -> tuple[np.ndarray, tuple[float, float, float]]:
    volume = read_channels(case.image)[0]
    shift = next((shift for shift in SHIFTS if shift.name == case.condition), SHIFTS[0])
    rng = np.random.default_rng(crc32(f"{case.condition} {case.name}".encode()))
    return shift.apply(volume.voxels.astype(np.float32), rng), volume.spacing


def _probabilities(
    ensemble: Ensemble,
    image: np.ndarray,
    spacing: Any,
    passes: Sequence[ForwardPass],
    mirroring: str,
) -> dict[ForwardPass, np.ndarray]:
    softmax = ensemble.pass_probabilities(image, spacing, passes, mirroring=mirroring)
    pairs = zip(passes, softmax, strict=True)
    return {forward_pass: np.asarray(p.cpu()) for forward_pass, p in pairs}


def _line(
    case: Case, statistics: RowStatistics, reference: np.ndarray, *, is_short: bool
) -> dict[str, Any]:
    """Return the results of a row, or, if it ``is_short``, only those of its labels."""
    labels = statistics.measure(RunningPosterior.labels)
    kept = judged_slices(case, reference)
    evaluate = partial(
        evaluate_case,
        case=case.name,
        patient=case.patient,
        labels=labels[kept],
        reference=reference[kept],
        spacing=statistics.spacing,
        structures=case.structures,
        groups={**case.groups, "shift": case.condition},
    )
    if is_short:
        return {"evaluation": case_to_json(evaluate())}
    entropy, probabilities = (
        statistics.measure(RunningPosterior.total_entropy),
        statistics.measure(RunningPosterior.mean),
    )
    evaluation = evaluate(
        probabilities=probabilities[:, kept],
        maps={
            "entropy": entropy[kept],
            "mutual-information": statistics.measure(RunningPosterior.mutual_information)[kept],
        },
        pairwise_dice=statistics.agreement.mean(),
        detects_errors=case.condition == UNSHIFTED,  # the only condition with a table of it
    )
    line: dict[str, Any] = {
        "evaluation": case_to_json(evaluation),
        "diversity": null_for_nan(statistics.diversity()),
    }
    rv, lv = (match_structure(name, case.structures) for name in ("RV", "LV"))
    if rv and lv:
        slices = rv_slices(
            *(labels, entropy, probabilities[case.structures[rv]], reference, statistics.spacing),
            rv=case.structures[rv],
            lv=case.structures[lv],
        )
        line["rv_slices"] = [asdict(rv_slice) for rv_slice in slices]
    return line
