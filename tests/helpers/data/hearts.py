"""Made hearts: short-axis images with an RV, a myocardium and an LV, as nnU-Net raw datasets."""

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

LABELS = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
SHAPE = (48, 40, 4)  # (x, y, z)
SPACING = (1.4, 1.4, 10.0)  # mm


def make_heart(
    rng: np.random.Generator, *, size: float, center: tuple[float, float], contrast: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return an int16 image and uint8 labels, both (x, y, z), in the given contrast."""
    x, y, z = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    scale = size * (1 - 0.08 * z)
    radius = np.hypot(x - center[0], 1.1 * (y - center[1])) / scale
    rv_distance = np.hypot(x - center[0] + 11 * scale, 0.7 * (y - center[1])) / scale
    labels = np.zeros(SHAPE, np.uint8)
    labels[rv_distance < 7] = 1
    labels[radius < 9] = 2
    labels[radius < 6] = 3
    brightness = np.roll([60, 180, 90, 220], contrast)
    image = brightness[labels] + rng.normal(0, 12, SHAPE)
    return image.clip(1).astype(np.int16), labels


def make_dataset(
    folder: Path,
    *,
    patients: int = 4,
    frames: int = 2,
    channels: int = 1,
    labels: dict[str, int] = LABELS,
    **entries: Any,
) -> Path:
    """Write cases ``patient001_frame01 …``; ``entries`` go into ``dataset.json``."""
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for patient in range(1, patients + 1):
        rng = np.random.default_rng(patient)
        center = 24 + rng.uniform(-3, 3), 20 + rng.uniform(-2, 2)
        for frame in range(1, frames + 1):
            case = f"patient{patient:03d}_frame{frame:02d}"
            for channel in range(channels):
                image, heart = make_heart(
                    rng, size=1.1 - 0.2 * frame / frames, center=center, contrast=channel
                )
                write_nifti(folder / "imagesTr" / f"{case}_{channel:04d}.nii.gz", image)
            write_nifti(folder / "labelsTr" / f"{case}.nii.gz", heart)
    content = {
        "channel_names": {str(channel): f"cine {channel}" for channel in range(channels)},
        "labels": labels,
        "numTraining": patients * frames,
        "file_ending": ".nii.gz",
        **entries,
    }
    (folder / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def write_nifti(file: Path, voxels: np.ndarray) -> None:
    """Write (x, y, z) voxels at the made hearts' spacing."""
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([*SPACING, 1])), file)
