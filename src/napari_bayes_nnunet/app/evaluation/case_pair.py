"""A prediction and its reference, read together: labels of one grid and with one meaning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...core.heart.measurements import canonical_structure
from ...core.heart.structures import match_structure
from ...io.evaluation.predictions import Prediction, read_prediction
from ...io.evaluation.references import Reference, known_reference, structure_numbers
from ...io.images.nifti import ENDINGS
from .. import AppError


@dataclass(frozen=True, kw_only=True, eq=False)
class CasePair:
    """``reference`` has the numbers of the prediction; None where there are no labels.

    ``titles``: what each structure of the prediction is called in the evaluation. ``structures``:
    title → label of those that were predicted, ``judged`` of those the reference knows too;
    ``unknown`` are structures of the reference that the prediction does not know. Of the known
    ones only those titles are judged that are in ``only``, where that is given.
    """

    prediction: Prediction
    reference: Reference | None
    titles: dict[str, str]
    structures: dict[str, int]
    unknown: tuple[str, ...] = ()
    only: frozenset[str] | None = None

    @property
    def judged(self) -> dict[str, int]:
        """Title → label of the structures that prediction and reference know."""
        known = self._known
        return {title: label for title, label in known.items() if title not in self.left_out}

    @property
    def left_out(self) -> list[str]:
        """Titles of known structures that are not to be judged."""
        return [title for title in self._known if self.only is not None and title not in self.only]

    @property
    def _known(self) -> dict[str, int]:
        known = self.reference.structures if self.reference else {}
        return {self.titles[name]: label for name, label in known.items()}

    @property
    def image_case(self) -> str:
        """The case without the phase of a cine, as its image or a 4D reference may be called."""
        return _without_phase(self.prediction)


def read_pair(
    predictions: Path, labels: Path, case: str, *, only: frozenset[str] | None = None
) -> CasePair:
    """Read a case of the folder ``predictions`` and its reference in ``labels``.

    What the labels of the prediction mean is said by its ``<case>.json``, by a ``dataset.json`` in
    or above its folder, else by that of the reference.

    Raises AppError where nothing says so and where both are the same file, and DataError for files
    that cannot be read and a reference that does not fit.
    """
    prediction = read_prediction(predictions, case)
    _refuse_same_file(prediction, labels)
    of_reference = structure_numbers(labels)
    structures = prediction.structures or of_reference
    if structures is None:
        raise AppError(
            "Nothing says which structure each label is: put the dataset.json that the model was "
            f"trained with into {predictions}, and that of the references into {labels}."
        )
    _refuse_values_without_meaning(prediction, structures)
    reference = known_reference(
        labels,
        _without_phase(prediction),
        prediction.phase,
        structures=structures,
        geometry=prediction.labels.geometry,
    )
    titles = structure_titles(structures)
    return CasePair(
        prediction=prediction,
        reference=reference,
        titles=titles,
        structures={titles[name]: label for name, label in structures.items()},
        unknown=tuple(
            name for name in of_reference or () if match_structure(name, structures) is None
        ),
        only=only,
    )


def _refuse_values_without_meaning(prediction: Prediction, structures: Mapping[str, int]) -> None:
    found = set(np.unique(prediction.labels.voxels).tolist()) - {0, *structures.values()}
    if found:
        known = ", ".join(f"{value} ({name})" for name, value in structures.items())
        raise AppError(
            f"{prediction.labels.source} holds the value {min(found)}, but only {known} have a "
            "meaning: put the dataset.json that the model was trained with beside it."
        )


def structure_titles(names: Iterable[str]) -> dict[str, str]:
    """RV, MYO or LV for each name that means it, unless two mean the same."""
    meant = {name: canonical_structure(name) or name for name in names}
    usual = Counter(meant.values())
    return {name: title if usual[title] == 1 else name for name, title in meant.items()}


def _without_phase(prediction: Prediction) -> str:
    phase = prediction.phase
    return prediction.case.removesuffix("" if phase is None else f"_frame{phase:02d}")


def _refuse_same_file(prediction: Prediction, labels: Path) -> None:
    source = prediction.labels.source
    same = (labels / f"{prediction.case}{end}{ending}" for end in ("", "_gt") for ending in ENDINGS)
    if any(file.is_file() and file.samefile(source) for file in same):
        raise AppError(
            f"{source} would be compared with itself: LABELS should be another folder, with labels "
            "that no model made."
        )
