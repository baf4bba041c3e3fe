"""Cases of the evaluation: validation images, plain and shifted, and those of another scanner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari_bayes_nnunet.io.dataset.patients import DEFAULT_PATIENT, patient_of
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset

from .judging import Case
from .rows import SUNNYBROOK
from .shifts import SHIFTS, UNSHIFTED

ENDING = "_0000.nii.gz"


def shifted_cases(dataset: Path, held_back: list[str], *, frames: str) -> Iterator[Case]:
    """Yield every validation case unshifted, and all of them or the ES frames under every shift."""
    raw = read_dataset(dataset)
    structures = {name: value for name, value in raw.labels.items() if value}
    for shift in SHIFTS:
        for case in raw.cases:
            is_wanted = shift.name == UNSHIFTED or frames == "all" or not _is_ed(case.name)
            if case.name in held_back and is_wanted:
                patient = patient_of(case.name, DEFAULT_PATIENT)
                yield Case(shift.name, case.name, patient, case.images[0], case.label, structures)


def _is_ed(case: str) -> bool:
    """Return whether the case is an ED frame, which ACDC numbers 1."""
    return case.endswith("_frame01")


def sunnybrook_cases(folder: Path | None, dataset: Path) -> Iterator[Case]:
    """Yield the volumes of ``folder``, in which an expert drew the LV in some slices.

    ``folder`` has images/CASE_0000.nii.gz and labels/CASE.nii.gz, in which the LV is 1; ``dataset``
    has the LV's label of the model.
    """
    if folder is None:
        return
    structures = {"LV": read_dataset(dataset).labels["LV"]}
    for image in sorted((folder / "images").iterdir()):
        name = image.name.removesuffix(ENDING)
        yield Case(
            *(SUNNYBROOK, name, name.rpartition("_")[0], image),
            folder / "labels" / f"{name}.nii.gz",
            structures,
            numbers={"LV": 1},
            is_partly_drawn=True,
        )
