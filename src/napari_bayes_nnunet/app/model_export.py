"""Zip files of ensembles that nnU-Net installs and predicts with."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Final

from ..io.ensemble.ensemble_files import ensemble_files
from ..io.ensemble.ensemble_folder import EnsembleFolder, find_ensemble
from ..io.files.access import writing
from ..io.files.atomic import replacing
from . import AppError
from .segmentation.methods import no_usable_member

SEVERAL_TRAININGS: Final = (
    "{folder} holds several trainings, but a zip file of nnU-Net holds one. Choose one of them."
)
WRONG_NAME: Final = (
    "{name!r} is not the name of a dataset of nnU-Net. Choose one such as Dataset120_heart."
)
FINAL: Final = "checkpoint_final.pth"
_DATASET: Final = re.compile(r"Dataset\d{3}_[\w.-]+")


def export_model(ensemble: Path, output: Path, dataset: str | None = None) -> str:
    """Write an ensemble to a zip file that ``nnUNetv2_install_pretrained_model_from_zip`` takes.

    Next to the members of a run lies the last one of each fold as ``checkpoint_final.pth``, with
    which nnU-Net predicts unless it is told another. Returns the name under which nnU-Net installs
    it: ``dataset``, or that of the training. Raises AppError or DataError if there is no training
    to write, or several.
    """
    folder = find_ensemble(ensemble)
    members = folder.usable_members
    if not members:
        raise no_usable_member(folder)
    if len({member.training for member in members}) > 1:
        raise AppError(SEVERAL_TRAININGS, folder=ensemble)
    files = {name.partition("/")[2]: file for name, file in ensemble_files(folder).items()}
    last = {f"fold_{m.fold}/{FINAL}": m.path for m in members if m.path.parent.name == "members"}
    name = dataset or str(folder.plans.get("dataset_name"))
    if not _DATASET.fullmatch(name):
        raise AppError(WRONG_NAME, name=name)
    root = f"{name}/{_model_name(folder)}"
    # Not compressed, because weights hardly shrink.
    with writing(output), replacing(output) as temporary, zipfile.ZipFile(temporary, "w") as made:
        for place, file in {**files, **last}.items():
            made.write(file, f"{root}/{place}")
    return name


def _model_name(folder: EnsembleFolder) -> str:
    """Return the name of the model among the results of nnU-Net.

    A run is a model of nnU-Net's own trainer there, because its members need no other.
    """
    name = folder.path.name
    # nnU-Net calls a model by its trainer, plans and configuration.
    if folder.record is None and name.count("__") == 2:
        return name
    return f"nnUNetTrainer__{folder.plans.get('plans_name')}__{folder.configuration}"
