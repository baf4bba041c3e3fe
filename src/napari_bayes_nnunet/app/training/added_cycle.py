"""One more cycle for a finished training, on its dataset or on one that has grown since.

T and T_c of Eq. 4 stay those of the original training, so the cycle has the rates of the last one,
restart included. New cases go into training, never into validation, so that what is measured on
the validation cases stays comparable.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...core.problems import Action
from ...io.dataset.raw_dataset import DEFAULT_PATIENT, RawDataset, patient_of
from ...io.ensemble.run_folder import TrainingRecord
from .. import AppError
from .request import dataset_difference


def with_added_cycle(
    record: TrainingRecord, fold: str, dataset: RawDataset, *, command: str
) -> TrainingRecord:
    """The record of a training of ``fold`` that is about to run one more cycle on ``dataset``.

    Raises AppError where the training is not finished, where a case is gone, or where a validation
    case has changed. Labels of training cases may have been corrected.
    """
    if not record.is_complete(fold):
        raise AppError(
            "The training of fold {fold} is not finished, so no cycle can be added yet.",
            Action.RESUME,
            fold=fold,
        )
    now = dataset.signature()
    _check_kept(record, fold, now)
    cycle = {
        "training_cases": [*record.training_cases(fold), *_new_cases(record, fold, now)],
        "dataset": {"name": dataset.path.name, "cases": now},
        "command": command,
    }
    entry = {**record.folds[fold], "added_cycles": [*record.added_cycles(fold), cycle]}
    # The members of the new cycle change what the validation cases look like.
    validation = {name: value for name, value in record.validation.items() if name != fold}
    return replace(record, folds={**record.folds, fold: entry}, validation=validation)


def _check_kept(record: TrainingRecord, fold: str, now: dict[str, Any]) -> None:
    began = record.trained_on(fold)["cases"]
    held_back = set(record.validation_cases(fold))
    to_stay = {name: value for name, value in began.items() if name in held_back or name not in now}
    difference = dataset_difference(
        to_stay, {name: value for name, value in now.items() if name in to_stay}
    )
    if difference:
        raise AppError(
            "A dataset may have new cases and corrected labels when a cycle is added, but no case "
            "may be gone and no validation case may change: {difference}. Restore it first.",
            difference=difference,
        )


def _new_cases(record: TrainingRecord, fold: str, now: dict[str, Any]) -> list[str]:
    """Cases not seen so far, without those of patients that are held back for validation."""
    began = record.trained_on(fold)["cases"]
    pattern = record.patient or DEFAULT_PATIENT
    held_back = {patient_of(case, pattern) for case in record.validation_cases(fold)}
    return [
        case for case in now if case not in began and patient_of(case, pattern) not in held_back
    ]
