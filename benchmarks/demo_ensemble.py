"""Evaluation of a run on its validation cases, and export of the members the package ships.

python -m benchmarks.demo_ensemble select RUN FOLDER CYCLES       (such as 4,5,6)
python -m benchmarks.demo_ensemble evaluate RUN DATASET RESULTS   (a folder; resumable)
python -m benchmarks.demo_ensemble table RESULTS
python -m benchmarks.demo_ensemble ship RUN RESULTS FOLDER

``select`` copies a run with the members of some cycles, to be judged and shipped like a run.

Dice on the original grid; ECE with 100 bins in the foreground box of the reference, pooled over the
volumes; whole image, full mirroring. τ is fitted on the other patients. 95 % intervals by
resampling patients.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_bayes_nnunet.app.segmentation.calibrate import mean_scores
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.methods import (
    METHODS,
    ForwardPass,
    choose_members,
    make_passes,
)
from napari_bayes_nnunet.app.segmentation.result import MemberStatistics
from napari_bayes_nnunet.core.ensemble.posterior import apply_temperature
from napari_bayes_nnunet.core.metrics.bootstrap import Estimate, bootstrap, mean_estimate
from napari_bayes_nnunet.core.metrics.calibration import (
    ReliabilityBins,
    fit_temperature,
    foreground_box,
    reliability_bins,
)
from napari_bayes_nnunet.core.metrics.overlap import dice
from napari_bayes_nnunet.io.dataset.patients import patient_of
from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase, read_dataset
from napari_bayes_nnunet.io.ensemble.ensemble_folder import Member, find_ensemble
from napari_bayes_nnunet.io.ensemble.run_folder import TrainingRecord, read_record, write_record
from napari_bayes_nnunet.io.images.nifti import read_labels

from . import command_line
from .held_back import read_image
from .results import markdown_table, with_interval

SHIPPED = "multi, n 9"
COMPARED = "single, n 10"
ROWS = {
    "vanilla": ("vanilla", 1),
    "SWA, n 10": ("swa", 10),
    "single, n 3": ("single", 3),
    COMPARED: ("single", 10),
    "multi, n 3": ("multi", 3),
    SHIPPED: ("multi", 9),
    "multi, n 30": ("multi", 30),
}
EVERY = 5
"""τ is fitted on every fifth voxel of the other patients."""


def select(run: Path, folder: Path, cycles: str) -> None:
    """Copy plans, record and the members of ``cycles``, counted from 1, into ``folder``."""
    numbers = {int(cycle) - 1 for cycle in cycles.split(",")}
    members = [member for member in find_ensemble(run).members if member.cycle in numbers]
    write_record(folder / "ensemble.json", _copy_members(run, members, folder))


def _copy_members(run: Path, members: Sequence[Member], folder: Path) -> TrainingRecord:
    """Copy plans and members into ``folder``; return the record of the run with these members."""
    record = read_record(run / "ensemble.json")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("plans.json", "dataset.json"):
        shutil.copyfile(run / name, folder / name)
    for member in members:
        target = folder / member.path.relative_to(run)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(member.path, target)
    files = {member.path.relative_to(run).as_posix() for member in members}
    for content in record.folds.values():
        content["members"] = [row for row in content["members"] if row["file"] in files]
    return record


def evaluate(run: Path, dataset: Path, results: Path) -> None:
    """Segment every validation case with every member; write scores and probabilities of each."""
    ensemble = Ensemble(run)
    (fold,) = read_record(run / "ensemble.json").folds.values()
    results.mkdir(parents=True, exist_ok=True)
    cases = [c for c in read_dataset(dataset).cases if c.name in fold["validation_cases"]]
    for case in cases:
        file = results / f"{case.name}.json"
        if not file.exists():
            row, arrays = evaluate_case(ensemble, case)
            np.savez(file.with_suffix(".npz"), **arrays)
            file.write_text(json.dumps(row), encoding="utf-8")
            print(case.name, row["seconds"], "s", flush=True)


def evaluate_case(
    ensemble: Ensemble, case: TrainingCase
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the scores of every row and member, and the probabilities around the reference."""
    started = perf_counter()
    image, spacing = read_image(case)
    reference = read_labels(case.label).voxels
    structures = ensemble.structures
    passes = {row: _passes(ensemble, *ROWS[row]) for row in ROWS}
    statistics = {row: MemberStatistics(structures=structures, spacing=spacing) for row in ROWS}
    members: dict[str, Any] = {}
    wanted = list(dict.fromkeys(p for of_row in passes.values() for p in of_row))
    probabilities = ensemble.pass_probabilities(image, spacing, wanted)
    for forward_pass, softmax in zip(wanted, probabilities, strict=True):
        for row, totals in statistics.items():
            if forward_pass in passes[row]:
                labels = totals.add(softmax)
        if len(forward_pass.members) == 1:
            (member,) = forward_pass.members
            scores = dice(labels, reference, structures)
            members[member.path.stem] = {"cycle": member.cycle, "dice": scores}
    means = {row: np.asarray(totals.posterior.mean()) for row, totals in statistics.items()}
    row = {
        "case": case.name,
        "seconds": round(perf_counter() - started, 1),
        "members": members,
        "rows": {name: _scores(totals, reference) for name, totals in statistics.items()},
    }
    box = foreground_box(reference)
    if box is None:
        raise SystemExit(f"The reference of {case.name} is empty.")
    arrays = {name: mean[(slice(None), *box)] for name, mean in means.items()}
    return row, arrays | {"reference": reference[box]}


def _passes(ensemble: Ensemble, method: str, count: int) -> list[ForwardPass]:
    members = choose_members(ensemble.folder, method, count)
    return make_passes(members, METHODS[method].combine)


