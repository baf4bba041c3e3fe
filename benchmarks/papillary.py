"""Numbers with papillary muscles as muscle, in the reference labels of ACDC.

    python -m benchmarks.papillary ACDC

ACDC is an nnU-Net raw dataset with ED and ES of each patient. The table has every eighth patient.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from napari_bayes_nnunet.core.heart.function import heart_function
from napari_bayes_nnunet.core.heart.measurements import volumes_ml
from napari_bayes_nnunet.core.heart.papillary import papillary_muscles
from napari_bayes_nnunet.core.heart.slice_volumes import PhaseVolumes
from napari_bayes_nnunet.io.images.nifti import read_labels, read_volume

STRUCTURES = {"MYO": 2, "LV": 3}
NUMBERS = ("LV EDV", "LV ESV", "LV EF", "LV mass")
EVERY = 8


def main(dataset: Path) -> None:
    """Print the numbers by both rules and the mean changes."""
    patients: dict[str, list[Path]] = defaultdict(list)
    for file in sorted((dataset / "labelsTr").glob("*_frame*.nii.gz")):
        patients[re.sub("_frame.*", "", file.name)].append(file)
    changes = []
    print("| | EDV, mL | ESV, mL | EF, % | mass, g |\n|---|---|---|---|---|")
    for name in [*patients][::EVERY]:
        before, after = numbers(dataset, patients[name])
        cells = (f"{a:.0f} → {b:.0f}" for a, b in zip(before, after, strict=True))
        print(f"| {name} | {' | '.join(cells)} |")
        relative = 100 * (after / before - 1)
        relative[2] = after[2] - before[2]
        changes.append(relative)
    for title, pick in (("mean change", np.mean), ("lowest", np.min), ("highest", np.max)):
        edv, esv, ef, mass = pick(changes, axis=0)
        print(f"| {title} | {edv:+.0f} % | {esv:+.0f} % | {ef:+.1f} points | {mass:+.0f} % |")


def numbers(dataset: Path, files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers with papillary muscles as blood, and as muscle."""
    rules: list[dict[int | None, PhaseVolumes]] = [{}, {}]
    for phase, file in enumerate(files, start=1):
        image = read_volume(dataset / "imagesTr" / file.name.replace(".nii", "_0000.nii"))
        labels = read_labels(file, like=image.geometry).voxels
        muscle = papillary_muscles(image.voxels, labels, lv=3, myo=2)
        for volumes, drawn in zip(rules, (labels, np.where(muscle, 2, labels)), strict=True):
            totals = volumes_ml(drawn, image.geometry.spacing, STRUCTURES)
            volumes[phase] = PhaseVolumes.from_totals(totals)
    by_rule = [heart_function(volumes, ed=1, es=2) for volumes in rules]
    before, after = (np.array([found[name].value for name in NUMBERS]) for found in by_rule)
    return before, after


if __name__ == "__main__":
    main(Path(sys.argv[1]))
