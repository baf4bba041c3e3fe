"""Prediction and reference of a case, on the same grid and with the same label numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...core.heart.measurements import canonical_structure
from ...core.heart.structures import match_structure
from ...io.evaluation.label_tree import reference_names
from ...io.evaluation.predictions import Prediction, read_prediction
from ...io.evaluation.references import (
    Reference,
    reference_labels,
    refuse_unknown_labels,
    structure_numbers,
)
from ...io.files.given_path import is_same_path
from ...io.images.nifti import ENDINGS
from .. import AppError


@dataclass(frozen=True, kw_only=True, eq=False)
class CasePair:
    """A prediction and its ``reference`` with the same numbers; None without reference labels.

    ``titles``: name of a predicted structure → its title in the evaluation. ``structures``:
    title → label of all predicted structures, ``judged`` of those that the reference has too.
    ``unknown`` are structures of the reference that the prediction lacks. If ``only`` is given,
    no other titles are judged.
    """

    prediction: Prediction
    reference: Reference | None
    titles: dict[str, str]
    structures: dict[str, int]
    unknown: tuple[str, ...] = ()
    only: frozenset[str] | None = None

    @property
    def judged(self) -> dict[str, int]:
        """Title → label of the structures that prediction and reference have."""
        known = self._known
        return {title: label for title, label in known.items() if title not in self.left_out}

    @property
    def left_out(self) -> list[str]:
        """Titles that prediction and reference have but that are not in ``only``."""
        return [title for title in self._known if self.only is not None and title not in self.only]

    @property
    def _known(self) -> dict[str, int]:
        known = self.reference.structures if self.reference else {}
        return {self.titles[name]: label for name, label in known.items()}

    @property
    def image_case(self) -> str:
        """Name of the case without the phase, as the image or the 4D reference of a cine has it."""
        phase = self.prediction.phase
        return self.prediction.case.removesuffix("" if phase is None else f"_frame{phase:02d}")


def read_pair(
    predictions: Path,
    labels: Path,
    case: str,
    *,
    reference_case: str | None,
    only: frozenset[str] | None = None,
) -> CasePair:
    """Read a case of the folder ``predictions`` and its reference in ``labels``.

    ``reference_case`` is the case of the reference (`match_references`), None if it has none.

    The meaning of the predicted labels is read from ``<case>.json``, else from a ``dataset.json``
    in or above the folder, else from that of the reference.

    Raises AppError if their meaning is unknown or both are the same file, and DataError for a file
    that cannot be read and a reference that does not match.
    """
    prediction = read_prediction(predictions, case)
    _refuse_same_file(prediction, labels, reference_case or case)
    reference_structures = structure_numbers(labels)
    structures = prediction.structures or reference_structures
    if structures is None:
        raise AppError(
            "The meaning of the labels is unknown. Put the model's dataset.json into {predictions} "
            "and that of the references into {labels}.",
            predictions=predictions,
            labels=labels,
        )
    refuse_unknown_labels(prediction.labels, structures)
    reference = None
    if reference_case is not None:
        reference = reference_labels(
            *(labels, reference_case, prediction.phase),
            structures=structures,
            geometry=prediction.labels.geometry,
            only_known=True,
        )
    titles = structure_titles(structures)
    return CasePair(
        prediction=prediction,
        reference=reference,
        titles=titles,
        structures={titles[name]: label for name, label in structures.items()},
        unknown=tuple(
            name for name in reference_structures or () if match_structure(name, structures) is None
        ),
        only=only,
    )


def structure_titles(names: Iterable[str]) -> dict[str, str]:
    """Return RV, MYO or LV for each name that means it, unless two mean the same."""
    canonical = {name: canonical_structure(name) or name for name in names}
    counts = Counter(canonical.values())
    return {name: title if counts[title] == 1 else name for name, title in canonical.items()}


def _refuse_same_file(prediction: Prediction, labels: Path, case: str) -> None:
    source, phase = prediction.labels.source, prediction.phase
    same = (
        labels / f"{PurePosixPath(case).parent / name}{ending}"
        for name, _ in reference_names(PurePosixPath(case).name, phase)
        for ending in ENDINGS
    )
    if any(file.is_file() and is_same_path(file, source) for file in same):
        raise AppError(
            "{file} would be compared with itself. Choose another folder of reference labels.",
            file=source,
        )