def _scores(statistics: MemberStatistics, reference: NDArray[np.integer]) -> dict[str, Any]:
    posterior = statistics.posterior
    labels = np.asarray(posterior.labels())
    return {
        "n": posterior.count,
        "dice": dice(labels, reference, statistics.structures),
    }


def table(results: Path) -> str:
    """Return Markdown tables: Dice and ECE of every row, the differences, and single members."""
    cases = _read_cases(results)
    patients = [patient_of(case["case"]) for case in cases]
    body, mean_dice, ece = [], {}, {}
    for row in ROWS:
        structures = [case["rows"][row]["dice"] for case in cases]
        columns = [f"{np.nanmean([d[name] for d in structures]):.3f}" for name in structures[0]]
        values = [float(np.nanmean(list(d.values()))) for d in structures]
        mean_dice[row] = mean_estimate(values, patients)
        bins, tempered, temperatures = _bins(results, cases, patients, row)
        ece[row] = _pooled_ece(bins, patients), _pooled_ece(tempered, patients)
        body.append(
            [row, *columns, with_interval(mean_dice[row], 1, 3)]
            + [with_interval(estimate, 100, 2) for estimate in ece[row]]
            + [f"{min(temperatures):.2f} to {max(temperatures):.2f}"]
        )
    heads = ["method", *structures[0], "mean Dice", "ECE %", "ECE % with τ", "τ"]
    parts = [markdown_table(heads, body), _differences(mean_dice, ece), cycle_table(cases)]
    return "\n".join([*parts, f"{len(cases)} volumes of {len(set(patients))} patients"])


def _differences(
    mean_dice: Mapping[str, Estimate], ece: Mapping[str, tuple[Estimate, Estimate]]
) -> str:
    """Return what the shipped row gains over the others, by resampling the same patients."""
    rows = []
    for other in ("vanilla", COMPARED, "multi, n 30"):
        pairs = [(mean_dice, 1, 4), *(({k: v[i] for k, v in ece.items()}, 100, 2) for i in (0, 1))]
        cells = []
        for values, factor, digits in pairs:
            ours, theirs = values[SHIPPED], values[other]
            difference = Estimate(ours.value - theirs.value, ours.resampled - theirs.resampled)
            cells.append(with_interval(difference, factor, digits, sign="+"))
        rows.append([f"{SHIPPED} − {other}", *cells])
    return markdown_table(["difference", "mean Dice", "ECE %", "ECE % with τ"], rows)


def cycle_table(cases: Sequence[Mapping[str, Any]]) -> str:
    """Return the mean Dice of the members of each cycle, alone."""
    of_cycle: dict[int, list[float]] = {}
    for name, member in cases[0]["members"].items():
        values = [np.nanmean(list(case["members"][name]["dice"].values())) for case in cases]
        of_cycle.setdefault(member["cycle"], []).append(float(np.mean(values)))
    rows = [
        [cycle + 1, len(d), f"{np.mean(d):.4f}", f"{min(d):.4f}", f"{max(d):.4f}"]
        for cycle, d in sorted(of_cycle.items())
    ]
    return markdown_table(["cycle", "members", "mean Dice of one", "lowest", "highest"], rows)


def _bins(
    results: Path, cases: Sequence[Mapping[str, Any]], patients: Sequence[str], row: str
) -> tuple[list[ReliabilityBins], list[ReliabilityBins], list[float]]:
    """Return the bins of each case, those with τ, and τ; it is fitted on the other patients."""
    voxels = []
    for case in cases:
        with np.load(results / f"{case['case']}.npz") as arrays:
            voxels.append((arrays[row], arrays["reference"]))
    bins = [reliability_bins(*pair) for pair in voxels]
    few = [(p.reshape(len(p), -1)[:, ::EVERY], r.ravel()[::EVERY]) for p, r in voxels]
    fitted = {}
    for patient in set(patients):
        others = [pair for pair, owner in zip(few, patients, strict=True) if owner != patient]
        fitted[patient] = fit_temperature(
            np.concatenate([p for p, _ in others], axis=1), np.concatenate([r for _, r in others])
        )
    temperatures = [fitted[patient] for patient in patients]
    tempered = [
        reliability_bins(np.asarray(apply_temperature(p, t)), r)
        for (p, r), t in zip(voxels, temperatures, strict=True)
    ]
    return bins, tempered, temperatures


def _pooled_ece(bins: Sequence[ReliabilityBins], patients: Sequence[str]) -> Estimate:
    columns = {
        name: np.array([getattr(case, name) for case in bins], np.float64)
        for name in ("voxels", "correct", "confidence_sum")
    }

    def pooled(weights: NDArray[np.int64]) -> float:
        return ReliabilityBins(**{name: weights @ values for name, values in columns.items()}).ece

    return bootstrap(pooled, patients)


def ship(run: Path, results: Path, folder: Path) -> None:
    """Copy plans, record and members of ``SHIPPED`` into ``folder``, and add their scores."""
    chosen = choose_members(find_ensemble(run), *ROWS[SHIPPED])
    record = _copy_members(run, chosen, folder)
    measured = [case["rows"][SHIPPED] for case in _read_cases(results)]
    for fold in record.folds:
        record.validation[fold] = {
            "method": "multi",
            "members": len(chosen),
            "mirroring": "full",
            "cases": len(measured),
            "dice": mean_scores(scores["dice"] for scores in measured),
        }
    # Do not publish the paths of the training machine.
    words = [word.rpartition("/")[2] for word in shlex.split(record.command)]
    shipped = replace(record, name="Demo ensemble (ACDC and Sunnybrook)", command=shlex.join(words))
    write_record(folder / "ensemble.json", shipped)


def _read_cases(results: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(results.glob("*.json"))]


if __name__ == "__main__":
    command_line.run(__doc__, select, evaluate, table, ship)
