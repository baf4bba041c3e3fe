"""An added cycle of a finished training, on the same dataset or on a larger one.

T and T_c of Eq. 4 stay those of the original training, so the cycle has the same rates as the last
one, including the restart. New cases are only trained on, so that results on the validation cases
stay comparable.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...core.choices import Augmentation
from ...core.problems import Action
from ...io.dataset.patients import patient_of
from ...io.dataset.raw_dataset import RawDataset
from ...io.ensemble.run_folder import TrainingRecord
from .. import AppError
from .request import dataset_difference

NOT_FINISHED = "A cycle cannot be added before the training of fold {fold} is finished."


def with_added_cycle(
    record: TrainingRecord,
    fold: str,
    dataset: RawDataset,
    *,
    augmentation: Augmentation,
    command: str,
) -> TrainingRecord:
    """Return the record of ``fold`` with one more cycle, to be trained on ``dataset``.

    Labels of training cases may have been corrected. Raises AppError if the training is not
    finished, a case is missing or a validation case has changed.
    """
    if not record.is_complete(fold):
        raise AppError(
            NOT_FINISHED,
            Action.RESUME,
            fold=fold,
        )
    now = dataset.signature()
    _check_kept(record, fold, now)
    cycle = {
        "training_cases": [*record.training_cases(fold), *_new_cases(record, fold, now)],
        "dataset": {"name": dataset.path.name, "cases": now},
        "augmentation": augmentation,
        "command": command,
    }
    entry = {**record.folds[fold], "added_cycles": [*record.added_cycles(fold), cycle]}
    # Members of the new cycle change the scores of the validation cases.
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
            "Cases of the dataset were removed or validation cases were changed ({difference}). "
            "Restore them before you add a cycle.",
            difference=difference,
        )


def _new_cases(record: TrainingRecord, fold: str, now: dict[str, Any]) -> list[str]:
    """Return cases that are new, except those of patients held out for validation."""
    began = record.trained_on(fold)["cases"]
    pattern = record.patient
    held_back = {patient_of(case, pattern) for case in record.validation_cases(fold)}
    return [
        case for case in now if case not in began and patient_of(case, pattern) not in held_back
    ]
