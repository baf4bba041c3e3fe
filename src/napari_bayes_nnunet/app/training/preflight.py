"""What can be said of a training before it starts: its cases, its split, its disk space."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ...core.problems import Action, statement
from ...io import DataError
from ...io.dataset.check import CaseCheck, DatasetProblem, check_case, check_dataset
from ...io.dataset.raw_dataset import (
    DEFAULT_PATIENT,
    RawDataset,
    Split,
    named,
    patient_of,
    read_dataset,
)
from ...io.ensemble.run_folder import RunFolder, TrainingRecord
from .. import AppError
from .disk_space import DiskNeed, estimate, free_bytes, nearest_existing
from .request import (
    TrainingRequest,
    check_agreement,
    choose_fold,
    choose_splits,
    has_begun,
    pattern_warning,
    settled_record,
    shared_patients,
)

TRAINING, VALIDATION, LEFT_OUT = "training", "validation", "left out"


@dataclass(frozen=True, kw_only=True)
class PreflightRow:
    """One case: what it holds, whose it is, and its use in the chosen fold."""

    check: CaseCheck
    patient: str
    use: str
    """"training", "validation" or "left out"."""


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """All that is known of a training before it starts.

    ``pattern`` is the pattern of the patient's part of a case name. ``split_file`` is where the
    folds come from, None where they are drawn by patient. ``splits`` is None for the fold "all",
    and where ``problems``, those of the dataset, the split and the disk, say why there is none.
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
        """Those of the cases, in their order."""
        return tuple(problem for row in self.rows for problem in row.check.problems)

    @property
    def all_problems(self) -> tuple[DatasetProblem, ...]:
        """Those of the dataset and of the cases."""
        return (*self.problems, *self.case_problems)

    @property
    def ready(self) -> bool:
        """Whether nothing keeps the training from starting."""
        return not any(problem.blocks for problem in self.all_problems)


def check(request: TrainingRequest) -> Generator[tuple[int, int], None, Preflight]:
    """Look into the dataset of ``request``; yields (cases looked at, cases).

    Raises DataError when the folder is no dataset; all else is a problem in the result.
    """
    dataset = read_dataset(request.dataset.absolute())
    checks = yield from check_cases(dataset)
    return assess(request, dataset, checks)


def check_cases(
    dataset: RawDataset,
) -> Generator[tuple[int, int], None, tuple[CaseCheck, ...]]:
    """Read all files of a dataset; yields (cases looked at, cases). The slow part."""
    checks: list[CaseCheck] = []
    count = len(dataset.cases)
    yield 0, count
    for case in dataset.cases:
        checks.append(check_case(dataset, case))
        yield len(checks), count
    return tuple(checks)


def assess(
    request: TrainingRequest,
    dataset: RawDataset,
    checks: Sequence[CaseCheck],
    *,
    free: Callable[[Path], int] = free_bytes,
) -> Preflight:
    """Judge a request by the ``checks`` of all cases of its dataset. Reads no image, is instant.

    ``free`` tells the free bytes at the output.
    """
    if request.add_cycle:
        request = replace(request, resume=True)
    problems = check_dataset(dataset, checks)
    run = RunFolder(request.output.absolute())
    settled, fold = _start(request, dataset, run, problems)
    pattern = request.patient or (settled and settled.patient) or DEFAULT_PATIENT
    patients = _patients(dataset, pattern, request.patient, problems)
    frozen = run.splits if settled and run.splits.exists() else None
    file = frozen or _split_file(request, dataset)
    splits = None
    if fold != "all" and file is None and len(set(patients.values())) < 2:
        problems.append(DatasetProblem(_too_few(patients), dataset.path))
    else:
        with _noted(problems, file):
            splits = choose_splits(request, dataset, fold, frozen=frozen)
    uses = _uses(request, patients, splits, fold, settled)
    if splits is not None:
        problems += _split_problems(patients, uses, fold, file)
    disk = estimate(
        request, dataset, checks, fold=fold, settled=settled, free_bytes=free(request.output)
    )
    problems += _output_problems(request.output, disk)
    return Preflight(
        dataset=dataset,
        fold=fold,
        pattern=pattern,
        rows=tuple(
            PreflightRow(check=check, patient=patients[check.name], use=uses[check.name])
            for check in checks
        ),
        problems=tuple(dict.fromkeys(problems)),
        disk=disk,
        splits=splits,
        split_file=file,
    )


