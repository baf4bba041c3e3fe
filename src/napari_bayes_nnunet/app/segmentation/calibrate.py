"""Calibration on the validation cases of the ensemble's training."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Self
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ...core.counts import format_count
from ...core.heart.function import Intervals, Measured, heart_function
from ...core.heart.largest_component import largest_component
from ...core.heart.measurements import Spread, volumes_ml
from ...core.heart.non_cines import NON_CINES, Source
from ...core.heart.plausibility import MassRange, fit_mass_range
from ...core.heart.slice_volumes import PhaseVolumes, heart_structures
from ...core.metrics.bootstrap import exact_interval
from ...core.metrics.calibration import fit_temperature, foreground_box
from ...core.metrics.cine_rule import FEWEST_CINES
from ...core.metrics.conformal import (
    Coverage,
    IntervalRule,
    NumberRule,
    RemainingChange,
    fit_interval,
)
from ...core.metrics.expected_dice import DiceRule, fit_dice
from ...core.metrics.failure import fit_failure, fit_least_dice
from ...core.metrics.overlap import dice
from ...core.problems import Problem, Statement, statement
from ...core.review.stop_rule import (
    ReferencedVolume,
    ReviewPath,
    fit_remaining_change,
    numbers_during_review,
)
from ...core.steps import drain
from ...core.types import Phase, Spacing
from ...io import DataError
from ...io.dataset.check import IGNORE
from ...io.dataset.patients import DEFAULT_PATIENT, patient_of
from ...io.dataset.phase_pairs import phase_pairs
from ...io.dataset.raw_dataset import RawDataset, TrainingCase, format_label_names, read_dataset
from ...io.ensemble.ensemble_folder import EnsembleFolder, Member
from ...io.ensemble.run_folder import RunFolder, read_record
from ...io.ensemble.unfinished_calibration import UnfinishedCalibration
from ...io.images.nifti import VoxelArray, read_channel_files, read_labels
from ...io.study.case_report import expected_dice_entry
from .. import AppError
from ..text_table import align_columns
from .calibration import Calibration, calibration_key, read_calibrations, write_calibration
from .ensemble import Ensemble
from .image_kind import OF_THE_IMAGE, HeartLook, ImageRule, fit_image_rule
from .methods import choose_members, refuse_regions
from .recipe import Recipe
from .result import Segmentation, stored_posterior
from .settings import SegmentationSettings

MOST_TRAINING: Final = 200
"""Most training images that are looked at to learn the kind of images."""
IMAGES_PER_SOURCE: Final = 4
"""Training images for each that non-cines are made from: in ACDC every second ED frame."""
NOTHING_HELD_BACK: Final = (
    "The trainings in {folder} have no validation case that none of them was trained on. Train "
    "them with the same split, or calibrate one of them."
)
OTHER_LABELS: Final = (
    "{dataset} has the labels {found}, but the ensemble was trained with {expected}. Choose the "
    "dataset it was trained on."
)
VOXELS_TO_IGNORE: Final = (
    "In {case}, {voxels} have nnU-Net's label “ignore”, so its volumes are not known. Give them "
    "their true labels."
)
CASE_LEFT_OUT: Final = "The validation case {case} was left out. {reason} Check its files."
ARRAYS: Final = ("probabilities", "labels")
"""Fields of a case that are stored as arrays."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CalibrationCase:
    """Result and reference of a case that no member was trained on.

    ``probabilities`` (C, N) and ``labels`` (N,) are those of the voxels in the box around the
    reference's structures, the probabilities of the untempered posterior. Per structure:
    ``volumes``, their ``spreads`` over the members, ``member_volumes``, and ``references``, in mL;
    the ``agreement`` of the members, and the ``dice`` with the reference. ``signs`` are those of
    the result. ``slices`` have the volumes and scores of single slices, for the `RemainingChange`
    during a review, if known.
    """

    name: str
    patient: str
    probabilities: NDArray[np.float32]
    labels: NDArray[np.integer]
    volumes: Mapping[str, float]
    spreads: Mapping[str, Spread]
    member_volumes: Mapping[str, Sequence[float]]
    references: Mapping[str, float]
    agreement: Mapping[str, float]
    dice: Mapping[str, float]
    signs: Mapping[str, float] = field(default_factory=dict)
    slices: ReferencedVolume | None = None

    @property
    def mean_dice(self) -> float:
        """Mean Dice of the structures that have one, NaN without any."""
        known = [value for value in self.dice.values() if math.isfinite(value)]
        return math.fsum(known) / len(known) if known else math.nan

    @property
    def failure_signs(self) -> dict[str, float]:
        """Signs of a failure, without those of the image."""
        return {name: value for name, value in self.signs.items() if name not in OF_THE_IMAGE}

    @classmethod
    def compare(
        cls, name: str, patient: str, result: Segmentation, reference: VoxelArray, spacing: Spacing
    ) -> CalibrationCase:
        """Return the numbers of a result and its reference.

        The result has a temperature of 1 and the labels of its members.
        """
        # An empty reference gives no voxels.
        box = foreground_box(reference) or (slice(0),)
        probabilities, labels = result.probabilities[(slice(None), *box)], reference[box]
        return cls(
            name=name,
            patient=patient,
            probabilities=probabilities.reshape(len(probabilities), -1),
            labels=labels.ravel(),
            volumes=result.volumes,
            spreads=result.volume_spread,
            member_volumes=result.member_volumes,
            references=volumes_ml(reference, spacing, result.structures),
            agreement=result.pairwise_dice,
            dice=dice(result.labels, reference, result.structures),
            signs=result.signs,
            slices=ReferencedVolume.compare(
                stored_posterior(result), reference, spacing, result.structures
            ),
        )

    def to_parts(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the fields as JSON, which may have NaN, and the large ones as arrays."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {name: content.pop(name) for name in ARRAYS}
        content["spreads"] = {name: asdict(spread) for name, spread in self.spreads.items()}
        content["slices"] = self.slices and {
            part: {name: values.tolist() for name, values in of_name.items()}
            for part, of_name in vars(self.slices).items()
        }
        return content, arrays

    @classmethod
    def from_parts(cls, content: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """Return the case from `to_parts`. Raises KeyError, TypeError or AttributeError."""
        slices = content["slices"] and {
            part: {name: np.array(values, np.float64) for name, values in of_name.items()}
            for part, of_name in content["slices"].items()
        }
        parts = {
            **arrays,
            "spreads": {name: Spread(**values) for name, values in content["spreads"].items()},
            "slices": ReferencedVolume(**slices) if slices else None,
        }
        return cls(**{**content, **parts})


def calibrate(
    ensemble: Ensemble, dataset: Path, settings: SegmentationSettings
) -> Iterator[CalibrationCase | Statement | str | Calibration]:
    """Fit τ and all rules on the validation cases of the ensemble's training.

    Yields each case, or a statement if it is left out, the names of the cases that the kind of
    images is learnt from, and the result, which is also written into the ensemble's folder. Cases
    that an interrupted calibration with the same settings has finished are read, not computed.
    Raises AppError if ``dataset`` has no validation case, or the folder is read-only, and the first
    Problem if no case can be read and segmented.
    """
    folder = ensemble.folder
    refuse_regions(folder, "calibration")
    # Before the long work.
    read_calibrations(folder.path)
    if not os.access(folder.path, os.W_OK):
        raise AppError(
            "The ensemble's folder {folder} is read-only, so a calibration cannot be saved in it. "
            "Copy the ensemble to a folder that you can write to.",
            folder=folder.path,
        )
    every = read_dataset(dataset)
    members = choose_members(folder, settings.method, settings.members)
    one_component, mass_range = measure_training_labels(folder, every, members)
    # Written first, because results of validation cases keep components by it.
    write_calibration(folder, one_component=one_component)
    cases = yield from compare_held_back(ensemble, every, settings)
    # τ is fitted to voxels around structures.
    if not any(case.labels.size for case in cases):
        raise AppError(
            "The labels of all validation cases are empty. Check the labels in {dataset}.",
            dataset=dataset,
        )
    image_rule = yield from fit_kind_of_images(ensemble, every, _pattern(folder))
    calibration = fit_calibration(folder, settings, cases, mass_range=mass_range)
    write_calibration(folder, calibration, image=image_rule)
    # Only now, so that a kill during the fit loses no case.
    _unfinished(ensemble, settings).remove()
    yield calibration


def compare_held_back(
    ensemble: Ensemble, dataset: RawDataset, settings: SegmentationSettings
) -> Generator[CalibrationCase | Statement, None, list[CalibrationCase]]:
    """Compare the cases that no member was trained on with their references; yield each.

    Returns the cases, without those that are left out. Raises as `calibrate`.
    """
    members = choose_members(ensemble.folder, settings.method, settings.members)
    unfinished = _unfinished(ensemble, settings)
    cases: list[CalibrationCase] = []
    problems: list[Problem] = []
    for case in _held_back(ensemble.folder, dataset, members):
        files = (*case.images, case.label)
        compared = _finished_before(unfinished, files)
        if compared is None:
            try:
                compared = compare_case(ensemble, case, settings, _pattern(ensemble.folder))
            except Problem as problem:
                problems.append(problem)
                yield left_out(case, problem)
                continue
            unfinished.write(files, *compared.to_parts())
        cases.append(compared)
        yield compared
    if not cases:
        raise problems[0]
    return cases


def _unfinished(ensemble: Ensemble, settings: SegmentationSettings) -> UnfinishedCalibration:
    recipe = Recipe.of_request(ensemble.folder, replace(settings, temperature=1, calibrated=False))
    digest = recipe.digest(ensemble.precision, _pattern(ensemble.folder))
    return UnfinishedCalibration(ensemble.folder.path, digest)


def _pattern(folder: EnsembleFolder) -> str:
    """Return the pattern that finds the patient's part of a case's name."""
    return folder.record.patient if folder.record is not None else DEFAULT_PATIENT


def _finished_before(
    unfinished: UnfinishedCalibration, files: Sequence[Path]
) -> CalibrationCase | None:
    """Return the case with these files if an interrupted calibration has finished it."""
    parts = unfinished.read(files, ARRAYS)
    with suppress(KeyError, TypeError, AttributeError):
        return None if parts is None else CalibrationCase.from_parts(*parts)
    return None


def compare_case(
    ensemble: Ensemble,
    case: TrainingCase,
    settings: SegmentationSettings,
    pattern: str,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> CalibrationCase:
    """Segment a case, and return the numbers of the result and its reference.

    ``pattern`` finds the patient's part of its name. Raises a Problem if the case cannot be read
    or segmented, or has voxels to ignore, and Stopped within one member of ``should_stop``.
    """
    image, spacing = _read_image(case)
    reference = read_labels(case.label).voxels
    # nnU-Net's label "ignore" is the highest one.
    ignored = int(np.count_nonzero(reference > max(ensemble.folder.labels.values())))
    if ignored:
        raise AppError(VOXELS_TO_IGNORE, case=case.name, voxels=format_count(ignored, "voxel"))
    # τ is fitted to the untempered probabilities.
    plain = replace(settings, temperature=1)
    steps = ensemble.steps(image, spacing, plain, keep_members=True, should_stop=should_stop)
    return CalibrationCase.compare(
        case.name,
        patient_of(case.name, pattern),
        drain(steps),
        reference=reference,
        spacing=spacing,
    )


def left_out(case: TrainingCase, problem: Problem) -> Statement:
    """Return the statement on a case that cannot be read or segmented."""
    # Its remedies are options of a segmentation, such as another spacing.
    reason = replace(problem.statement, remedies=())
    return statement(CASE_LEFT_OUT, case=case.name, reason=reason)


def _read_image(case: TrainingCase) -> tuple[VoxelArray, Spacing]:
    """Return the image (channels, Z, Y, X) of a case and its spacing."""
    channels = read_channel_files(case.images)
    return np.stack([channel.voxels for channel in channels]), channels[0].spacing


def fit_kind_of_images(
    ensemble: Ensemble, dataset: RawDataset, pattern: str
) -> Generator[str, None, ImageRule | None]:
    """Fit the rule for the kind of images, of all settings; yield the names of cases looked at.

    They are the validation cases of the last member, and at most `MOST_TRAINING` that it was
    trained on. Images that cannot be read or segmented are left out.
    """
    member = ensemble.last_member()
    training, validation = (
        [case for case in dataset.cases if case.name in names] for names in _split_of(member)
    )
    training = training[:: max(1, -(-len(training) // MOST_TRAINING))]
    sources = training[::IMAGES_PER_SOURCE] if len(training) >= FEWEST_CINES else []
    looks: list[dict[str, list[HeartLook]]] = []
    for cases in (training, validation, sources):
        looks.append({})
        for case in cases:
            yield case.name
            of_patient = looks[-1].setdefault(patient_of(case.name, pattern), [])
            with suppress(Problem):
                images = [_read_image(case)]
                if cases is sources:
                    images = _non_cines(case, *images[0], ensemble.structures)
                of_patient += [ensemble.heart_look(*image) for image in images]
    sha256, plans_sha256 = member.sha256, ensemble.folder.plans_sha256
    return fit_image_rule(*looks, sha256=sha256, plans_sha256=plans_sha256)


def _non_cines(
    case: TrainingCase, image: VoxelArray, spacing: Spacing, structures: Mapping[str, int]
) -> list[tuple[NDArray[Any], Spacing]]:
    """Return the non-cines made from the image of a case; none if it has several channels."""
    source = Source(
        voxels=image[0],
        labels=read_labels(case.label).voxels,
        spacing=spacing,
        muscle=heart_structures(structures).get("MYO"),
        # Of the name, so that a repeated calibration makes the same images.
        random=np.random.default_rng(crc32(case.name.encode())),
    )
    return [make(source) for make in NON_CINES.values()] if len(image) == 1 else []


def fit_calibration(
    folder: EnsembleFolder,
    settings: SegmentationSettings,
    cases: Sequence[CalibrationCase],
    *,
    mass_range: MassRange | None = None,
) -> Calibration:
    """Return the calibration for these settings, from ``cases`` with at least one reference voxel.

    τ minimises the NLL of the voxels in the boxes of the references. ``mass_range`` is that of
    `measure_training_labels`.
    """
    temperature = fit_temperature(
        np.hstack([case.probabilities for case in cases]),
        np.hstack([case.labels for case in cases]),
    )
    rules = dice_rules(cases)
    expected = (expected_dice_entry(rules, case.agreement, case.volumes) for case in cases)
    return Calibration(
        # The search stops within 1e-4, so further digits mean nothing.
        temperature=round(temperature, 4),
        cases=tuple(case.name for case in cases),
        volumes=_volume_rules(cases),
        function=function_rules(cases),
        dice=rules,
        least_dice=fit_least_dice(
            [min((e["value"] for e in entry.values()), default=math.nan) for entry in expected],
            [min(case.dice.values(), default=math.nan) for case in cases],
            [case.patient for case in cases],
        ),
        failure=fit_failure(
            [case.failure_signs for case in cases],
            [case.mean_dice for case in cases],
            [case.patient for case in cases],
        ),
        review=_review_rules(_review_paths(cases)),
        mass_range=mass_range,
        **calibration_key(folder, settings),
    )


def measure_training_labels(
    folder: EnsembleFolder, dataset: RawDataset, members: Sequence[Member]
) -> tuple[bool, MassRange | None]:
    """Return what the labels tell that ``members`` were trained with.

    That is whether each completely labelled volume is one component, which is False without such a
    volume, and the usual range of the mass, None if it is unknown. A volume is completely labelled
    if it has all structures and no voxels to ignore. Labels that cannot be read are left out.
    """
    structures = dict[str, int](heart_structures(folder.labels).items())
    every = {label for label in folder.labels.values() if label != 0}
    record = folder.record
    names = {name for m in members for name in record.training_cases(m.fold)} if record else ()
    is_one: list[bool] = []
    volumes: dict[str, dict[str, float]] = {}
    for case in dataset.cases:
        with suppress(DataError):
            if case.name in names:
                labels = read_labels(case.label)
                volumes[case.name] = volumes_ml(labels.voxels, labels.spacing, structures)
                # Part of a heart says nothing about components.
                if {*np.unique(labels.voxels).tolist()} - {0} == every:
                    kept = largest_component(labels.voxels, labels.spacing)
                    is_one.append(np.array_equal(kept, labels.voxels > 0))
    pairs = phase_pairs(volumes) if "MYO" in structures else ()
    masses = [(volumes[ed]["MYO"], volumes[es]["MYO"]) for ed, es in pairs]
    return bool(is_one) and all(is_one), fit_mass_range(masses)


def _volume_rules(cases: Sequence[CalibrationCase]) -> dict[str, IntervalRule]:
    rules = {
        name: fit_interval(
            [case.volumes[name] for case in cases],
            [case.references[name] for case in cases],
            [case.patient for case in cases],
            difficulties=[case.spreads[name].standard_deviation for case in cases],
        )
        for name in cases[0].volumes
    }
    return {name: rule for name, rule in rules.items() if rule is not None}


def function_rules(cases: Sequence[CalibrationCase]) -> dict[str, IntervalRule]:
    """Return the rules for the measurements of patients with end-diastole and end-systole."""
    values: dict[str, list[tuple[float, float, str, float]]] = {}
    for end_diastole, end_systole in paired(cases):
        patient = end_diastole.patient
        predicted, truth = measure_pair(end_diastole, end_systole)
        for name in predicted.keys() & truth.keys():
            row = predicted[name].value, truth[name].value, patient, predicted[name].spread
            values.setdefault(name, []).append(row)
    rules = {}
    # Sorted, because the names come from a set, whose order differs from process to process.
    for name, rows in sorted(values.items()):
        predictions, references, patients, spreads = zip(*rows, strict=True)
        rule = fit_interval(predictions, references, patients, difficulties=spreads)
        if rule is not None:
            rules[name] = rule
    return rules


def measure_pair(
    end_diastole: CalibrationCase,
    end_systole: CalibrationCase,
    *,
    rules: Mapping[str, NumberRule] | None = None,
) -> tuple[dict[str, Measured], dict[str, Measured]]:
    """Return the measurements of a result, with intervals by ``rules``, and of its reference."""
    phases: dict[Phase, CalibrationCase] = {1: end_diastole, 2: end_systole}
    volumes = {
        phase: PhaseVolumes.from_totals(case.volumes, case.member_volumes)
        for phase, case in phases.items()
    }
    references = {
        phase: PhaseVolumes.from_totals(case.references) for phase, case in phases.items()
    }
    predicted = heart_function(volumes, ed=1, es=2, rules=rules or {})
    return predicted, heart_function(references, ed=1, es=2)


def dice_rules(cases: Sequence[CalibrationCase]) -> dict[str, dict[str, DiceRule]]:
    """Return phase ("ED", "ES" or "any") → structure → rule for the expected Dice."""
    pairs = paired(cases)
    groups = {"any": cases, "ED": [ed for ed, _ in pairs], "ES": [es for _, es in pairs]}
    rules: dict[str, dict[str, DiceRule]] = {}
    for phase, group in groups.items():
        for name in group[0].dice if group else ():
            rule = fit_dice(
                [case.agreement[name] for case in group],
                [case.dice[name] for case in group],
                [case.patient for case in group],
            )
            if rule is not None:
                rules.setdefault(phase, {})[name] = rule
    return rules


def _review_paths(cases: Sequence[CalibrationCase]) -> dict[str, dict[str, ReviewPath]]:
    """Return number → patient → the number during the review of a pair of the patient."""
    paths: dict[str, dict[str, ReviewPath]] = {}
    for end_diastole, end_systole in paired(cases):
        if end_diastole.slices is None or end_systole.slices is None:
            continue
        volumes = {1: end_diastole.slices, 2: end_systole.slices}
        for name, path in numbers_during_review(volumes, ed=1, es=2).items():
            paths.setdefault(name, {})[end_diastole.patient] = path
    return paths


def _review_rules(
    paths: Mapping[str, Mapping[str, ReviewPath]], *, without: str = ""
) -> dict[str, RemainingChange]:
    """Return the change of each number that remains during a review of another patient."""
    rules = {
        name: fit_remaining_change([path for p, path in of_name.items() if p != without])
        for name, of_name in sorted(paths.items())
    }
    return {name: rule for name, rule in rules.items() if rule is not None}


def paired(cases: Sequence[CalibrationCase]) -> list[tuple[CalibrationCase, CalibrationCase]]:
    """Return end-diastole and end-systole by the names and the volumes of the reference."""
    by_name = {case.name: case for case in cases}
    pairs = phase_pairs({name: case.references for name, case in by_name.items()})
    return [(by_name[ed], by_name[es]) for ed, es in pairs]


def _held_back(
    folder: EnsembleFolder, dataset: RawDataset, members: Sequence[Member]
) -> list[TrainingCase]:
    """Return the cases that no member was trained on."""
    folds = sorted({member.fold for member in members})
    if len(folds) > 1:
        raise AppError(
            "The members come from the folds {folds}, so every case was used to train some of "
            "them. Calibrate an ensemble with a single fold.",
            folds=", ".join(folds),
        )
    # The members of a training have the same cases.
    splits = [_split_of(member) for member in {m.training: m for m in members}.values()]
    held_back = set.intersection(*(validation for _, validation in splits))
    # With other splits, a case that one training held back was a training case of another.
    names = held_back.difference(*(training for training, _ in splits))
    if len(splits) > 1 and not names:
        raise AppError(NOTHING_HELD_BACK, folder=folder.name)
    _check_labels(folder, dataset)
    cases = [case for case in dataset.cases if case.name in names]
    if not cases:
        raise AppError(
            "{dataset} has none of the validation cases of the training {training}. Choose the "
            "dataset it was trained on.",
            dataset=dataset.path,
            training=folder.name,
        )
    return cases


def _split_of(member: Member) -> tuple[set[str], set[str]]:
    """Return the training and the validation cases of a member's fold, empty without a record."""
    fold = f"fold_{member.fold}"
    run = next(path.parent for path in member.path.parents if path.name == fold)
    with suppress(DataError):
        record = read_record(RunFolder(run).record)
        return {*record.training_cases(member.fold)}, {*record.validation_cases(member.fold)}
    return set(), set()


def _check_labels(folder: EnsembleFolder, dataset: RawDataset) -> None:
    """Raise AppError if the labels of the dataset have other values than those of the ensemble.

    A training may have given them other names.
    """
    named = folder.record.named if folder.record is not None else {}
    names = {value: name for name, value in dataset.labels.items() if name != IGNORE}
    names |= {int(value): name for value, name in named.items()}
    expected = {value: name for name, value in folder.labels.items()}
    if names != expected:
        raise AppError(
            OTHER_LABELS,
            dataset=dataset.path,
            found=format_label_names(names),
            expected=format_label_names(expected),
        )


TOO_FEW = "There are too few validation patients for prediction intervals."
COVERAGE = "Prediction intervals of each patient, fitted on the others"
_HEADS = ("", "level", "held", "of", "95 %", "mean width")


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Intervals of a measurement at a ``level`` (%), each fitted on the other patients.

    ``held`` counts the ``patients`` whose true value lies in their interval; ``width`` is the mean
    width in ``unit``.
    """

    name: str
    level: Coverage
    held: int
    patients: int
    width: float
    unit: str

    @property
    def share(self) -> tuple[float, float]:
        """Exact binomial 95 % interval of the share of patients (Clopper and Pearson 1934)."""
        return exact_interval(self.held, self.patients)


def held_out_coverage(cases: Sequence[CalibrationCase]) -> list[HeldOut]:
    """Return the coverage of the intervals of function and expected Dice, patient by patient.

    A patient with end-diastole and end-systole counts once. All that is fitted, also the bias and
    whether the width is scaled, is fitted without the patient. Empty with too few patients.
    """
    return coverage_elsewhere(cases, cases)


def coverage_elsewhere(
    fitted: Sequence[CalibrationCase], tested: Sequence[CalibrationCase]
) -> list[HeldOut]:
    """Return the coverage, in the patients of ``tested``, of intervals fitted on other patients.

    The number of held patients is free, whereas that of `held_out_coverage` hardly varies.
    """
    found: dict[tuple[str, str, Coverage], list[tuple[float, tuple[float, float]]]] = {}
    paths = _review_paths(fitted)
    for end_diastole, end_systole in paired(tested):
        patient = end_diastole.patient
        others = [case for case in fitted if case.patient != patient]
        rules: dict[str, NumberRule] = {**function_rules(others)}
        # Where these are known they apply, because they end with a review.
        rules |= _review_rules(paths, without=patient)
        for name, unit, truth, intervals in _numbers(end_diastole, end_systole, others, rules):
            for level, interval in intervals.items():
                found.setdefault((name, unit, level), []).append((truth, interval))
    return [
        HeldOut(
            name=name,
            level=level,
            held=sum(low <= truth <= high for truth, (low, high) in rows),
            patients=len(rows),
            width=sum(high - low for _, (low, high) in rows) / len(rows),
            unit=unit,
        )
        for (name, unit, level), rows in sorted(found.items())
    ]


def coverage_table(rows: Sequence[HeldOut]) -> str:
    """Return the coverage as a text table; one without rows is empty."""
    cells = []
    for row in rows:
        low, high = row.share
        width = f"{row.width:.3f}" if not row.unit else f"{row.width:.1f} {row.unit}"
        held = f"{100 * low:.0f} to {100 * high:.0f} %"
        cells.append((row.name, f"{row.level} %", f"{row.held}", f"{row.patients}", held, width))
    return "\n".join(align_columns([_HEADS, *cells])) if cells else ""


def _numbers(
    end_diastole: CalibrationCase,
    end_systole: CalibrationCase,
    fitted: Sequence[CalibrationCase],
    rules: Mapping[str, NumberRule],
) -> Iterator[tuple[str, str, float, Intervals]]:
    """Yield name, unit, truth and intervals of each number of a patient."""
    predicted, truth = measure_pair(end_diastole, end_systole, rules=rules)
    for name, measured in predicted.items():
        if name in truth:
            yield name, measured.unit, truth[name].value, measured.intervals
    of_phase = dice_rules(fitted)
    for phase, case in (("ED", end_diastole), ("ES", end_systole)):
        for structure, rule in of_phase.get(phase, {}).items():
            expected = rule.expect(case.agreement[structure])
            if expected is not None:
                name = f"Dice of {structure} at {phase}"
                yield name, "", case.dice[structure], expected.intervals


def mean_scores(cases: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return structure → mean over the cases whose score is known."""
    seen: dict[str, list[float]] = {}
    for case in cases:
        for name, value in case.items():
            if math.isfinite(value):
                seen.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in seen.items()}
