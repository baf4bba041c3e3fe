"""What a student loses against its ensemble: Dice, ECE, the ranking of slices, and time.

python -m benchmarks.student evaluate MODEL DATASET STUDENT RESULTS.jsonl [--split FILE]
    [--members N] [--mirroring full|spread|none] [--sunnybrook]   (resumable)
python -m benchmarks.student table RESULTS.jsonl

STUDENT is the folder that `bayes-nnunet distill` wrote for the ensemble MODEL. The validation cases
of the split in DATASET are segmented, uncalibrated, by the ensemble (the mirroring is its own), by
the student without and with mirrored copies, and by the last member without and with them. The
slices of a volume are ranked by the disagreement of the members, by that which the student
predicts, and for a single member by the expected gross errors. With --sunnybrook DATASET is the
folder of `benchmarks.other_scanner`, whose judging half counts, and only the LV in contoured
slices. Seconds are processor time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.result import Segmentation, stored_posterior
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.choices import Mirroring
from napari_bayes_nnunet.core.ensemble.posterior import most_probable
from napari_bayes_nnunet.core.metrics.calibration import ReliabilityBins, reliability_bins
from napari_bayes_nnunet.core.metrics.detection import rank_correlation
from napari_bayes_nnunet.core.metrics.overlap import dice
from napari_bayes_nnunet.core.review.queue import DEFAULT_SCORE, slice_scores
from napari_bayes_nnunet.core.review.queue_yield import (
    SHARE,
    ReviewedSlices,
    queue_yield,
    wrong_voxels,
)
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.core.types import LabelMap, Spacing
from napari_bayes_nnunet.io.dataset.patients import patient_of
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.images.nifti import read_labels
from napari_bayes_nnunet.nnunet.device import choose_device
from napari_bayes_nnunet.nnunet.distillation.student import HEAD, join_head, widen_output
from napari_bayes_nnunet.nnunet.inference import Predictor, mirrors_of
from napari_bayes_nnunet.nnunet.weights import StateDict, read_checkpoint

from .command_line import run
from .held_back import SPLIT, held_back_cases, read_image
from .other_scanner import STRUCTURE, judging_cases, lv_scores
from .paper.stored_cases import bins_from_json, bins_to_json
from .results import append_row, markdown_table, read_rows

Rows = list[dict[str, Any]]

ENSEMBLE: Final = "ensemble"
STUDENTS: Final = ("student", "student, all mirrors")
NAMES: Final = (ENSEMBLE, *STUDENTS, "last member", "last member, all mirrors")
MOST_LOST: Final = {"Dice": 0.003, "ECE, points": 0.3, "ranking, points": 5.0}
"""Largest losses with which a student may stand for its ensemble."""
DISPUTED: Final = 0.01
"""Mutual information, in bit, from which a voxel counts as one on which members disagree."""
HEADS: Final = ("mean Dice", "largest loss", "ECE pooled %", "processor s", "Spearman")
"""Columns after the Dice of each structure; Spearman's ρ is that with the ensemble's scores."""
EARLY_HEADS: Final = (f"own gross errors in the first {SHARE:.0%}", "those of the ensemble")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Labels (Z, Y, X), probabilities (C, Z, Y, X) and scores (Z,) of the slices of a volume."""

    labels: LabelMap
    probabilities: NDArray[np.float32]
    scores: NDArray[np.float64]
    seconds: float = 0.0


