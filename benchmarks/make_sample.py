"""Sample data of the package, cropped around the heart from the Sunnybrook files.

Usage: python benchmarks/make_sample.py SUNNYBROOK [--output FOLDER]

The crop keeps all phases and much dark lung. Mean and standard deviation, and therefore the
network's intensity normalisation, stay close to those of the whole image; both are printed.
"""

import argparse
import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

NIFTI: Any = nibabel
CROP = (slice(16, 208), slice(0, 192))
"""Columns (x) and rows (y) to keep of 256 x 256."""
ED, ES = 20, 7
SOURCES = {
    "SCD0000301_cine.nii.gz": "SCD0000301_uncropped_4d.nii.gz",
    "SCD0000301_ED_gt.nii.gz": f"SCD0000301_uncropped_ED_frame{ED:02d}_gt.nii.gz",
    "SCD0000301_ES_gt.nii.gz": f"SCD0000301_uncropped_ES_frame{ES:02d}_gt.nii.gz",
}
PACKAGE_DATA = Path(__file__).parents[1] / "src" / "napari_bayes_nnunet" / "sample_data"


def crop(image: Any) -> Any:
    """Return the crop of an (x, y, z[, t]) image; its position in the patient is kept."""
    part = image.slicer[CROP]
    cut = NIFTI.Nifti1Image(np.asanyarray(part.dataobj), None, part.header.copy())
    cut.set_qform(part.affine, code="scanner")
    cut.set_sform(part.affine, code="scanner")
    return cut


def main() -> None:
    """Write the cropped cine, its manual labels and their phase numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sunnybrook", type=Path)
    parser.add_argument("--output", type=Path, default=PACKAGE_DATA)
    options = parser.parse_args()
    for name, source in SOURCES.items():
        whole = NIFTI.load(options.sunnybrook / source)
        part = crop(whole)
        if name.endswith("_gt.nii.gz"):
            part.header.set_intent("label")
        packed = gzip.compress(part.to_bytes(), 9, mtime=0)
        (options.output / name).write_bytes(packed)
        print(f"{name}: {part.shape}, {len(packed) / 1e6:.2f} MB")
        for title, image in (("whole", whole), ("crop", part)):
            voxels = np.asanyarray(image.dataobj)
            print(f"  {title}: mean {voxels.mean():.2f}, standard deviation {voxels.std():.2f}")
    (options.output / "Info.cfg").write_text(f"ED: {ED}\nES: {ES}\nNbFrame: 20\n")


if __name__ == "__main__":
    main()
