"""Ensembles on the computer that segments for another one, found by their fingerprints."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final

from platformdirs import user_cache_path

from ...core.problems import Action
from ...io import DataError
from ...io.ensemble.ensemble_folder import find_ensemble
from ...io.ensemble.fingerprint import fingerprint
from .. import AppError
from ..messages import EnsembleFile
from .stream import DAMAGED_DATA

BUILT_IN_FOLDER: Final = Path(__file__).parents[2] / "demo_ensemble"
_FINGERPRINT: Final = re.compile("[0-9a-f]{32}")


def find_kept(folder: str, known_by: str) -> Path | None:
    """Return the folder of the ensemble with this fingerprint, None if this computer lacks it.

    It is looked for in ``folder``, in this package, and among those that were sent.
    """
    for path in (Path(folder), BUILT_IN_FOLDER, *_kept_folder(known_by).glob("*")):
        with suppress(DataError):
            if fingerprint(find_ensemble(path)) == known_by:
                return path
    return None


def keep_file(file: EnsembleFile) -> None:
    """Keep a file of an ensemble, which can be found once its last file is kept. Raises OSError."""
    folder, name = _kept_folder(file.fingerprint), PurePosixPath(file.name)
    if name.is_absolute() or ".." in name.parts:
        raise AppError(DAMAGED_DATA, Action.START_AGAIN)
    # Under this name it is not found before it is whole.
    unfinished = folder.with_suffix(".part")
    place = unfinished / name
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(file.content, place)
    if file.is_last:
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.replace(folder)


def _kept_folder(known_by: str) -> Path:
    if not _FINGERPRINT.fullmatch(known_by):
        raise AppError(DAMAGED_DATA, Action.START_AGAIN)
    return user_cache_path("napari-bayes-nnunet", appauthor=False) / "ensembles" / known_by
