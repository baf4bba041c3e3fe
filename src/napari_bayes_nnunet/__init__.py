"""Bayesian nnU-Net: segment cardiac MRI with uncertainty, by an ensemble of checkpoints.

The names below are loaded on first use; importing the package imports neither torch nor napari.

>>> from napari_bayes_nnunet import Ensemble, read_volume
>>> volume = read_volume("patient001_frame01.nii.gz")
>>> result = Ensemble("runs/acdc").segment(volume.voxels, volume.spacing, doubt=volume.doubt)
>>> result.labels, result.entropy, result.mutual_information, result.probabilities
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

_HOME = {
    "Ensemble": "app.segmentation.ensemble",
    "Segmentation": "app.segmentation.result",
    "SegmentationSettings": "app.segmentation.settings",
    "Snapshot": "app.segmentation.result",
    "TrainingRequest": "app.training.request",
    "train": "app.training.run",
    "find_ensemble": "io.ensemble.ensemble_folder",
    "read_dicom": "io.dicom.reader",
    "read_volume": "io.images.nifti",
    "write_labels": "io.images.nifti",
    "write_map": "io.images.nifti",
    "RestartSchedule": "core.ensemble.schedule",
    "MemberSelection": "core.ensemble.schedule",
    "RunningPosterior": "core.ensemble.posterior",
    "dice": "core.metrics.overlap",
    "pairwise_dice": "core.metrics.overlap",
    "expected_calibration_error": "core.metrics.calibration",
}

__all__ = ["__version__", *sorted(_HOME)]

if TYPE_CHECKING:
    from .app.segmentation.ensemble import Ensemble
    from .app.segmentation.result import Segmentation, Snapshot
    from .app.segmentation.settings import SegmentationSettings
    from .app.training.request import TrainingRequest
    from .app.training.run import train
    from .core.ensemble.posterior import RunningPosterior
    from .core.ensemble.schedule import MemberSelection, RestartSchedule
    from .core.metrics.calibration import expected_calibration_error
    from .core.metrics.overlap import dice, pairwise_dice
    from .io.dicom.reader import read_dicom
    from .io.ensemble.ensemble_folder import find_ensemble
    from .io.images.nifti import read_volume, write_labels, write_map


def __getattr__(name: str) -> Any:
    """Load a public name when it is asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
