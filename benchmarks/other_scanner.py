"""Dice and calibration of the LV on the Sunnybrook patients, another scanner than ACDC's.

python -m benchmarks.other_scanner evaluate MODEL FOLDER RESULTS.jsonl   (resumable)
python -m benchmarks.other_scanner table RESULTS.jsonl [--half train|judge|all]

FOLDER has images/ and labels/ of CASE_ED and CASE_ES, with the LV as label 1 and nothing else.
Only slices that the expert contoured count. Patients alternate in the order of their names: the
first, third … may be trained on, the others judge. Full mirroring; ECE of the LV against the rest
with 100 bins in the box of the reference; τ is that of MODEL's calibration for "multi".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_bayes_nnunet.app.segmentation.calibration import chosen_temperature
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.methods import ForwardPass, choose_members
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.ensemble.posterior import RunningPosterior, apply_temperature
from napari_bayes_nnunet.core.metrics.calibration import ReliabilityBins, reliability_bins
from napari_bayes_nnunet.core.metrics.overlap import dice
from napari_bayes_nnunet.io.ensemble.ensemble_folder import Member
from napari_bayes_nnunet.io.images.nifti import read_channels, read_labels

from .command_line import run
from .paper.stored_cases import bins_from_json, bins_to_json
from .results import append_row, markdown_table, read_rows

STRUCTURE = "LV"
METHODS = {"vanilla": 1, "single": 3, "multi": 9}
CALIBRATED = "multi"
"""The method that has a row with its temperature too."""
HALVES = ("train", "judge")
ENDING = "_0000.nii.gz"


def evaluate(model: Path, folder: Path, results: Path) -> None:
    """Segment every case with every member and append Dice and bins of each method."""
    ensemble = Ensemble(model)
    done = {row["case"] for row in read_rows(results)}
    names = (path.name.removesuffix(ENDING) for path in (folder / "images").iterdir())
    for case, half in halves(sorted(names)).items():
        if case not in done:
            methods = evaluate_case(ensemble, folder, case)
            append_row(results, {"case": case, "half": half, "methods": methods})
            print(case, flush=True)


def halves(cases: Sequence[str]) -> dict[str, str]:
    """Return the half of each case, in their order; patients alternate."""
    patients = list(dict.fromkeys(map(_patient, cases)))
    return {case: HALVES[patients.index(_patient(case)) % 2] for case in cases}


def evaluate_case(ensemble: Ensemble, folder: Path, case: str) -> dict[str, dict[str, object]]:
    """Return the scores of each method in the contoured slices of a case."""
    channels = read_channels(folder / "images" / f"{case}{ENDING}")
    reference = read_labels(folder / "labels" / f"{case}.nii.gz").voxels
    contoured = reference.any(axis=(1, 2))
    voxels = np.stack([channel.voxels for channel in channels])
    chosen = {
        method: set(choose_members(ensemble.folder, method, count))
        for method, count in METHODS.items()
    }
    members = sorted(set().union(*chosen.values()), key=lambda member: member.path)
    passes = [ForwardPass((member,)) for member in members]
    softmaxes = ensemble.pass_probabilities(voxels, channels[0].spacing, passes)
    means = method_means(zip(members, softmaxes, strict=True), chosen)
    settings = SegmentationSettings(
        method=CALIBRATED, members=METHODS[CALIBRATED], mirroring="full"
    )
    temperature = chosen_temperature(ensemble.folder, settings)
    means[f"{CALIBRATED}, τ {temperature:.2f}"] = np.asarray(
        apply_temperature(means[CALIBRATED], temperature)
    )
    label = ensemble.structures[STRUCTURE]
    return {
        name: lv_scores(mean[:, contoured], reference[contoured] == 1, label)
        for name, mean in means.items()
    }


def method_means(
    members: Iterable[tuple[Member, NDArray[np.floating]]],
    chosen: Mapping[str, Collection[Member]],
) -> dict[str, NDArray[np.floating]]:
    """Return the mean probabilities of each method's ``chosen`` among the ``members``."""
    posteriors = {method: RunningPosterior() for method in chosen}
    for member, probabilities in members:
        for method, of_method in chosen.items():
            if member in of_method:
                posteriors[method].add(probabilities)
    return {method: np.asarray(posterior.mean()) for method, posterior in posteriors.items()}


def lv_scores(
    mean: NDArray[np.floating], reference: NDArray[np.bool_], label: int
) -> dict[str, object]:
    """Return Dice and bins of the LV against the rest; ``mean`` (C, Z, Y, X) are probabilities."""
    predicted = mean.argmax(axis=0) == label
    overlap = dice(predicted.astype(np.uint8), reference.astype(np.uint8), {STRUCTURE: 1})
    binary = np.stack([1 - mean[label], mean[label]])
    bins = reliability_bins(binary, reference.astype(np.uint8))
    return {"dice": overlap[STRUCTURE], "bins": bins_to_json(bins)}


def table(results: Path, *, half: Literal["train", "judge", "all"] = "judge") -> str:
    """Return Dice (mean and SD over cases) and pooled ECE by method and phase."""
    rows = [row for row in read_rows(results) if half in ("all", row["half"])]
    body = []
    for method in rows[0]["methods"]:
        columns = [method]
        for phase in ("ED", "ES"):
            of_phase = [row["methods"][method] for row in rows if row["case"].endswith(phase)]
            values = [scores["dice"] for scores in of_phase]
            bins = [bins_from_json(scores["bins"]) for scores in of_phase]
            ece = sum(bins, ReliabilityBins.empty()).ece
            columns += [f"{np.mean(values):.3f} SD {np.std(values, ddof=1):.3f}"]
            columns += [f"{np.min(values):.3f}", f"{100 * ece:.2f}"]
        body.append(columns)
    columns = ["LV Dice", "lowest", "ECE %"]
    head = ["method", *(f"{phase}: {name}" for phase in ("ED", "ES") for name in columns)]
    patients = len({_patient(row["case"]) for row in rows})
    return f"{markdown_table(head, body)}\n\n{patients} patients"


def _patient(case: str) -> str:
    return case.rpartition("_")[0]


if __name__ == "__main__":
    run(__doc__, evaluate, table)