class StudentPredictor(Predictor):
    """Predictor whose probabilities are followed by the mutual information, in bit.

    The program itself does not use this output of a student.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        widen_output(self.network.module)
        self.network.to(self.network.device)
        self.classes += 1

    def _activated(self, logits: torch.Tensor) -> torch.Tensor:
        """Return (C + 1, …) probabilities and mutual information, bit, from as many logits."""
        largest = math.log2(self.classes - 1)
        information = largest * torch.sigmoid(logits[-1:].float())
        return torch.cat([super()._activated(logits[:-1]), information])


def read_student(path: Path) -> tuple[StateDict, tuple[int, ...] | None]:
    """Return the weights of a student with the additional output, and its mirroring axes."""
    content = read_checkpoint(path)
    axes = content.get("inference_allowed_mirroring_axes")
    return join_head(content["network_weights"], content[HEAD]), tuple(axes) if axes else None


class Student:
    """The network in the folder of a student."""

    def __init__(self, folder: Path) -> None:
        found = find_ensemble(folder)
        self._predictor = StudentPredictor(
            found.plans, found.dataset_json, found.configuration, device=choose_device("auto")
        )
        self._weights, self._axes = read_student(found.usable_members[-1].path)

    def ask(self, image: NDArray[Any], spacing: Spacing, mirroring: Mirroring) -> Answer:
        """Return the student's answer for an image (channels, Z, Y, X), slices along Z."""
        prepared = self._predictor.prepare(image, spacing)
        mirrors = mirrors_of(mirroring, self._axes)
        (output,) = self._predictor.probabilities([prepared], self._weights, mirrors=mirrors)
        *_, information = channels = output.cpu().numpy()
        disputed = information >= DISPUTED
        scores = information.sum(axis=(1, 2), where=disputed, dtype=np.float64)
        return Answer(
            labels=most_probable(channels[:-1]),
            probabilities=channels[:-1],
            scores=scores * spacing[1] * spacing[2],
        )


def ask_ensemble(
    ensemble: Ensemble,
    image: NDArray[Any],
    spacing: Spacing,
    settings: SegmentationSettings,
    score: str,
) -> Answer:
    """Return the answer of an ensemble, or of one member, with a score of the review queue."""
    result = drain(ensemble.steps(image, spacing, settings, keep_members=True))
    return Answer(
        labels=result.labels,
        probabilities=result.probabilities,
        scores=queue_scores(result, spacing, score),
    )


def answers(
    ensemble: Ensemble, student: Student, image: NDArray[Any], spacing: Spacing, **options: Any
) -> Iterator[Answer]:
    """Yield the answers of all `NAMES` for an image, with the processor time of each."""
    several = SegmentationSettings(calibrated=False, temperature=1, **options)
    plain, mirrored = (
        SegmentationSettings(method="vanilla", mirroring=m, calibrated=False, temperature=1)
        for m in ("none", "full")
    )
    for ask in (
        lambda: ask_ensemble(ensemble, image, spacing, several, DEFAULT_SCORE),
        lambda: student.ask(image, spacing, "none"),
        lambda: student.ask(image, spacing, "full"),
        lambda: ask_ensemble(ensemble, image, spacing, plain, "gross-errors"),
        lambda: ask_ensemble(ensemble, image, spacing, mirrored, "gross-errors"),
    ):
        started = process_time()
        answer = ask()
        yield replace(answer, seconds=process_time() - started)


def evaluate(
    model: Path,
    dataset: Path,
    student: Path,
    results: Path,
    *,
    split: Path = SPLIT,
    members: int = 30,
    mirroring: Mirroring = "full",
    sunnybrook: bool = False,
) -> None:
    """Append a line for every case that the results lack."""
    ensemble, network = Ensemble(model), Student(student)
    done = {row["case"] for row in read_rows(results)}
    judge = judge_lv if sunnybrook else judge_all
    for case in judging_cases(dataset) if sunnybrook else held_back_cases(dataset, split):
        if case.name in done:
            continue
        image, spacing = read_image(case)
        reference = read_labels(case.label).voxels
        how = {"members": members, "mirroring": mirroring}
        asked = answers(ensemble, network, image, spacing, **how)
        row: dict[str, Any] = {"case": case.name}
        for name, answer in zip(NAMES, asked, strict=True):
            found = judge(answer, reference, spacing, ensemble.structures)
            row[name] = {"seconds": answer.seconds, "scores": answer.scores.tolist(), **found}
        append_row(results, row)
        print(case.name, flush=True)


def judge_all(
    answer: Answer, reference: LabelMap, spacing: Spacing, structures: Mapping[str, int]
) -> dict[str, Any]:
    """Return the Dice by structure, the bins of all voxels, and the gross errors of each slice."""
    return {
        "dice": dice(answer.labels, reference, structures),
        "bins": bins_to_json(reliability_bins(answer.probabilities, reference)),
        "errors": wrong_voxels(answer.labels, reference, spacing)["gross"].tolist(),
    }


def judge_lv(
    answer: Answer, reference: LabelMap, spacing: Spacing, structures: Mapping[str, int]
) -> dict[str, Any]:
    """Return Dice and bins of the LV in the slices that an expert contoured."""
    contoured, label = reference.any(axis=(1, 2)), structures[STRUCTURE]
    scores = lv_scores(answer.probabilities[:, contoured], reference[contoured] == 1, label)
    return {"dice": {STRUCTURE: scores["dice"]}, "bins": scores["bins"]}


