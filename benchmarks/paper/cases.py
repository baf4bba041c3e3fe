"""Cases of the evaluation: validation images, plain and shifted, and those of other scanners."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from napari_bayes_nnunet.core.heart.structures import match_structure
from napari_bayes_nnunet.io.dataset.groups import patients_of, read_groups
from napari_bayes_nnunet.io.dataset.patients import DEFAULT_PATIENT, patient_of
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset

from .judging import Case
from .rows import MNMS, SUNNYBROOK
from .shifts import SHIFTS, UNSHIFTED

LABEL_ENDING = ".nii.gz"
ENDING = f"_0000{LABEL_ENDING}"


def shifted_cases(dataset: Path, held_back: list[str], *, frames: str) -> Iterator[Case]:
    """Yield every validation case unshifted, and all of them or the ES frames under every shift."""
    raw = read_dataset(dataset)
    structures = _structures(dataset)
    for shift in SHIFTS:
        for case in raw.cases:
            is_wanted = shift.name == UNSHIFTED or frames == "all" or not _is_ed(case.name)
            if case.name in held_back and is_wanted:
                patient = patient_of(case.name, DEFAULT_PATIENT)
                yield Case(shift.name, case.name, patient, case.images[0], case.label, structures)


def _structures(dataset: Path) -> dict[str, int]:
    return {name: value for name, value in read_dataset(dataset).labels.items() if value}


def _is_ed(case: str) -> bool:
    """Return whether the case is an ED frame, which ACDC numbers 1."""
    return case.endswith("_frame01")


def sunnybrook_cases(folder: Path | None, dataset: Path) -> Iterator[Case]:
    """Yield the volumes of ``folder``, in which an expert drew the LV in some slices.

    ``folder`` has images/CASE_0000.nii.gz and labels/CASE.nii.gz, in which the LV is 1; ``dataset``
    has the LV's label of the model. Raises SystemExit if it has none.
    """
    if folder is None:
        return
    labels = _structures(dataset)
    name_of_lv = match_structure("LV", labels)
    if name_of_lv is None:
        sys.exit(f"{dataset} has no label for LV. Leave --sunnybrook out, or correct dataset.json.")
    for image in sorted((folder / "images").glob(f"[!.]*{ENDING}")):
        name = image.name.removesuffix(ENDING)
        yield Case(
            *(SUNNYBROOK, name, name.rpartition("_")[0], image),
            folder / "labels" / f"{name}{LABEL_ENDING}",
            {name_of_lv: labels[name_of_lv]},
            numbers={name_of_lv: 1},
            is_partly_drawn=True,
        )


def mnms_cases(folder: Path | None, dataset: Path) -> Iterator[Case]:
    """Yield all cases of the ``folder`` that ``bayes-nnunet prepare mnms`` wrote.

    Those of its training subset count too, because no network was trained on any of them.
    ``dataset`` has the labels of the model. Raises SystemExit if M&Ms lacks one of its structures,
    or its vendors.
    """
    if folder is None:
        return
    structures, labels = _structures(dataset), _structures(folder)
    matches = {name: match_structure(name, labels) for name in structures}
    numbers = {name: labels[match] for name, match in matches.items() if match is not None}
    groups, missing = read_groups(folder), structures.keys() - numbers.keys()
    if missing or not groups:
        lacking = f"label for {', '.join(sorted(missing))}" if missing else "vendors"
        sys.exit(
            f"{folder} has no {lacking}. Choose the folder that `bayes-nnunet prepare mnms` wrote."
        )
    files = sorted(folder.glob(f"labelsT[rs]/[!.]*{LABEL_ENDING}"))
    names = {file: file.name.removesuffix(LABEL_ENDING) for file in files}
    patients = patients_of(list(names.values()), folder)
    for file, name in names.items():
        image = folder / file.parent.name.replace("labels", "images") / f"{name}{ENDING}"
        yield Case(
            *(MNMS, name, patients[name], image, file, structures),
            numbers=numbers,
            groups=groups.get(name, {}),
        )
