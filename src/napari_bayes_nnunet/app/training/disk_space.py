"""Upper estimate of the disk space that a training needs.

Measured with nnU-Net 2.8.1 on 12 ACDC cases. A preprocessed image takes 1.2 to 3.3 bytes per voxel
(float32, compressed by blosc2; more if it was resampled), its labels take 0.03, and each listed
voxel, from which patches are drawn, takes 32 bytes. One member (float16) of the full network takes
41, 67 or 93 MB in 2D with six, seven or eight stages (images of up to 255, 511 or more pixels) and
60 to 63 MB in 3D. A member of the small network takes 1.7 MB in 2D and up to 5 MB in 3D. A saved
state holds the weights and their momentum in float32: as much as four members.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...core.ensemble.training_settings import NETWORKS
from ...core.problems import statement
from ...io.dataset.check import CaseCheck, DatasetProblem
from ...io.dataset.raw_dataset import RawDataset
from ...io.ensemble.run_folder import RunFolder, TrainingRecord
from .request import TrainingRequest, settings_for

MB = 1_000_000
IMAGE_VOXEL, LABEL_VOXEL = 4.0, 0.1
"""Bytes of an image voxel, incompressible for blosc2, and of a label voxel."""
LOCATION = 32
"""Bytes of a voxel in nnU-Net's list: four 64-bit numbers."""
LOCATIONS, LOCATIONS_SHARE = 10_000, 0.01
"""nnU-Net lists 10 000 voxels of a structure, or a hundredth of its voxels if that is more."""
ANISOTROPIC = 3.0
"""Ratio of slice thickness to pixel size above which nnU-Net resamples to thin slices."""
FULL_2D, FULL_2D_LARGE, FULL_3D = 67 * MB, 93 * MB, 63 * MB
LARGE_SIDE = 512
SMALL_2D, SMALL_3D = 2 * MB, 5 * MB
STATE_IN_MEMBERS = 4
STATES = 3
"""The latest state, the best one, and the one being written, which replaces the latest."""
SPARE = 0.2
"""Fraction of the need that must stay free, or there is a warning."""
TOO_LITTLE_SPACE = (
    "The training needs up to {needed} of disk space ({parts}), but {output} has only {free} free. "
    "Make room, choose an output on another disk, or keep fewer members."
)
LITTLE_SPACE = (
    "The training needs up to {needed} of disk space, and {output} has {free} free. Make room "
    "before anything else is written to this disk."
)


@dataclass(frozen=True, kw_only=True)
class DiskNeed:
    """Bytes that a training will still write, in all and by purpose, and free bytes on the disk."""

    needed_bytes: int
    free_bytes: int
    parts: dict[str, int]

    def problem(self, output: Path) -> DatasetProblem | None:
        """Return a problem if space is lacking, a warning if it is scarce, else None."""
        blocks = self.needed_bytes > self.free_bytes
        if not blocks and self.needed_bytes * (1 + SPARE) <= self.free_bytes:
            return None
        text = statement(
            TOO_LITTLE_SPACE if blocks else LITTLE_SPACE,
            needed=size_text(self.needed_bytes),
            parts=", ".join(f"{name} {size_text(size)}" for name, size in self.parts.items()),
            free=size_text(self.free_bytes),
            output=output,
        )
        return DatasetProblem(text, output, blocks=blocks)


def estimate_disk_need(
    request: TrainingRequest,
    dataset: RawDataset,
    checks: Sequence[CaseCheck],
    *,
    fold: str,
    settled: TrainingRecord | None,
    free_bytes: int,
) -> DiskNeed:
    """Return what a run will still need, without the files that a resumed run already has.

    Unreadable cases do not count. Quotas of a cluster are not considered.
    """
    run = RunFolder(request.output.absolute())
    settings = settings_for(request, settled, fold)
    configuration, schedule = settings.configuration, settings.schedule
    schedule = replace(schedule, added_cycles=schedule.added_cycles + request.add_cycle)
    small = NETWORKS[settings.preset] != "full"
    images = preprocessed_bytes(dataset, checks, configuration=configuration)
    member = member_bytes(checks, configuration=configuration, small=small)
    # The real size is known from the first member on.
    member = max(_sizes(run.members(fold).glob("*.pth")), default=member)
    missing = [e for e in settings.selection.epochs(schedule) if not run.member(fold, e).exists()]
    states = sum(_sizes(run.fold(fold).glob("checkpoint_*.pth")))
    copied = sum(_sizes((run.workspace / "preprocessed").rglob("*")))
    parts = {
        "preprocessed images": max(0, images - copied),
        "members": len(missing) * member,
        "saved states": max(0, STATES * STATE_IN_MEMBERS * member - states),
    }
    return DiskNeed(needed_bytes=sum(parts.values()), free_bytes=free_bytes, parts=parts)


def preprocessed_bytes(
    dataset: RawDataset, checks: Sequence[CaseCheck], *, configuration: str
) -> int:
    """Return the largest size of nnU-Net's preprocessed copy: all cases at one spacing."""
    read = [check for check in checks if check.spacing is not None]
    if not read:
        return 0
    spacings = np.array([check.spacing for check in read])
    target = _target_spacing(spacings)
    finer = spacings / target
    if configuration == "2d":
        finer[:, target.argmax()] = 1  # 2D keeps the slices
    voxels = np.array([check.voxels for check in read]) * finer.prod(axis=1)
    of_voxels = voxels.sum() * (IMAGE_VOXEL * len(dataset.channels) + LABEL_VOXEL)
    structures = max(1, len(dataset.labels) - 1)
    # No case lists more voxels than it has.
    listed = np.minimum(voxels, LOCATIONS * structures + LOCATIONS_SHARE * voxels)
    return int(of_voxels + LOCATION * listed.sum())


def member_bytes(checks: Sequence[CaseCheck], *, configuration: str, small: bool) -> int:
    """Return the size of one member."""
    if configuration != "2d":
        return SMALL_3D if small else FULL_3D
    if small:
        return SMALL_2D
    sides = [max(check.shape[-2:]) for check in checks if check.shape]
    return FULL_2D_LARGE if sides and np.median(sides) >= LARGE_SIDE else FULL_2D


def free_bytes(output: Path) -> int:
    """Return the free space on the disk of ``output``; 0 if the disk is missing."""
    try:
        return shutil.disk_usage(nearest_existing(output)).free
    except OSError:
        return 0


def nearest_existing(path: Path) -> Path:
    """Return ``path`` or its closest parent that exists."""
    path = path.absolute()
    existing = (folder for folder in (path, *path.parents) if folder.exists())
    return next(existing, Path(path.anchor))


def size_text(size: int) -> str:
    """Return a size as text: "850 MB", "6.1 GB"."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / MB:.0f} MB"


def _target_spacing(spacings: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return (3,) mm as nnU-Net does: the median, or the 10th percentile along thick slices."""
    target: npt.NDArray[np.float64] = np.median(spacings, axis=0)
    thick = int(target.argmax())
    others = np.delete(target, thick).max()
    if target[thick] > ANISOTROPIC * others:
        target[thick] = max(others, np.percentile(spacings[:, thick], 10))
    return target


def _sizes(files: Iterable[Path]) -> Iterator[int]:
    for file in files:
        with suppress(FileNotFoundError):  # a running training replaces its files
            yield file.stat().st_size
