"""Bayesian nnU-Net: segment cardiac MRI with uncertainty, by an ensemble of checkpoints.

The names below are loaded on first use; importing the package imports neither torch nor napari.

>>> from napari_bayes_nnunet import Ensemble, read_volume
>>> volume = read_volume("patient001_frame01.nii.gz")
>>> result = Ensemble("runs/acdc").segment(volume.voxels, volume.spacing)
>>> result.labels, result.entropy, result.mutual_information, result.probabilities
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Ensemble": "app.segment",
    "Segmentation": "app.segmentation",
    "Snapshot": "app.segmentation",
    "TrainingRequest": "app.training_request",
    "train": "app.training",
    "find_ensemble": "io.ensemble_folder",
    "read_dicom": "io.dicom",
    "read_volume": "io.nifti",
    "write_labels": "io.nifti",
    "write_map": "io.nifti",
    "RestartSchedule": "core.schedule",
    "MemberSelection": "core.schedule",
    "RunningPosterior": "core.posterior",
    "dice": "core.metrics",
    "pairwise_dice": "core.metrics",
    "expected_calibration_error": "core.calibration",
}

__all__ = ["__version__", *sorted(_HOME)]

if TYPE_CHECKING:
    from .app.segment import Ensemble
    from .app.segmentation import Segmentation, Snapshot
    from .app.training import train
    from .app.training_request import TrainingRequest
    from .core.calibration import expected_calibration_error
    from .core.metrics import dice, pairwise_dice
    from .core.posterior import RunningPosterior
    from .core.schedule import MemberSelection, RestartSchedule
    from .io.dicom import read_dicom
    from .io.ensemble_folder import find_ensemble
    from .io.nifti import read_volume, write_labels, write_map


def __getattr__(name: str) -> Any:
    """Load a public name when it is asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
