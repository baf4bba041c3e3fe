"""Comparison of two result folders, apart from times, machines and paths."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

RUN_FIELDS = frozenset(
    {"seconds", "device", "created", "relative_path", "path", "started", "ended", "worker"}
)
_PAGES = ("cohort.html",)


def differences(first: Path, second: Path) -> list[str]:
    """Return a line for each file that differs or is in one folder only."""
    files, others = _files(first), _files(second)
    unpaired = [f"{name} is in one folder only" for name in sorted(files ^ others)]
    shared = (name for name in sorted(files & others) if name not in _PAGES)
    return unpaired + [
        f"{name} differs" for name in shared if _content(first / name) != _content(second / name)
    ]


def _files(folder: Path) -> set[str]:
    return {
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*")
        if file.is_file() and file.suffix != ".lock"
    }


def _content(file: Path) -> Any:
    if file.name.endswith(".nii.gz"):
        image = nib.load(file)
        return image.header.binaryblock, np.asarray(image.dataobj).tobytes()
    if file.suffix == ".npz":
        with zipfile.ZipFile(file) as content:
            return {name: content.read(name) for name in content.namelist()}
    if file.suffix == ".json":
        return _without_times(json.loads(file.read_text(encoding="utf-8")))
    if file.suffix == ".csv":
        with file.open(encoding="utf-8", newline="") as rows:
            return sorted(
                (_without_times(row) for row in csv.DictReader(rows)), key=lambda row: str(row)
            )
    return file.read_bytes()


def _without_times(content: Any) -> Any:
    if isinstance(content, dict):
        return {k: _without_times(v) for k, v in content.items() if k not in RUN_FIELDS}
    if isinstance(content, list):
        return [_without_times(item) for item in content]
    return content