@contextmanager
def _noted(problems: list[DatasetProblem], file: Path | None) -> Iterator[None]:
    """Turn what a training would refuse into a problem."""
    try:
        yield
    except (AppError, DataError) as error:
        problems.append(DatasetProblem(error.statement, file))


def _start(
    request: TrainingRequest, dataset: RawDataset, run: RunFolder, problems: list[DatasetProblem]
) -> tuple[TrainingRecord | None, str]:
    """What the run folder has settled already, and the fold that would be trained."""
    settled, fold = None, request.fold or "0"
    if run.path.resolve() == dataset.path.resolve():
        text = (
            f"The folder of the ensemble must be another than that of the dataset {dataset.path}."
        )
        problems.append(DatasetProblem(text, run.path))
    with _noted(problems, run.path):
        settled = settled_record(run, resume=request.resume)
        fold = choose_fold(request, settled)
        if settled is not None:
            check_agreement(request, settled)
    if not request.resume and has_begun(run, fold):
        told = statement(
            "{run} already holds a training of fold {fold}.",
            Action.RESUME,
            Action.OTHER_OUTPUT,
            run=run.path,
            fold=fold,
        )
        problems.append(DatasetProblem(told, run.path))
    return settled, fold


def _patients(
    dataset: RawDataset, pattern: str, asked: str | None, problems: list[DatasetProblem]
) -> dict[str, str]:
    """The patient of every case; with a pattern that matches none every case is a patient.

    ``asked`` is the pattern where one was asked for.
    """
    names = [case.name for case in dataset.cases]
    with _noted(problems, None):
        patients = {name: patient_of(name, pattern) for name in names}
        if warning := pattern_warning(asked, names):
            problems.append(DatasetProblem(warning, None, blocks=False))
        return patients
    return {name: name for name in names}


def _split_file(request: TrainingRequest, dataset: RawDataset) -> Path | None:
    """Where the folds of a new run are read from; None where they are drawn."""
    own = dataset.path / "splits_final.json"
    return request.split or (own if own.is_file() else None)


def _too_few(patients: Mapping[str, str]) -> str:
    wants = "one fold trains with at least two patients, one of them held back for validation"
    if len(patients) == 1:
        return (
            f"The dataset holds one case, but {wants}: add cases, or train on all of them (fold "
            "all)."
        )
    return (
        f"All {len(patients)} cases belong to the patient {next(iter(patients.values()))}, but "
        f"{wants}: correct which part of the file name is the patient, or train on all cases (fold "
        "all)."
    )


def _uses(
    request: TrainingRequest,
    patients: Mapping[str, str],
    splits: list[Split] | None,
    fold: str,
    settled: TrainingRecord | None,
) -> dict[str, str]:
    """Use of every case; new ones are trained on when a cycle is added."""
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
    """Patients on both sides, which would be validated with hearts they were trained on."""
    where = f"fold {fold}{f' of {file}' if file else ''}"
    cases: dict[str, list[str]] = {use: [] for use in (TRAINING, VALIDATION, LEFT_OUT)}
    for case, use in uses.items():
        cases[use].append(case)
    for text in shared_patients(cases[TRAINING], cases[VALIDATION], patients, where):
        yield DatasetProblem(text, file)
    left_out = cases[LEFT_OUT]
    if left_out:
        yield DatasetProblem(
            f"The dataset's cases {named(left_out)} ({len(left_out)} in all) are neither in the "
            f"training nor in the validation of {where}: they will not be used.",
            file,
            blocks=False,
        )


def _output_problems(output: Path, disk: DiskNeed) -> Iterator[DatasetProblem]:
    place = nearest_existing(output)
    if not place.is_dir():
        text = f"The folder of the ensemble cannot be made: {place} is a file, not a folder."
        yield DatasetProblem(text, place)
        return
    problem = disk.problem(output)
    if problem is not None:
        yield problem
