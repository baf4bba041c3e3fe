"""Every row on every case: each network looks once, whatever the number of rows it is part of."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from tqdm import tqdm

from napari_bayes_nnunet.app.evaluation.case import evaluate_case
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.forward_pass import ForwardPass, make_passes
from napari_bayes_nnunet.app.segmentation.member_statistics import MemberStatistics
from napari_bayes_nnunet.app.segmentation.methods import METHODS, choose_members
from napari_bayes_nnunet.core.ensemble.posterior import RunningPosterior
from napari_bayes_nnunet.io.images.nifti import read_channels, read_labels

from .rows import Row
from .rv_slices import rv_slices
from .shifts import SHIFTS

OTHERS = "patients of other data sets"
"""Whose temperature is the one that was fitted on all patients it could be fitted on."""


@dataclass(frozen=True)
class Case:
    """An image with its reference. ``condition`` names the shift, or the data set."""

    condition: str
    name: str
    patient: str
    image: Path
    label: Path
    structures: dict[str, int]


@dataclass(frozen=True)
class Task:
    """One case, rows of one folder of trainings, and the temperature of the row that fits one."""

    case: Case
    folder: Path
    rows: tuple[Row, ...]
    mirroring: str
    device: str
    fitted: float = 1.0


def file_of(output: Path, condition: str, row: Row) -> Path:
    """Where a row's cases of one condition are kept, one JSON line each."""
    return output / "rows" / condition / f"{row.name}.jsonl"


def judge(
    cases: Sequence[Case],
    rows: Sequence[Row],
    output: Path,
    *,
    mirroring: str,
    device: str,
    processes: int,
    temperatures: Mapping[str, float],
) -> None:
    """Judge what is missing; every row of every case is written as soon as it is known.

    ``temperatures``: patient, or `OTHERS` → τ of the row that fits one. What cannot be judged is
    named at the end, by SystemExit.
    """
    tasks = [
        replace(task, fitted=temperatures.get(task.case.patient, temperatures.get(OTHERS, 1)))
        for task in _missing(cases, rows, output, mirroring, device)
    ]
    if not tasks:
        return
    failures = []
    # Each process computes with one thread: more are slower on small images.
    with ProcessPoolExecutor(processes, get_context("spawn"), _begin, (processes,)) as pool:
        waiting = {pool.submit(run, task): task for task in tasks}
        for done in tqdm(as_completed(waiting), total=len(tasks), desc="Judging", unit="task"):
            task = waiting[done]
            if error := done.exception():
                name = f"{task.case.condition}/{task.case.name} by {task.folder.name}"
                failures.append(f"{name}: {type(error).__name__}: {error}")
                continue
            for row, line in done.result():
                file = file_of(output, task.case.condition, row)
                file.parent.mkdir(parents=True, exist_ok=True)
                _append(file, json.dumps(line))
    if failures:
        sys.exit("\n".join(["Could not be judged, all else was:", *failures]))


def _append(file: Path, line: str) -> None:
    """Add a line, on a line of its own even where a kill has cut the last one short."""
    with file.open("a+b") as stream:
        if stream.tell():
            stream.seek(-1, os.SEEK_END)
            if stream.read(1) != b"\n":
                stream.write(b"\n")
        stream.write(line.encode() + b"\n")


def run(task: Task) -> list[tuple[Row, dict[str, Any]]]:
    """Judge one case by the rows of one folder."""
    reference = read_labels(task.case.label).voxels
    return [(row, _line(task.case, tally, reference)) for row, tally in tallies(task).items()]


def tallies(task: Task) -> dict[Row, MemberStatistics]:
    """What every row says of the case."""
    ensemble = _ensemble(task.folder, task.device)
    image, spacing = _image(task.case)
    ways = {
        row: make_passes(
            choose_members(ensemble.folder, row.method, row.members),
            METHODS[row.method].combine,
            mirroring=task.mirroring,
        )
        for row in task.rows
    }
    wanted = list(dict.fromkeys(one for passes in ways.values() for one in passes))
    answers = _answers(ensemble, image, spacing, wanted, task.mirroring)
    found = {}
    for row, passes in ways.items():
        temperature = task.fitted if row.is_fitted else METHODS[row.method].temperature
        found[row] = MemberStatistics(
            structures=ensemble.structures,
            spacing=spacing,
            posterior=RunningPosterior(temperature=temperature),
        )
        for one in passes:
            found[row].add(answers[one])
    return found


def _missing(
    cases: Sequence[Case], rows: Sequence[Row], output: Path, mirroring: str, device: str
) -> Iterator[Task]:
    done = {
        (condition, row.name): {case for case, _ in read_lines(file_of(output, condition, row))}
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
            where = output / "trainings" / folder
            yield Task(case, where, tuple(missing), mirroring, device)


def read_lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and content of every whole line; one that a kill cut short is passed over."""
    if not file.exists():
        return
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            content = json.loads(line)
        except ValueError:
            continue
        yield content["evaluation"]["case"], content


def _begin(processes: int) -> None:
    import torch

    if processes > 1:
        torch.set_num_threads(1)


@lru_cache(maxsize=8)
def _ensemble(folder: Path, device: str) -> Ensemble:
    return Ensemble(folder, device=device, precision="full")


def _image(case: Case) -> tuple[np.ndarray, tuple[float, float, float]]:
    volume = read_channels(case.image)[0]
    shift = next((shift for shift in SHIFTS if shift.name == case.condition), SHIFTS[0])
    rng = np.random.default_rng(crc32(f"{case.condition} {case.name}".encode()))
    return shift.apply(volume.voxels.astype(np.float32), rng), volume.spacing


def _answers(
    ensemble: Ensemble,
    image: np.ndarray,
    spacing: Any,
    passes: Sequence[ForwardPass],
    mirroring: str,
) -> dict[ForwardPass, np.ndarray]:
    found = ensemble.pass_probabilities(image, spacing, passes, mirroring=mirroring)
    return {one: np.asarray(p.cpu()) for one, p in zip(passes, found, strict=True)}


def _line(case: Case, tally: MemberStatistics, reference: np.ndarray) -> dict[str, Any]:
    labels, entropy, probabilities = (
        tally.measure(RunningPosterior.labels),
        tally.measure(RunningPosterior.total_entropy),
        tally.measure(RunningPosterior.mean),
    )
    evaluation = evaluate_case(
        case=case.name,
        patient=case.patient,
        labels=labels,
        reference=reference,
        spacing=tally.spacing,
        structures=case.structures,
        probabilities=probabilities,
        entropy=entropy,
        mutual_information=tally.measure(RunningPosterior.mutual_information),
        pairwise_dice=tally.agreement.mean(),
        groups={"shift": case.condition},
    )
    line: dict[str, Any] = {"evaluation": evaluation.to_json()}
    if "RV" in case.structures:
        found = rv_slices(
            *(labels, entropy, probabilities[case.structures["RV"]], reference, tally.spacing),
            structures=case.structures,
        )
        line["rv_slices"] = [asdict(one) for one in found]
    return line
