"""Preflight of a training: its cases, its split and its disk space."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ...core.problems import statement
from ...io import DataError
from ...io.dataset.check import CaseCheck, DatasetProblem, check_case, check_dataset
from ...io.dataset.patients import DEFAULT_PATIENT, patient_of
from ...io.dataset.raw_dataset import RawDataset, Split, join_names
from ...io.ensemble.run_folder import RunFolder, TrainingRecord
from .. import AppError
from ..report.output_folder import refuse_folder_of_inputs
from .disk_space import DiskNeed, estimate_disk_need, free_bytes, nearest_existing
from .request import (
    TrainingRequest,
    check_start,
    choose_fold,
    choose_splits,
    pattern_warning,
    settled_record,
    shared_patients,
    split_file_of,
    with_given_names,
)

TRAINING, VALIDATION, LEFT_OUT = "training", "validation", "left out"
OUTPUT_BELOW_FILE = (
    "The folder of the ensemble cannot be made, because {file} is a file. Choose another folder."
)
UNUSED_CASES = (
    "The dataset has cases that are not in {split}: {cases} ({count} in all). They will not be "
    "used."
)


@dataclass(frozen=True, kw_only=True)
class PreflightRow:
    """One case: its content, its patient and its use in the chosen fold."""

    check: CaseCheck
    patient: str
    use: str
    """"training", "validation" or "left out"."""


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """All that is known of a training before it starts.

    ``pattern`` finds the patient's part of a case name. ``split_file`` has the folds, None if they
    are drawn by patient. ``problems`` are those of the dataset, the split and the disk. ``splits``
    is None for the fold "all", and if a problem prevents a split.
    """

    dataset: RawDataset
    fold: str
    pattern: str
    rows: tuple[PreflightRow, ...]
    problems: tuple[DatasetProblem, ...]
    disk: DiskNeed
    splits: list[Split] | None
    split_file: Path | None

    @property
    def case_problems(self) -> tuple[DatasetProblem, ...]:
        """Problems of the cases, in their order."""
        return tuple(problem for row in self.rows for problem in row.check.problems)

    @property
    def all_problems(self) -> tuple[DatasetProblem, ...]:
        """Problems of the dataset and of the cases."""
        return (*self.problems, *self.case_problems)

    @property
    def ready(self) -> bool:
        """Whether no problem blocks the training."""
        return not any(problem.blocks for problem in self.all_problems)


def check_cases(
    dataset: RawDataset,
) -> Generator[tuple[int, int], None, tuple[CaseCheck, ...]]:
    """Read all files of a dataset, which is slow; yields (cases checked, cases)."""
    checks: list[CaseCheck] = []
    count = len(dataset.cases)
    yield 0, count
    for case in dataset.cases:
        checks.append(check_case(dataset, case))
        yield len(checks), count
    return tuple(checks)


def assess_request(
    request: TrainingRequest, dataset: RawDataset, checks: Sequence[CaseCheck]
) -> Preflight:
    """Assess a request by the ``checks`` of all cases of its dataset; reads no image."""
    if request.add_cycle:
        request = replace(request, resume=True)
    run = RunFolder(request.output.absolute())
    of_run: list[DatasetProblem] = []
    settled, fold = _start(request, dataset, run, of_run)
    with _noting_errors(of_run, dataset.path / "dataset.json"):
        dataset = with_given_names(dataset, request, settled)
    problems = [*check_dataset(dataset, checks), *of_run]
    pattern = request.patient or (settled.patient if settled else DEFAULT_PATIENT)
    patients = _patients(dataset, pattern, problems, chosen=bool(request.patient or not settled))
    frozen = run.splits if settled and run.splits.exists() else None
    file = frozen or split_file_of(request, dataset)
    splits = None
    with _noting_errors(problems, file):
        splits = choose_splits(request, dataset, fold, frozen=frozen, pattern=pattern)
    uses = _uses(request, patients, splits, fold, settled)
    if splits is not None:
        problems += _split_problems(patients, uses, fold, file)
    free = free_bytes(request.output)
    disk = estimate_disk_need(request, dataset, checks, fold=fold, settled=settled, free_bytes=free)
    problems += _output_problems(request.output, disk)
    return Preflight(
        dataset=dataset,
        fold=fold,
        pattern=pattern,
        rows=tuple(
            PreflightRow(check=check, patient=patients[check.name], use=uses[check.name])
            for check in checks
        ),
        # An invalid pattern is found by the patients and by the split.
        problems=tuple(dict.fromkeys(problems)),
        disk=disk,
        splits=splits,
        split_file=file,
    )


@contextmanager
def _noting_errors(problems: list[DatasetProblem], file: Path | None) -> Iterator[None]:
    """Append an error that would stop a training to ``problems``."""
    try:
        yield
    except (AppError, DataError) as error:
        problems.append(DatasetProblem(error.statement, file))


def _start(
    request: TrainingRequest, dataset: RawDataset, run: RunFolder, problems: list[DatasetProblem]
) -> tuple[TrainingRecord | None, str]:
    """Return the record of the run, if it is settled, and the fold that would be trained."""
    settled, fold = None, request.fold or "0"
    with _noting_errors(problems, run.path):
        refuse_folder_of_inputs(run.path, {"dataset": dataset.path})
    # Apart from the above, so that one error does not hide another.
    with _noting_errors(problems, run.path):
        settled = settled_record(run, resume=request.resume)
        fold = choose_fold(request, settled)
        check_start(request, run, fold, settled)
    return settled, fold


def _patients(
    dataset: RawDataset, pattern: str, problems: list[DatasetProblem], *, chosen: bool
) -> dict[str, str]:
    """Return the patient of every case; each case is a patient if the pattern fits none.

    ``chosen``: whether the pattern is from this request, not from an earlier start.
    """
    names = [case.name for case in dataset.cases]
    with _noting_errors(problems, None):
        patients = {name: patient_of(name, pattern) for name in names}
        if chosen and (warning := pattern_warning(pattern, names)):
            problems.append(DatasetProblem(warning, None, blocks=False))
        return patients
    return {name: name for name in names}


def _uses(
    request: TrainingRequest,
    patients: Mapping[str, str],
    splits: list[Split] | None,
    fold: str,
    settled: TrainingRecord | None,
) -> dict[str, str]:
    """Return the use of every case; new cases are trained on when a cycle is added."""
    if fold == "all":
        return dict.fromkeys(patients, TRAINING)
    uses = dict.fromkeys(patients, LEFT_OUT)
    if splits is None:
        return uses
    split = splits[int(fold)]
    grown = settled.training_cases(fold) if settled else []
    if request.add_cycle:
        held_back = {patients[case] for case in split.validation}
        grown += [case for case, patient in patients.items() if patient not in held_back]
    trained = [case for case in (*split.train, *grown) if case in patients]
    return uses | dict.fromkeys(trained, TRAINING) | dict.fromkeys(split.validation, VALIDATION)


def _split_problems(
    patients: Mapping[str, str], uses: Mapping[str, str], fold: str, file: Path | None
) -> Iterator[DatasetProblem]:
    """Yield patients that are in training and validation, and cases that are in neither."""
    split_name = f"fold {fold}{f' of {file}' if file else ''}"
    cases: dict[str, list[str]] = {use: [] for use in (TRAINING, VALIDATION, LEFT_OUT)}
    for case, use in uses.items():
        cases[use].append(case)
    for text in shared_patients(cases[TRAINING], cases[VALIDATION], patients, split_name):
        yield DatasetProblem(text, file)
    unused = cases[LEFT_OUT]
    if unused:
        text = statement(
            UNUSED_CASES, cases=join_names(unused), count=len(unused), split=split_name
        )
        yield DatasetProblem(text, file, blocks=False)


def _output_problems(output: Path, disk: DiskNeed) -> Iterator[DatasetProblem]:
    existing = nearest_existing(output)
    if not existing.is_dir():
        yield DatasetProblem(statement(OUTPUT_BELOW_FILE, file=existing), existing)
        return
    problem = disk.problem(output)
    if problem is not None:
        yield problem
