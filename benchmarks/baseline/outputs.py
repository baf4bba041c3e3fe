"""Outputs of the commands on a fixed set, as texts without what changes from run to run."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import napari
import nibabel
import numpy as np
import pydicom
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_bayes_nnunet.widgets.common.settings import Settings
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget

PACKAGE = Path(__file__).parents[2] / "src" / "napari_bayes_nnunet"
ENSEMBLE = PACKAGE / "demo_ensemble"
CINE = PACKAGE / "sample_data" / "SCD0000301_cine.nii.gz"
PATIENTS: Final = 8
EXACT: Final = ("--device", "cpu", "--precision", "full")
QUICK: Final = (*EXACT, "--members", "3", "--mirroring", "none")
SAVED: Final = "entropy,mutual-information,probabilities,study"
KEYS: Final = "NWWAKNDQANRATWA"
"""Keys of a review, in this order."""
CHANGING: Final = re.compile(
    r"seconds|created|when|date|time|eta|pid|host|path|folder|uid|version|commit|digest|signature|"
    r"sha256|torch|python|device_name|memory|argv|command|^file$|^source$",
    re.IGNORECASE,
)
"""Names of entries that change from run to run, or with the machine."""
MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?(\.\d+)?)?")
DURATION: Final = re.compile(r"\b\d+(\.\d+)? (ms|s|min|h)\b")


def record(acdc: Path, dicom: Path, out: Path) -> None:
    """Run all commands in a temporary folder, and write the texts of their files."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _train(_subset(acdc, folder / "Dataset001_Hearts"), folder)
        _predict(folder, dicom)
        _review(next((folder / "dicom").rglob("study.json")).parent)
        _run(folder, "export", "export-dicom", next((folder / "dicom").rglob("study.json")).parent,
             dicom, "-o", folder / "export")  # fmt: skip
        for file in sorted(folder.rglob("*")):
            name = re.sub(r"\d+(\.\d+){5,}", "UID", str(file.relative_to(folder)))
            lines = list(_describe(file, folder)) if file.is_file() else []
            if lines:
                target = out / f"{name}.txt"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _subset(acdc: Path, dataset: Path) -> Path:
    """Copy the first patients of a dataset."""
    for part in ("imagesTr", "labelsTr"):
        (dataset / part).mkdir(parents=True)
        for file in sorted((acdc / part).iterdir())[: 2 * PATIENTS]:
            shutil.copy(file, dataset / part)
    content = json.loads((acdc / "dataset.json").read_text())
    content["numTraining"] = 2 * PATIENTS
    (dataset / "dataset.json").write_text(json.dumps(content))
    return dataset


