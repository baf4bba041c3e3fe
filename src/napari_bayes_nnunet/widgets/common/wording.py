"""Wording of statements for the window, with buttons and fields instead of options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...core.ensemble.training_settings import TrainingSettings
from ...core.fields import name_of, settings_of, word_of
from ...core.heart.function import Patient
from ...core.problems import Action, Problem, Setting, Statement

WINDOW_PHRASES: Final[Mapping[Action, str]] = {action: action.window for action in Action}
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
    "output": "folder",
    "spacing": "voxel size",
    "ca": "the field “Authority”",
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
