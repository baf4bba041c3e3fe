"""Dice of a network on images that are mirrored or turned in the plane, and its detection.

python -m benchmarks.orientations RUN DATASET [--further FOLDER] [--cases 10]

Every slice is given in its eight orientations to three members, one of each cycle, without
mirroring. Prints the mean Dice of each, and as stored and with swapped axes if all mirrored copies
are averaged (mirroring full, which makes mirrored images the same). A table has two rules that
choose between the two, the mean entropy of one member and the agreement of three, both in the four
middle slices. A rule changes an image if the other orientation is better by a margin.

RUN has cycles, DATASET is ACDC as an nnU-Net raw dataset, of which every second phase of the
validation patients is taken. FOLDER has further images NAME.nii.gz with labels NAME_gt.nii.gz.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.methods import choose_members
from napari_bayes_nnunet.core.ensemble.posterior import entropy, most_probable
from napari_bayes_nnunet.core.types import Spacing
from napari_bayes_nnunet.io.ensemble.ensemble_folder import Member
from napari_bayes_nnunet.io.images.nifti import read_labels, read_volume

from .held_back import held_back_cases, make_parser

ORIENTATIONS = tuple(product((False, True), repeat=3))
"""Swapped axes, mirrored y, mirrored x; the first four keep the axes."""
MARGINS = {"entropy": (0.0, 0.01, 0.02), "agreement": (0.0, 0.01, 0.02)}


class Measured(NamedTuple):
    """Of the axes as stored and swapped: Dice, certainty of one member, agreement of three.

    ``by_orientation``: Dice and certainty of one member without mirroring, eight of each.
    """

    dice: NDArray[np.float64]
    scores: dict[str, NDArray[np.float64]]
    by_orientation: NDArray[np.float64]


def main() -> None:
    """Print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("--further", type=Path)
    parser.add_argument("--cases", type=int, default=10)
    options = parser.parse_args()
    ensemble = Ensemble(options.run, device="cpu")
    files = list(_files(options.dataset, options.split, options.further, options.cases))
    measured = [measure(ensemble, image, labels) for image, labels in files]
    dice = np.array([of_image.dice for of_image in measured])
    one = np.array([of_image.by_orientation for of_image in measured])
    print(f"{len(files)} volumes. Without mirroring, mean Dice of the eight orientations:")
    print(", ".join(f"{value:.3f}" for value in one[:, 0].mean(axis=0)))
    surest = int((one[:, 1].argmax(axis=1) == 0).sum())
    print(f"One member is surest of the image as stored in {surest}.")
    print(f"Mirroring full: {dice[:, 0].mean():.4f} as stored, {dice[:, 1].mean():.4f} swapped")
    print("| rule | margin | changed as stored | found if swapped | gain if swapped |")
    print("|---|---|---|---|---|")
    for name, margins in MARGINS.items():
        certainty = np.array([of_image.scores[name] for of_image in measured])
        for margin in margins:
            stored = certainty[:, 1] - certainty[:, 0] > margin
            found = certainty[:, 0] - certainty[:, 1] > margin
            gain = np.where(found, dice[:, 0] - dice[:, 1], 0).mean()
            print(f"| {name} | {margin} | {stored.sum()} | {found.sum()} | {gain:+.4f} |")


def measure(ensemble: Ensemble, image: Path, labels: Path) -> Measured:
    """Return the measures of one image."""
    volume, reference = read_volume(image), read_labels(labels).voxels
    members = choose_members(ensemble.folder, "multi", 3)
    predictions = [
        np.stack(list(_predictions(ensemble, volume.voxels, volume.spacing, members, turn)))
        for turn in ORIENTATIONS
    ]
    middle = slice(len(reference) // 2 - 2, len(reference) // 2 + 2)
    shown = [p[:, :, middle] for p in predictions]
    hearts = np.any([p[-1].argmax(axis=0) > 0 for p in shown], axis=0)
    certainty = np.array([-entropy(p[-1])[hearts].mean() for p in shown])
    agreement = np.array([_agreement(p.argmax(axis=1)) for p in shown])
    means = [p.mean(axis=0) for p in predictions]
    halves = [most_probable(np.mean(half, axis=0)) for half in (means[:4], means[4:])]
    return Measured(
        np.array([_dice(half, reference) for half in halves]),
        {
            "entropy": certainty.reshape(2, 4).mean(axis=1),
            "agreement": agreement.reshape(2, 4).mean(axis=1),
        },
        np.array([[_dice(most_probable(mean), reference) for mean in means], certainty]),
    )


def turn_slices(voxels: NDArray[np.generic], turn: Sequence[bool]) -> NDArray[np.generic]:
    """Return (…, Y, X) voxels with swapped and then mirrored axes."""
    swapped = np.swapaxes(voxels, -1, -2) if turn[0] else voxels
    return np.ascontiguousarray(np.flip(swapped, _mirrored(turn)))


def turn_back(voxels: NDArray[np.generic], turn: Sequence[bool]) -> NDArray[np.generic]:
    """Return what `turn_slices` turned."""
    mirrored = np.flip(voxels, _mirrored(turn))
    return np.ascontiguousarray(np.swapaxes(mirrored, -1, -2) if turn[0] else mirrored)


def _mirrored(turn: Sequence[bool]) -> tuple[int, ...]:
    return tuple(axis for axis, flips in ((-2, turn[1]), (-1, turn[2])) if flips)


def _predictions(
    ensemble: Ensemble,
    voxels: NDArray[np.generic],
    spacing: Spacing,
    members: Sequence[Member],
    turn: Sequence[bool],
) -> Iterator[NDArray[np.float32]]:
    z, y, x = spacing
    given = (z, x, y) if turn[0] else (z, y, x)
    turned = turn_slices(voxels, turn)
    for member in ensemble.member_probabilities(turned, given, members, mirroring="none"):
        yield turn_back(np.asarray(member.cpu()), turn)


def _files(
    dataset: Path, split: Path, further: Path | None, cases: int
) -> Iterator[tuple[Path, Path]]:
    chosen = list(held_back_cases(dataset, split))[: 2 * cases]
    for index, case in enumerate(chosen):
        if index % 2 == index // 2 % 2:  # end-diastole and end-systole in turn
            yield case.images[0], case.label
    for labels in sorted(further.glob("*_gt.nii.gz")) if further else ():
        yield labels.with_name(labels.name.replace("_gt", "")), labels


def _agreement(labels: NDArray[np.integer]) -> float:
    return float(np.mean([_dice(*pair) for pair in combinations(labels, 2)]))


def _dice(labels: NDArray[np.integer], reference: NDArray[np.integer]) -> float:
    """Return the mean Dice of the structures that the reference has."""
    scores = [
        2 * np.sum((labels == value) & (reference == value))
        / (np.sum(labels == value) + np.sum(reference == value))
        for value in np.unique(reference[reference > 0])
    ]  # fmt: skip
    return float(np.mean(scores)) if scores else 0.0


if __name__ == "__main__":
    main()