def queue_scores(result: Segmentation, spacing: Spacing, score: str) -> NDArray[np.float64]:
    """Return the (Z,) scores of the review queue, summed over the structures."""
    of_structures = slice_scores(stored_posterior(result), result.structures, spacing, score=score)
    return np.sum(list(of_structures.values()), axis=0, dtype=np.float64)


def found_early(rows: Rows, name: str, errors_of: str) -> float:
    """Return the percentage of gross errors in the first slices of the ranking of ``name``."""
    reviews = [
        ReviewedSlices(
            patient=patient_of(row["case"]),
            errors=np.array(row[errors_of]["errors"]),
            order=np.argsort(-np.array(row[name]["scores"]), kind="stable"),
        )
        for row in rows
    ]
    return 100 * queue_yield(reviews).at_share.value


def pooled_ece(rows: Rows, name: str) -> float:
    """Return the ECE over all voxels of all volumes, in percent."""
    bins = [bins_from_json(row[name]["bins"]) for row in rows]
    return 100 * sum(bins, ReliabilityBins.empty()).ece


def mean_dice(rows: Rows, name: str) -> NDArray[np.float64]:
    """Return the (n,) mean Dice of the structures of every case."""
    return np.array([np.nanmean(list(row[name]["dice"].values())) for row in rows])


def spearman(rows: Rows, name: str) -> float:
    """Return the mean over volumes of the correlation of slice scores with the ensemble's."""
    values = [
        rank_correlation(np.array(row[name]["scores"]), np.array(row[ENSEMBLE]["scores"]))
        for row in rows
    ]
    known = [value for value in values if not np.isnan(value)]  # NaN: all scores are equal
    return float(np.mean(known)) if known else np.nan


def losses(rows: Rows, name: str) -> Mapping[str, float]:
    """Return what ``name`` loses against the ensemble in each of the measures of `MOST_LOST`."""
    lost = {
        "Dice": float((mean_dice(rows, ENSEMBLE) - mean_dice(rows, name)).mean()),
        "ECE, points": pooled_ece(rows, name) - pooled_ece(rows, ENSEMBLE),
    }
    if has_errors(rows):
        ranking = found_early(rows, ENSEMBLE, ENSEMBLE) - found_early(rows, name, name)
        lost["ranking, points"] = ranking
    return lost


def has_errors(rows: Rows) -> bool:
    """Return whether the errors of whole slices are known."""
    return all("errors" in row[ENSEMBLE] for row in rows)


def table(results: Path) -> str:
    """Return a row for each of `NAMES`, and whether the student may stand for the ensemble."""
    rows = read_rows(results)
    verdicts = []
    for name in STUDENTS:
        found = losses(rows, name)
        reached = all(lost <= MOST_LOST[measure] for measure, lost in found.items())
        words = ", ".join(f"{measure} {lost:+.4f}" for measure, lost in found.items())
        verdicts.append(f"{name}: loses {words}: {'may' if reached else 'may not'} be used")
    heads = ["", *rows[0][ENSEMBLE]["dice"], *HEADS]
    heads += EARLY_HEADS if has_errors(rows) else []
    body = [[name, *_cells(rows, name)] for name in NAMES]
    return "\n".join([markdown_table(heads, body), f"{len(rows)} volumes", *verdicts])


def _cells(rows: Rows, name: str) -> list[str]:
    lost = mean_dice(rows, ENSEMBLE) - mean_dice(rows, name)
    cells = [
        *(
            f"{np.nanmean([row[name]['dice'][s] for row in rows]):.4f}"
            for s in rows[0][name]["dice"]
        ),
        f"{mean_dice(rows, name).mean():.4f}",
        f"{max(lost.max(), 0):.4f}",
        f"{pooled_ece(rows, name):.2f}",
        f"{np.mean([row[name]['seconds'] for row in rows]):.1f}",
        f"{spearman(rows, name):.2f}",
    ]
    if has_errors(rows):
        cells += [f"{found_early(rows, name, of):.0f} %" for of in (name, ENSEMBLE)]
    return cells


if __name__ == "__main__":
    run(__doc__, evaluate, table)
