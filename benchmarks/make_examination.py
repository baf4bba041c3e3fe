"""Make tests/fixtures/bivme: ED and ES of the 11 series of one whole cine examination.

    python -m benchmarks.make_examination BIVME

`BIVME` is the folder `example` of biv-me, with the series in `dicom` and `LICENSE.txt`. The phases
are those that `predict --phases ED,ES` finds with the built-in ensemble. Private elements of the
scanner, which are more than half of each file, are left out.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pydicom

FIXTURE = Path(__file__).parents[1] / "tests" / "fixtures" / "bivme"
ED, ES = 25, 10
"""Phases from 1, in the order of their trigger times."""


def main(source: Path) -> None:
    """Write the files of both phases, and the licence."""
    for series in sorted((source / "dicom").iterdir()):
        images = [pydicom.dcmread(file) for file in series.glob("*.dcm")]
        images.sort(key=lambda image: float(image.TriggerTime))
        for phase in (ED, ES):
            image = images[phase - 1]
            image.remove_private_tags()
            folder = FIXTURE / "dicom" / series.name
            folder.mkdir(parents=True, exist_ok=True)
            image.save_as(folder / f"phase{phase:02d}.dcm")
    shutil.copyfile(source / "LICENSE.txt", FIXTURE / "LICENSE.txt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
