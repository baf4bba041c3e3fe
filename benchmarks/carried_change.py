"""Corrections carried from one phase to another, compared with the reference there.

python -m benchmarks.carried_change STUDIES LABELS

STUDIES are made by `predict --save study`, LABELS as for `evaluate-queue`. Two phases of a patient
that have a reference are paired: two phases of a cine, or two volumes with the same slices, such as
ED and ES of ACDC. A correction at one phase is carried to the other phase, slice by slice, and both
the prediction and the prediction with the carried change are compared with the reference there.
The correction is the whole reference ("redrawn"), or only its connected differences from the
prediction that contain a gross error ("gross errors corrected"), which is what readers correct.
Structures that the reference of a phase lacks do not count.

"through all phases" composes the flow of every step of the cine, the shorter way around the heart
beat; "directly" is one flow between the two phases; "without flow" leaves the change in its place.
"outline" carries the corrected labels themselves, "changed voxels" all voxels that differ from the
prediction, and "where a model agrees" those whose corrected label a member has at the target, as
the tool does. The last column leaves out what a reader would reject who knows the reference.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.registration import optical_flow_ilk, optical_flow_tvl1

from napari_bayes_nnunet.core.editing.carried_change import (
    PhaseSlice,
    carry_change,
    move_change,
)
from napari_bayes_nnunet.core.metrics.bootstrap import Estimate, mean_estimate
from napari_bayes_nnunet.core.metrics.detection import gross_errors
from napari_bayes_nnunet.core.metrics.overlap import dice
from napari_bayes_nnunet.core.types import Mask, Spacing
from napari_bayes_nnunet.io.dataset.patients import patient_of
from napari_bayes_nnunet.io.evaluation.references import reference_labels
from napari_bayes_nnunet.io.study.arrays import select_phase
from napari_bayes_nnunet.io.study.info import find_image, read_study_image
from napari_bayes_nnunet.io.study.study import Study, read_study
from napari_bayes_nnunet.io.study.summary import list_studies

from .command_line import studies_parser
from .markdown import markdown_table

MARGIN_MM = 20.0
TOOL = ("ILK", "the tool", "changed voxels where a model agrees")
FLOWS = {"TV-L1": optical_flow_tvl1, "ILK": optical_flow_ilk}
HEADS = ("flow", "way", "carried", "slices", "Dice before", "change of Dice",
         "gross errors before", "change of gross errors", "if rejected where worse")  # fmt: skip

Labels = NDArray[np.uint8]
Image = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One phase: (Z, Y, X) ``image``, ``prediction`` and ``reference``, (n, Z, Y, X) ``members``.

    ``known`` are the structures of the reference.
    """

    image: Image
    prediction: Labels
    reference: Labels
    members: Labels
    known: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two phases of a patient, and the (Z, Y, X) images between them on the shorter way."""

    patient: str
    phases: tuple[Phase, Phase]
    between: tuple[Image, ...]
    spacing: Spacing
    structures: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One slice: numbers as predicted and with the carried change."""

    kind: tuple[str, str, str]
    correction: str
    patient: str
    direction: int
    dice_before: float
    dice_after: float
    gross_before: int
    gross_after: int


def main() -> None:
    """Print a table for each kind of correction."""
    options = studies_parser(__doc__).parse_args()
    pairs = read_pairs(options.studies, options.labels)
    rows = [row for pair in pairs for row in carry_both_ways(pair)]
    print(f"{len({row.patient for row in rows})} patients")
    for name in CORRECTIONS:
        chosen = [row for row in rows if row.correction == name]
        print(f"\nCorrection: {name}\n\n{table(chosen)}")


def read_pairs(studies: Path, labels: Path) -> Iterator[Pair]:
    """Yield the pair of phases of each patient that has two with a reference."""
    by_patient: dict[str, list[tuple[Study, int | None]]] = {}
    for summary in sorted(list_studies(studies), key=lambda summary: summary.case):
        study = read_study(summary.folder)
        for phase in study.info.phases:
            by_patient.setdefault(patient_of(study.info.case), []).append((study, phase))
    for patient, places in by_patient.items():
        phases = [known for place in places if (known := read_phase(*place, labels)) is not None]
        if len(phases) != 2 or phases[0].image.shape != phases[1].image.shape:
            continue
        study, is_cine = places[0][0], places[0][0] is places[1][0]
        both = phases[0].known.keys() & phases[1].known.keys()
        structures = {name: study.info.structures[name] for name in sorted(both)}
        yield Pair(
            patient=patient,
            phases=(only(phases[0], structures), only(phases[1], structures)),
            between=images_between(study) if is_cine else (),
            spacing=study.info.geometry.spacing,
            structures=structures,
        )


