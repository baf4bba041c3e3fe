"""Interpolate on reference labels of which every inner slice is left out in turn.

python -m benchmarks.interpolation LABELS [--structures RV MYO LV]

A slice is interpolated from the slice below and the slice above, one structure at a time, and
compared with its own labels. Slices count if they and both neighbours show the structure. A slice
that is refused or becomes empty counts with Dice 0; "interpolated" is the mean of the others.
"""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.editing.interpolation import Labels
from napari_bayes_nnunet.core.editing.slice_edits import interpolate_slice
from napari_bayes_nnunet.io.images.nifti import read_labels

from .markdown import markdown_table

HEADS = ("structure", "slices", "Dice", "Dice, interpolated", "smaller by a tenth", "empty",
         "refused")  # fmt: skip
REFUSED = -1


def main() -> None:
    """Print a table with a row for each structure."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path, help="folder of NIfTI labels")
    parser.add_argument("--structures", nargs="+", default=["RV", "MYO", "LV"])
    options = parser.parse_args()
    volumes = [read_labels(file).voxels for file in sorted(options.labels.glob("*.nii.gz"))]
    rows = []
    for label, name in enumerate(options.structures, 1):
        results = np.array([result for v in volumes for result in leave_out(v, label)])
        overlap, size, smaller = results.T
        done = size > 0
        rows.append(
            (name, len(results), f"{overlap.mean():.4f}", f"{overlap[done].mean():.4f}",
             np.count_nonzero((size >= 0) & (size < 0.9 * smaller)), np.count_nonzero(size == 0),
             np.count_nonzero(size == REFUSED))
        )  # fmt: skip
    print(markdown_table(HEADS, rows))


def leave_out(volume: Labels, label: int) -> Iterator[tuple[float, int, int]]:
    """Yield Dice, interpolated voxels (or `REFUSED`) and those of the smaller neighbour."""
    for z in range(1, len(volume) - 1):
        below, truth, above = (np.count_nonzero(volume[i] == label) for i in (z - 1, z, z + 1))
        if not min(below, truth, above):
            continue
        without = np.array([volume[z - 1], np.zeros_like(volume[z]), volume[z + 1]])
        try:
            result = interpolate_slice(without, 1, sources=(0, 2), structures=[label]) == label
        except InputError:
            yield 0.0, REFUSED, min(below, above)
            continue
        both = np.count_nonzero(result & (volume[z] == label))
        size = np.count_nonzero(result)
        yield 2 * both / (size + truth), size, min(below, above)


if __name__ == "__main__":
    main()
