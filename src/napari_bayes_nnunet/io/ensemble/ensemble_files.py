"""All files of an ensemble, as another computer or nnU-Net needs them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from .ensemble_folder import EnsembleFolder
from .fingerprint import CALIBRATION_FILE
from .run_folder import RECORD

_NEXT_TO_FOLDS: Final = ("plans.json", "dataset.json", RECORD, CALIBRATION_FILE)


def ensemble_files(folder: EnsembleFolder) -> dict[str, Path]:
    """Return name → file: weights, plans, records and calibrations."""
    weights = [member.path for member in folder.members]
    trainings = {
        next(parent.parent for parent in file.parents if parent.name.startswith("fold_"))
        for file in weights
    }
    root = Path(os.path.commonpath([folder.path, *trainings]))
    texts = (training / name for training in sorted(trainings) for name in _NEXT_TO_FOLDS)
    files = [*filter(Path.is_file, texts), *weights]
    return {f"{root.name}/{file.relative_to(root).as_posix()}": file for file in files}
