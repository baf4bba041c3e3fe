"""Wording of statements for the window, with buttons and fields instead of options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...core.ensemble.training_settings import TrainingSettings
from ...core.fields import name_of, settings_of, word_of
from ...core.heart.function import Patient
from ...core.problems import Action, Problem, Setting, Statement

WINDOW_PHRASES: Final[Mapping[Action, str]] = {
    Action.RESUME: "press Resume to continue",
    Action.RESUME_RUN: "press Resume to continue",
    Action.RESUME_STUDENT: "continue in a terminal with: {command}",
    Action.START_NEW: "start a new training",
    Action.START_AGAIN: "start it again",
    Action.OTHER_OUTPUT: "choose another folder",
    Action.OVERWRITE: "choose another folder for the results",
    Action.CONTINUE: "start again to do only what is missing",
    Action.OTHER_BATCH_SIZE: "start again with the batch size {size}",
    Action.SMALLER_NETWORK: "try the preset Demo or another device",
    Action.LOWER_RATE: (
        "start again in another folder with a lower “Restart αᵣ” or “Rate α₀”, or without “Restart "
        "in the first cycle”"
    ),
    Action.FREE_SPACE: "free some disk space, then resume the training",
    Action.CHOOSE_FOLD: "choose the fold",
    Action.TRAIN_ON_ALL: "train on all cases (fold “all”)",
    Action.NAME_PATIENT: "name the patient's part of the case name",
    Action.LEAVE_OUT: "use the same {setting} to continue",
    Action.NAME_DATASET: "name the training data in a terminal",
    Action.NAME_SPLIT: "choose the split file it was started with",
    Action.KEEP_TRAJECTORY: "train again in a terminal with --keep-trajectory",
    Action.FIT_TEMPERATURE: "run {command} in a terminal, or choose a temperature",
    Action.RESTORE: "put the file back from a backup, or train in another folder",
    Action.CHOOSE_SERIES: "choose a series",
    Action.TRAIN_WITH: "train with the {setting} {value}",
    Action.SAVE_STUDIES: "segment the images and save them as studies",
    Action.OMIT: "keep the default of “{setting}”",
    Action.OTHER_VALUE: "choose another value of “{setting}”",
    Action.START_WORKER: "start one in a terminal with: {command}",
    Action.WAIT: "wait until that process has ended",
    Action.GIVE_SPACING: "enter the correct voxel size",
    Action.NAME_STRUCTURES: "name the structures",
    Action.MAKE_ROOM: "free some disk space, then start again to do only what is missing",
    Action.FREE_AND_REPEAT: "free some disk space, then start it again",
    Action.SEGMENT_ANYWAY: "segment it all the same in a terminal with --anyway",
}
"""Verb phrases, formatted with the values of the remedy."""
FIELDS: Final[Mapping[str, str]] = {
    **{
        name_of(entry): word_of(entry)
        for kind in (TrainingSettings, Patient)
        for entry in settings_of(kind)
        if word_of(entry)
    },
    "schedule": "learning rate schedule",
    "split": "split file",
    "patient": "patient's part of the case name",
    "labels": "Structures",
}
"""Names of the fields; a setting without a field keeps its own name."""


def in_the_window(words: Statement | Problem | str) -> str:
    """Return the text of a statement or an error in the words of the window."""
    if isinstance(words, Problem):
        words = words.statement
    return words if isinstance(words, str) else words.text(WINDOW_PHRASES, word=field_name)


def field_name(setting: Setting) -> str:
    """Return the name of a setting in the window."""
    return FIELDS.get(setting, setting.replace("_", " "))