def _run(folder: Path, name: str, *arguments: object) -> None:
    """Run a command, and keep what it prints."""
    command = [sys.executable, "-m", "napari_bayes_nnunet", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    (folder / f"{name}.out").write_text(f"{done.stdout}\n{done.stderr}\n{done.returncode}\n")


def _train(dataset: Path, folder: Path) -> None:
    run = folder / "run"
    _run(folder, "train", "train", dataset, "--output", run, "--preset", "tiny", "--seed", "7",
         "--epochs", "6", "--cycles", "2", "--members-per-cycle", "2",
         "--iterations-per-epoch", "2", "--device", "cpu")  # fmt: skip
    shutil.rmtree(run / "nnunet_data", ignore_errors=True)
    _run(folder, "calibrate", "calibrate", run, dataset, "--device", "cpu", "--mirroring", "none")
    _run(folder, "inspect", "inspect", run)


def _predict(folder: Path, dicom: Path) -> None:
    images = sorted((folder / "Dataset001_Hearts" / "imagesTr").iterdir())[:4]
    labels = folder / "Dataset001_Hearts" / "labelsTr"
    _run(folder, "nifti", "predict", ENSEMBLE, *images, "-o", folder / "multi", *QUICK, "--save",
         SAVED)  # fmt: skip
    _run(folder, "default", "predict", ENSEMBLE, images[0], "-o", folder / "default", *EXACT)
    _run(folder, "single", "predict", ENSEMBLE, *images, "-o", folder / "single", *QUICK,
         "--method", "single", "--save", "probabilities")  # fmt: skip
    _run(folder, "cine", "predict", ENSEMBLE, CINE, "-o", folder / "cine", *QUICK, "--phases",
         "ED,ES", "--save", "entropy")  # fmt: skip
    _run(folder, "dicom", "predict", ENSEMBLE, dicom, "-o", folder / "dicom", *QUICK, "--phases",
         "ED,ES")  # fmt: skip
    _run(folder, "evaluate", "evaluate", folder / "multi", labels, "--output", folder / "evaluated",
         "--compare", f"single={folder / 'single'}")  # fmt: skip


def _review(study: Path) -> None:
    """Press the keys of a review, and close it."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 1000)
    dock = ReviewWidget(viewer, settings=Settings(study.parent / "settings.json"))
    viewer.window.add_dock_widget(dock, area="right")
    dock.open(study)
    while dock.controller is None or dock.is_opening:
        QTest.qWait(50)
    canvas = viewer.window._qt_viewer.canvas.native
    for letter in KEYS:
        QTest.keyClick(canvas, getattr(Qt.Key, f"Key_{letter}"))
        QTest.qWait(500)
    viewer.close()


def _describe(file: Path, folder: Path) -> Iterator[str]:
    """Yield the lines of a text that stands for a file."""
    if {"imagesTr", "labelsTr"} & {*file.parts} or file.name == "settings.json":
        return
    if file.name.endswith((".nii", ".nii.gz")):
        image = nibabel.load(file)
        yield f"{image.get_data_dtype()} {image.shape} {_sum(np.asanyarray(image.dataobj))}"
        yield str(np.round(image.affine, 5).tolist())
    elif file.suffix == ".npz":
        with np.load(file) as arrays:
            for name in sorted(arrays.files):
                yield f"{name} {arrays[name].dtype} {arrays[name].shape} {_sum(arrays[name])}"
    elif file.suffix == ".json":
        content = json.loads(file.read_text(encoding="utf-8"))
        yield from json.dumps(_stable(content), indent=1, sort_keys=True).splitlines()
    elif file.suffix == ".dcm":
        yield from _dicom_lines(pydicom.dcmread(file))
    elif file.suffix == ".csv":
        rows = list(csv.reader(io.StringIO(file.read_text(encoding="utf-8"))))
        changing = {n for n, name in enumerate(rows[0] if rows else ()) if CHANGING.search(name)}
        for row in rows:
            yield _plain(",".join(c for n, c in enumerate(row) if n not in changing), folder)
    elif file.suffix in (".html", ".out"):
        text = file.read_text(encoding="utf-8", errors="replace")
        text = re.sub(r"data:[\w/+;,-]+base64,[\w+/=]+", "PICTURE", text)
        for line in text.splitlines():
            yield _plain(line, folder)
    elif file.name.startswith("training_log"):
        for line in file.read_text(encoding="utf-8").splitlines():
            if match := re.search(r"(train_loss|val_loss|Pseudo dice).*", line):
                yield match[0]


def _plain(line: str, folder: Path) -> str:
    line = line.replace(str(folder), "FOLDER").replace(str(PACKAGE), "PACKAGE")
    return DURATION.sub("DURATION", MOMENT.sub("MOMENT", line))


def _stable(content: Any) -> Any:
    """Return JSON without entries that change from run to run."""
    if isinstance(content, dict):
        return {k: _stable(v) for k, v in content.items() if not CHANGING.search(k)}
    if isinstance(content, list):
        return [_stable(value) for value in content]
    return content


def _dicom_lines(content: pydicom.Dataset) -> Iterator[str]:
    for element in content.iterall():
        changes = element.VR in ("UI", "DA", "TM", "DT", "SQ")
        if not changes and not CHANGING.search(element.name):
            is_large = isinstance(element.value, bytes)
            value = hashlib.sha256(element.value).hexdigest() if is_large else element.value
            yield f"{element.tag} {element.name}: {value}"


def _sum(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
