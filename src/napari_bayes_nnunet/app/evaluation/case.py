"""Numbers of a segmented 3D image against its reference, of ED and ES, and of all cases."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ...core import InputError
from ...core.ensemble.maps import MAPS
from ...core.heart.function import Intervals, heart_function
from ...core.heart.measurements import canonical_structure
from ...core.heart.slice_volumes import PhaseVolumes
from ...core.heart.structures import match_structure
from ...core.metrics.calibration import ReliabilityBins
from ...core.types import LabelMap, Phase
from ...io.dataset.phase_pairs import phase_pairs
from ...io.evaluation.predictions import Prediction, read_prediction
from ...io.evaluation.references import (
    Reference,
    reference_labels,
    reference_names,
    refuse_unknown_labels,
    structure_numbers,
)
from ...io.files.given_path import is_same_path
from ...io.images.nifti import ENDINGS
from .. import AppError
from ..report.number_warnings import number_warnings
from .aggregates import ALL, PATIENT_COLUMN, RELIABILITY_COLUMN
from .measures import (
    OF_CASE,
    OF_STRUCTURE,
    JudgedCase,
    Probabilities,
    detection_numbers,
    interval_numbers,
)

if TYPE_CHECKING:
    from pandas import DataFrame


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
    # The numbers of two structures with one title would replace each other.
    return {name: title if counts[title] == 1 else name for name, title in canonical.items()}


def _refuse_same_file(prediction: Prediction, labels: Path, case: str) -> None:
    source, phase = prediction.labels.source, prediction.phase
    same = (
        labels / f"{PurePosixPath(case).parent / name}{ending}"
        for name, _ in reference_names(PurePosixPath(case).name, phase)
        for ending in ENDINGS
    )
    # Compared with itself, every case would have a Dice of 1.
    if any(file.is_file() and is_same_path(file, source) for file in same):
        raise AppError(
            "{file} would be compared with itself. Choose another folder of reference labels.",
            file=source,
        )


MapValues = NDArray[np.floating]
GROUP = "group"


@dataclass(frozen=True, kw_only=True, eq=False)
class CaseEvaluation:
    """All numbers of one image: ``numbers`` of each structure, and of `ALL`, by column.

    A number that is not defined is NaN or missing. `OF_STRUCTURE` and `OF_CASE` have the columns.
    The whole case also has the means of Dice, pairwise Dice and expected Dice over the structures,
    and the numbers of `detection_numbers` and `interval_numbers`. ``reliability``: bins of
    confidence in the foreground box of the reference, None without probabilities.
    """

    case: str
    patient: str
    groups: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, dict[str, float]]
    reliability: ReliabilityBins | None = None

    def number(self, column: str, structure: str = ALL) -> float:
        """Return a number of a structure or of the whole case, NaN if it is not defined."""
        return self.numbers.get(structure, {}).get(column, math.nan)

    @property
    def structures(self) -> list[str]:
        """Names of the judged structures."""
        return [name for name in self.numbers if name != ALL]


def case_table(cases: Iterable[CaseEvaluation]) -> DataFrame:
    """Return the table of cases: a row each, and a column for each (name, structure) of a number.

    Other columns are `PATIENT_COLUMN`, `RELIABILITY_COLUMN` and (`GROUP`, name) of each group.
    """
    # pandas takes long to import, and the docks open without it.
    from pandas import DataFrame, MultiIndex

    rows = [
        {
            PATIENT_COLUMN: case.patient,
            RELIABILITY_COLUMN: case.reliability,
            **{(GROUP, name): value for name, value in case.groups.items()},
            **{(n, s): v for s, numbers in case.numbers.items() for n, v in numbers.items()},
        }
        for case in cases
    ]
    # An empty table has columns, too: pandas makes no MultiIndex of nothing.
    columns = dict.fromkeys(column for row in rows for column in row) or (
        PATIENT_COLUMN,
        RELIABILITY_COLUMN,
    )
    # Cases differ in what is known of them, such as the structures of their reference.
    data = {column: [row.get(column, math.nan) for row in rows] for column in columns}
    return DataFrame(data, columns=MultiIndex.from_tuples(columns))


def evaluate_case(
    *,
    case: str,
    patient: str,
    labels: LabelMap,
    reference: LabelMap,
    spacing: Sequence[float],
    structures: Mapping[str, int],
    probabilities: Probabilities | None = None,
    maps: Mapping[str, MapValues] | None = None,
    volume_intervals: Mapping[str, Intervals] | None = None,
    groups: Mapping[str, str] | None = None,
    **scores: Any,
) -> CaseEvaluation:
    """Measure a prediction against its reference.

    ``labels`` and ``reference`` (Z, Y, X), both numbered as ``structures`` (name: label from 1);
    ``spacing`` (z, y, x) in mm; ``probabilities`` (C, Z, Y, X), class = label; ``maps``: name →
    (Z, Y, X) values; ``volume_intervals``: structure → level → the interval of its volume in mL.
    ``scores`` are ``pairwise_dice`` of the members and ``expected_dice``, per structure, and
    the ``failure_score``. Numbers that need a missing argument are NaN or missing, and so are those
    of the detection of errors without ``detects_errors``, which takes a third of the time.

    ``structures`` are those in the reference. Every other label or class counts as background:
    its voxels become 0 and its probability is added to that of the background. The maps are not
    changed, so uncertainty about such a structure still counts. A disagreement of 0 everywhere, as
    from a single model, counts as missing.

    Raises InputError if the probabilities lack a structure or have another shape.
    """
    maps = {
        name: values
        for name, entry in MAPS.items()
        if (values := (maps or {}).get(name)) is not None
        and not (entry.needs_members and not values.any())
    }
    judged = JudgedCase(
        labels=number_labels(labels, structures.values()),
        reference=number_labels(reference, structures.values()),
        drawn=labels,
        spacing=spacing,
        structures={name: number for number, name in enumerate(structures, start=1)},
        probabilities=_merged(probabilities, structures, reference.shape),
        maps=maps,
        **{name: score for name, score in scores.items() if score is not None},
    )
    numbers = _numbers(judged)
    for name, intervals in (volume_intervals or {}).items():
        if name in structures:
            reference_ml = numbers[name]["reference_ml"]
            numbers[ALL] |= interval_numbers(f"{name} volume", reference_ml, intervals)
    return CaseEvaluation(
        case=case,
        patient=patient,
        groups=dict(groups or {}),
        numbers=numbers,
        reliability=judged.reliability,
    )


def _numbers(judged: JudgedCase) -> dict[str, dict[str, float]]:
    """Return the numbers of each structure and of the whole case."""
    numbers: dict[str, dict[str, float]] = {name: {} for name in judged.structures}
    for figure in OF_STRUCTURE:
        values = figure.of(judged)
        for name in numbers:
            numbers[name][figure.column] = float(values.get(name, math.nan))
    whole = {figure.column: float(figure.of(judged)) for figure in OF_CASE}
    return {**numbers, ALL: whole | structure_means(numbers) | detection_numbers(judged)}


def structure_means(numbers: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the means of Dice, pairwise Dice and expected Dice of the structures that have one."""
    means = {}
    for column in ("dice", "pairwise_dice", "expected_dice"):
        every = (of_structure.get(column, math.nan) for of_structure in numbers.values())
        known = [number for number in every if not math.isnan(number)]
        name = f"mean_{column}" if column == "expected_dice" else column  # not in cases.csv
        means[name] = math.fsum(known) / len(known) if known else math.nan
    return means


