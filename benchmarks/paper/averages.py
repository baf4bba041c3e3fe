"""Does it matter that nnU-Net v1 averages probabilities over tiles and mirrors, and v2 logits?

python -m benchmarks.paper.averages RUN DATASET [--members 30]

Prints Dice and pooled ECE of the validation volumes, with full mirroring, for the last epoch alone
and for *multi* with both averages. Intervals and differences (probabilities minus logits) over
patients.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from napari_bayes_nnunet.app.evaluation.aggregates import (
    Aggregation,
    aggregate_difference,
    mean_over_volumes,
    pooled_ece,
)
from napari_bayes_nnunet.app.evaluation.case import CaseEvaluation, evaluate_case
from napari_bayes_nnunet.app.segmentation.forward_pass import ForwardPass
from napari_bayes_nnunet.app.segmentation.member_predictions import InputImage, MemberPredictor
from napari_bayes_nnunet.app.segmentation.methods import choose_members
from napari_bayes_nnunet.io.dataset.patients import patient_of
from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase
from napari_bayes_nnunet.io.ensemble.ensemble_folder import Member, find_ensemble
from napari_bayes_nnunet.io.images.nifti import read_labels
from napari_bayes_nnunet.nnunet.device import choose_device
from napari_bayes_nnunet.nnunet.inference import Predictor

from ..comparison import method_means
from ..held_back import held_back_cases, make_parser, read_image
from ..markdown import markdown_table

METHODS = ("vanilla", "multi")
AVERAGES = ("logits", "probabilities")
MEASURES: dict[str, tuple[Aggregation, float, int]] = {
    "Dice": (mean_over_volumes(lambda case: case.mean_dice), 1, 3),
    "ECE %": (pooled_ece, 100, 2),
}
Measured = dict[tuple[str, str], list[CaseEvaluation]]


def main() -> None:
    """Print the table."""
    options = make_parser(__doc__).parse_args()
    judge = Judge(options.run, options.members)
    measured: Measured = {}
    for case in held_back_cases(options.dataset, options.split):
        for key, evaluation in judge.evaluations(case):
            measured.setdefault(key, []).append(evaluation)
    print(averages_table(measured))


class Judge:
    """Networks of a run with either average over tiles and mirrors, in float32."""

    def __init__(self, run: Path, members: int) -> None:
        self._folder = find_ensemble(run)
        self._count = members
        self._predictors = {average: self._predictor(average) for average in AVERAGES}

    def _predictor(self, average: str) -> MemberPredictor:
        folder = self._folder
        predictor = Predictor(
            *(folder.plans, folder.dataset_json, folder.configuration),
            device=choose_device("auto"),
            precision="full",
        )
        if average == "probabilities":
            predictor.network.module.register_forward_hook(
                lambda module, patches, logits: torch.softmax(logits, dim=1)
            )
        return MemberPredictor(predictor, folder, None)

    def evaluations(self, case: TrainingCase) -> Iterator[tuple[tuple[str, str], CaseEvaluation]]:
        """Yield the evaluation of a case for each method and average."""
        image, spacing = read_image(case)
        reference = read_labels(case.label).voxels
        labels = self._folder.dataset_json["labels"]
        for key, mean in self.means(image, spacing):
            evaluation = evaluate_case(
                case=case.name,
                patient=patient_of(case.name),
                labels=mean.argmax(0).astype(np.uint8),
                reference=reference,
                spacing=spacing,
                structures={name: int(value) for name, value in labels.items() if value},
                probabilities=mean,
            )
            yield key, evaluation

    def means(
        self, image: np.ndarray, spacing: tuple[float, float, float]
    ) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
        """Yield the mean probabilities (C, Z, Y, X) for each method and average."""
        chosen = {method: choose_members(self._folder, method, self._count) for method in METHODS}
        for average, predictor in self._predictors.items():
            of_image = [InputImage(image, spacing)]
            every = dict.fromkeys(member for members in chosen.values() for member in members)
            means = method_means(
                (
                    (member, _probabilities(predictor, member, of_image, average))
                    for member in every
                ),
                chosen,
            )
            for method, mean in means.items():
                yield (method, average), mean


def _probabilities(
    predictor: MemberPredictor, member: Member, images: list[InputImage], average: str
) -> np.ndarray:
    (softmax,) = predictor.predict(
        ForwardPass((member,)), images, mirroring="full", should_stop=lambda: False
    )
    probabilities = np.asarray(softmax.cpu())
    return undo_softmax(probabilities) if average == "probabilities" else probabilities


def undo_softmax(softmax: np.ndarray) -> np.ndarray:
    """Return the probabilities (C, …) whose softmax is given: the network's were taken for logits.

    They add up to 1, so ln softmax + a constant is the probabilities. Outside the box that nnU-Net
    computes, the background has probability 1 in both.
    """
    logarithms = np.log(np.maximum(softmax, np.finfo(np.float32).tiny))
    inside = logarithms + (1 - logarithms.sum(axis=0)) / len(softmax)
    return np.where(softmax[0] == 1, softmax, np.clip(inside, 0, 1))


def averages_table(measured: Measured) -> str:
    """Return the Markdown table."""
    rows = []
    for method in METHODS:
        for average in AVERAGES:
            cells = [method, average]
            for aggregate, scale, digits in MEASURES.values():
                own, logits = (aggregate(measured[method, of]) for of in (average, AVERAGES[0]))
                value = f"{scale * own.value:.{digits}f}"
                if average != AVERAGES[0]:
                    change = aggregate_difference(own, logits).estimate
                    numbers = (change.value, *change.interval)
                    gain, low, high = (f"{scale * n:+.{digits}f}" for n in numbers)
                    value += f" ({gain}; {low} to {high})"
                cells.append(value)
            rows.append(cells)
    return markdown_table(("Method", "Average of", *MEASURES), rows)


if __name__ == "__main__":
    main()
