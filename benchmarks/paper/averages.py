"""Does it matter that nnU-Net v1 averages probabilities over tiles and mirrors, and v2 logits?

python -m benchmarks.paper.averages RUN DATASET [--nnunet RUN] [--members 30] [--csv FILE]

Prints Dice and pooled ECE of the validation volumes, with full mirroring, for the last epoch alone,
*single* and *multi* with both averages, and writes them to FILE. The change is that from the
average of logits, the gain that from the last epoch of a training with nnU-Net's own schedule and
the same average; both have their 95 % interval over patients.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch

from napari_bayes_nnunet.app.evaluation.aggregates import (
    Aggregation,
    aggregate_difference,
    mean_over_volumes,
    pooled_ece,
)
from napari_bayes_nnunet.app.evaluation.case import CaseEvaluation, case_table, evaluate_case
from napari_bayes_nnunet.app.segmentation.member_predictions import InputImage, MemberPredictor
from napari_bayes_nnunet.app.segmentation.methods import ForwardPass, choose_members
from napari_bayes_nnunet.io.dataset.patients import patient_of
from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase
from napari_bayes_nnunet.io.ensemble.ensemble_folder import Member, find_ensemble
from napari_bayes_nnunet.io.images.nifti import read_labels
from napari_bayes_nnunet.nnunet.device import choose_device
from napari_bayes_nnunet.nnunet.inference import Predictor

from ..command_line import existing_folder, exiting_with_problems, write_csv
from ..comparison import method_means
from ..held_back import held_back_cases, make_parser, read_image
from ..markdown import markdown_table

NNUNET = "nnU-Net"
"""Name of the last epoch with nnU-Net's own schedule."""
METHODS = ("vanilla", "single", "multi")
AVERAGES = ("logits", "probabilities")
MEASURES: dict[str, tuple[Aggregation, float, int]] = {
    "Dice": (mean_over_volumes("dice"), 1, 3),
    "ECE %": (pooled_ece, 100, 2),
}
CHANGE = ("change", "low", "high")
GAIN = ("gain", "gain_low", "gain_high")
Measured = dict[tuple[str, str], list[CaseEvaluation]]


def main() -> None:
    """Print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("--nnunet", type=existing_folder)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    with exiting_with_problems():
        cases = [*held_back_cases(options.dataset, options.split)]
        measured = Judge(options.run, METHODS, options.members).measure(cases)
        if options.nnunet:
            of_nnunet = Judge(options.nnunet, METHODS[:1], 1).measure(cases)
            named = {(NNUNET, average): found for (_, average), found in of_nnunet.items()}
            measured = {**named, **measured}
        lines = [*averages_lines(measured)]
        print(averages_table(lines))
        if options.csv:
            write_csv(options.csv, lines)


class Judge:
    """Networks of a run with either average over tiles and mirrors, in float32."""

    def __init__(self, run: Path, methods: Sequence[str], members: int) -> None:
        self._folder = find_ensemble(run)
        self._chosen = {method: choose_members(self._folder, method, members) for method in methods}
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

    def measure(self, cases: Iterable[TrainingCase]) -> Measured:
        """Return the evaluations of all cases for each method and average."""
        measured: Measured = {}
        for case in cases:
            for key, evaluation in self.evaluations(case):
                measured.setdefault(key, []).append(evaluation)
        return measured

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
        for average, predictor in self._predictors.items():
            of_image = [InputImage(image, spacing)]
            every = dict.fromkeys(m for members in self._chosen.values() for m in members)
            means = method_means(
                (
                    (member, _probabilities(predictor, member, of_image, average))
                    for member in every
                ),
                self._chosen,
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


def averages_lines(measured: Measured) -> Iterator[dict[str, str]]:
    """Yield each measure of each method and average, rounded, with its change and its gain."""
    methods = dict.fromkeys(method for method, _ in measured)
    for method, average in product(methods, AVERAGES):
        for measure, (aggregate, scale, digits) in MEASURES.items():
            own = aggregate(case_table(measured[method, average]))
            line = {"method": method, "average": average, "measure": measure}
            line["value"] = f"{scale * own.value:.{digits}f}"
            for columns, other in ((CHANGE, (method, AVERAGES[0])), (GAIN, (NNUNET, average))):
                line.update(dict.fromkeys(columns, ""))
                if other in measured and other != (method, average):
                    found = aggregate_difference(
                        own, aggregate(case_table(measured[other]))
                    ).estimate
                    numbers = (scale * n for n in (found.value, *found.interval))
                    texts = (f"{number:+.{digits}f}" for number in numbers)
                    line.update(zip(columns, texts, strict=True))
            yield line


def averages_table(lines: Sequence[Mapping[str, str]]) -> str:
    """Return the Markdown table, with a row for each method and average; no empty columns."""
    rows: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        cells = rows.setdefault((line["method"], line["average"]), [])
        cells.append(line["value"])
        for columns in (CHANGE, GAIN):
            value, low, high = (line[column] for column in columns)
            cells.append(f"{value} ({low} to {high})" if value else "")
    heads = ["Method", "Average of"]
    heads += [f"{measure}{end}" for measure in MEASURES for end in ("", ": change", ": gain")]
    columns = zip(heads, *([*key, *cells] for key, cells in rows.items()), strict=True)
    titles, *kept = zip(*(column for column in columns if any(column[1:])), strict=True)
    return markdown_table(titles, kept)


if __name__ == "__main__":
    main()