def number_labels(labels: LabelMap, values: Iterable[int | None]) -> NDArray[np.uint8]:
    """Return (Z, Y, X) labels with these values numbered 1, 2 … in their order, 0 for the rest.

    None stands for a structure without a label.
    """
    numbered = np.zeros(labels.shape, np.uint8)
    for number, label in enumerate(values, start=1):
        numbered[labels == label] = number
    return numbered


def _merged(
    probabilities: Probabilities | None, structures: Mapping[str, int], shape: tuple[int, ...]
) -> Probabilities | None:
    """Return (1 + structures, Z, Y, X) probabilities in their order; the rest is background."""
    if probabilities is None:
        return None
    kept = list(structures.values())
    if probabilities.shape[1:] != shape or len(probabilities) <= max(kept, default=0):
        raise InputError(
            "Expected probabilities with a class for each of {structures} and the shape {expected} "
            "(z, y, x) of the reference, found {found} (c, z, y, x).",
            structures=", ".join(structures),
            expected=shape,
            found=probabilities.shape,
        )
    # No copy if nothing is left out.
    if kept == list(range(1, len(probabilities))):
        return probabilities
    # The classes still sum to 1, which calibration errors need.
    rest = np.delete(probabilities, kept, axis=0).sum(axis=0, keepdims=True)
    return np.concatenate([rest, probabilities[kept]])


PHASE: Final = "phase"
"""Group of the cases of end-diastole and end-systole."""
END_PHASES: Final = ("ED", "ES")


def with_phases(
    cases: Sequence[CaseEvaluation], functions: Mapping[str, Mapping[str, Intervals]]
) -> list[CaseEvaluation]:
    """Return the cases, those of ED and ES with this group and the intervals of ``functions``.

    Cases of one examination are paired by name and reference volumes. ``functions`` has the
    intervals of the heart's measurements by case; ED gets them, with the reference's values.
    """
    volumes = _reference_volumes(cases)
    found = {case.case: case for case in cases}
    # The reference says which phase is ED, so all methods have the same one.
    for pair in phase_pairs(volumes):
        for name, phase in zip(pair, END_PHASES, strict=True):
            # A phase in the table of groups has precedence.
            found[name] = replace(found[name], groups={PHASE: phase} | found[name].groups)
        ends: dict[Phase, PhaseVolumes] = {
            number: PhaseVolumes.from_totals(volumes[case]) for number, case in enumerate(pair)
        }
        # The true numbers follow from the same formulas as the predicted ones.
        truth = heart_function(ends, ed=0, es=1)
        whole = dict(found[pair[0]].numbers[ALL])
        for name, known in functions.get(pair[0], {}).items():
            if name in truth:
                whole |= interval_numbers(name, truth[name].value, known)
        numbers = found[pair[0]].numbers | {ALL: whole}
        found[pair[0]] = replace(found[pair[0]], numbers=numbers)
    return list(found.values())


def pair_warnings(cases: Sequence[CaseEvaluation], grids: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each finding in the predicted volumes of an ED and its ES.

    ``grids`` are those of the predictions, by case.
    """
    measured = {case.case: case for case in cases}
    for ed, es in phase_pairs(_reference_volumes(cases)):
        numbers = {
            f"{name} {volume}": measured[case].number("volume_ml", name)
            for case, volume in ((ed, "EDV"), (es, "ESV"))
            for name in measured[case].structures
        }
        known = [grids[case] for case in (ed, es) if case in grids]
        yield from (f"{ed}: {sentence}" for sentence in number_warnings(numbers, grids=known))


def _reference_volumes(cases: Iterable[CaseEvaluation]) -> dict[str, dict[str, float]]:
    return {c.case: {n: c.number("reference_ml", n) for n in c.structures} for c in cases}