def read_phase(study: Study, phase: int | None, labels: Path) -> Phase | None:
    """Return a phase with its reference, None if it has none."""
    info = study.info
    reference = reference_labels(
        *(labels, info.case, phase),
        structures=info.structures,
        geometry=info.geometry,
        only_known=True,
    )
    if reference is None:
        return None
    posterior = study.posteriors[phase]
    return Phase(
        image=select_phase(read_image(study), phase).astype(np.float32),
        prediction=posterior.prediction,
        reference=np.asarray(reference.labels, np.uint8),
        members=np.array([posterior.member(n) for n in range(posterior.count)]),
        known=reference.structures,
    )


def only(phase: Phase, structures: Mapping[str, int]) -> Phase:
    """Return a phase without the labels of other structures."""
    values = list(structures.values())

    def kept(labels: Labels) -> Labels:
        return np.where(np.isin(labels, values), labels, 0).astype(np.uint8)

    return Phase(
        image=phase.image,
        prediction=kept(phase.prediction),
        reference=kept(phase.reference),
        members=kept(phase.members),
        known=structures,
    )


def read_image(study: Study) -> Image:
    """Return the image of a study, (Z, Y, X) or (T, Z, Y, X)."""
    file = find_image(study.info, study.folder)
    if file is None:
        raise FileNotFoundError(study.folder)
    return read_study_image(study.info, file).voxels


def images_between(study: Study) -> tuple[Image, ...]:
    """Return the images from the first to the second phase of a cine, the shorter way around."""
    image = read_image(study).astype(np.float32)
    first, second = (int(phase or 1) - 1 for phase in study.info.phases)
    forwards = [*range(first + 1, second)]
    backwards = [t % len(image) for t in range(first - 1, second - len(image), -1)]
    return tuple(image[t] for t in min(forwards, backwards, key=len))


def carry_both_ways(pair: Pair) -> Iterator[Row]:
    """Yield the rows of both directions."""
    box = heart_box(pair)
    first, second = pair.phases
    images = [scaled(image[box]) for image in (first.image, *pair.between, second.image)]
    for direction, (source, target, way) in enumerate(
        ((first, second, images), (second, first, images[::-1]))
    ):
        for z in range(len(source.image)):
            motions = find_motions([image[z] for image in way])
            for name, correct in CORRECTIONS.items():
                before = source.prediction[z]
                after = correct(before, source.reference[z], pair.spacing)
                if np.array_equal(before, after):
                    continue
                results = carried(pair, (source, target), z, box[1:], after, motions)
                for kind, result in results.items():
                    numbers = compare(target.prediction[z], result, target.reference[z], pair)
                    yield Row(
                        kind=kind, correction=name, patient=pair.patient, direction=direction,
                        **numbers,
                    )  # fmt: skip


def heart_box(pair: Pair) -> tuple[slice, slice, slice]:
    """Return the box (z, y, x) around all labels of both phases, with a margin in the plane."""
    labels = [array for p in pair.phases for array in (p.prediction, p.reference)]
    (box,) = ndimage.find_objects(np.any([array > 0 for array in labels], axis=0).astype(np.uint8))
    sides = []
    for axis in (1, 2):
        margin = round(MARGIN_MM / pair.spacing[axis])
        sides.append(slice(max(0, box[axis].start - margin), box[axis].stop + margin))
    return slice(None), sides[0], sides[1]


def scaled(image: Image) -> Image:
    """Return an image with its 1st and 99th percentile at 0 and 1."""
    low, high = np.percentile(image, (1, 99))
    return np.clip((image - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)


def find_motions(slices: Sequence[Image]) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Return (flow, way) → (2, Y, X) place in the first slice of each voxel of the last one."""
    grid = np.indices(slices[0].shape).astype(np.float64)
    found = {("none", "without flow"): grid}
    for name, flow in FLOWS.items():
        found[name, "directly"] = grid + flow(slices[-1], slices[0])
        if len(slices) > 2:
            places = grid
            for after, before in itertools.pairwise(slices[::-1]):
                step = flow(after, before)
                places = places + np.stack(
                    [ndimage.map_coordinates(s, places, order=1, mode="nearest") for s in step]
                )
            found[name, "through all phases"] = places
    return found


def carried(
    pair: Pair,
    phases: tuple[Phase, Phase],
    z: int,
    box: tuple[slice, slice],
    after: Labels,
    motions: Mapping[tuple[str, str], NDArray[np.float64]],
) -> dict[tuple[str, str, str], Labels]:
    """Return kind → (Y, X) labels of the target with the change that ends in ``after``."""
    source, target = phases
    before, predicted, members = source.prediction[z], target.prediction[z], target.members[:, z]
    results = {}
    for way, motion in motions.items():
        moved, corrected = move_change(before[box], after[box], motion)
        seen = (members[(slice(None), *box)] == corrected).any(axis=0)
        outline = predicted.copy()
        outline[box] = ndimage.map_coordinates(after[box], motion, order=0, mode="nearest")
        for name, mask in {"changed voxels": moved, TOOL[2]: moved & seen}.items():
            results[*way, name] = predicted.copy()
            results[*way, name][box] = np.where(mask, corrected, predicted[box])
        results[*way, "outline"] = outline
    results[TOOL] = carry_change(
        PhaseSlice(image=source.image[z], predicted=before, labels=after),
        PhaseSlice(image=target.image[z], predicted=predicted, labels=predicted),
        members,
        spacing=pair.spacing,
    )
    return results


def compare(before: Labels, after: Labels, truth: Labels, pair: Pair) -> dict[str, float | int]:
    """Return mean Dice and gross errors before and after."""
    numbers: dict[str, float | int] = {}
    for name, labels in {"before": before, "after": after}.items():
        overlaps = [*dice(labels[None], truth[None], pair.structures).values()]
        known = [value for value in overlaps if not np.isnan(value)]
        numbers[f"dice_{name}"] = float(np.mean(known)) if known else np.nan
        numbers[f"gross_{name}"] = int(gross(labels, truth, pair.spacing).sum())
    return numbers


def gross(labels: Labels, truth: Labels, spacing: Spacing) -> Mask:
    """Return the mask of wrong voxels more than 3 mm from the reference contour."""
    return gross_errors(labels[None], truth[None], spacing)[0]


def redrawn(before: Labels, reference: Labels, spacing: Spacing) -> Labels:
    """Return the reference."""
    return reference


def gross_corrected(before: Labels, reference: Labels, spacing: Spacing) -> Labels:
    """Return the prediction without the connected pieces that contain a gross error."""
    pieces, _ = ndimage.label(before != reference)
    wrong = np.unique(pieces[gross(before, reference, spacing)])
    return np.where(np.isin(pieces, wrong[wrong > 0]), reference, before)


CORRECTIONS: Mapping[str, Callable[[Labels, Labels, Spacing], Labels]] = {
    "redrawn": redrawn,
    "gross errors corrected": gross_corrected,
}


def table(rows: list[Row]) -> str:
    """Return a Markdown table with a row for each flow, way and kind of carrying."""
    lines = []
    for kind in dict.fromkeys(row.kind for row in rows):
        chosen = [row for row in rows if row.kind == kind]
        patients = [row.patient for row in chosen]
        change = mean_estimate([row.dice_after - row.dice_before for row in chosen], patients)
        before = mean_estimate([row.gross_before for row in chosen], patients)
        after = mean_estimate([row.gross_after for row in chosen], patients)
        better = mean_estimate(rejected_where_worse(chosen), patients)
        lines.append(
            (*kind, len(chosen), f"{np.nanmean([row.dice_before for row in chosen]):.3f}",
             worded(change, "{:+.3f}"), sum(row.gross_before for row in chosen),
             *(worded(percent(number, before), "{:+.0f} %") for number in (after, better)))
        )  # fmt: skip
    return markdown_table(HEADS, lines)


def rejected_where_worse(rows: list[Row]) -> list[int]:
    """Return the gross errors of each row if a phase is rejected that has more than before."""
    changes: dict[tuple[str, int], int] = {}
    for row in rows:
        key = row.patient, row.direction
        changes[key] = changes.get(key, 0) + row.gross_after - row.gross_before
    return [
        row.gross_after if changes[row.patient, row.direction] < 0 else row.gross_before
        for row in rows
    ]


def percent(after: Estimate, before: Estimate) -> Estimate:
    """Return the change in percent."""
    ratio = after.relative_to(before)
    return Estimate(100 * (ratio.value - 1), 100 * (ratio.resampled - 1))


def worded(estimate: Estimate, form: str) -> str:
    """Return a value and its 95 % interval over patients."""
    low, high = (form.format(end) for end in estimate.interval)
    return f"{form.format(estimate.value)} ({low} to {high})"


if __name__ == "__main__":
    main()
