"""Errors for the user: what happened in one sentence, and what to do as a typed remedy.

The user acts through an option on the command line, but through a button or a field in the window.
An error therefore carries an `Action`, which the command line and the window each word themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, Self, TypeAlias


class Action(StrEnum):
    """Step that a user can take to solve a problem."""

    RESUME = "resume"
    """Continue a training from its saved state."""
    RESUME_RUN = "resume run"
    """Continue this training, by ``command`` in a terminal."""
    RESUME_STUDENT = "resume student"
    """Continue a student, by ``command`` in a terminal."""
    START_NEW = "start new"
    """Start a training from its beginning."""
    START_AGAIN = "start again"
    """Repeat the same command or press the same button."""
    OTHER_OUTPUT = "other output"
    """Choose another folder to write to."""
    OVERWRITE = "overwrite"
    """Replace what exists."""
    CONTINUE = "continue"
    """Do only what is missing."""
    OTHER_BATCH_SIZE = "other batch size"
    """Train with the batch size ``size``."""
    SMALLER_NETWORK = "smaller network"
    """Train a smaller network, or on another device."""
    LOWER_RATE = "lower rate"
    """Start a training again with lower learning rates."""
    FREE_SPACE = "free space"
    """Make room on the disk, then continue the training."""
    CHOOSE_FOLD = "choose fold"
    """Choose the fold."""
    TRAIN_ON_ALL = "train on all"
    """Train on all cases, without validation."""
    NAME_PATIENT = "name patient"
    """Name the part of a case name that identifies the patient."""
    LEAVE_OUT = "leave out"
    """Leave out the setting ``setting``, or choose another output."""
    NAME_DATASET = "name dataset"
    """Name the folder of the training data."""
    NAME_SPLIT = "name split"
    """Name the split file the training was started with."""
    KEEP_TRAJECTORY = "keep trajectory"
    """Train again and keep layers of every epoch."""
    FIT_TEMPERATURE = "fit temperature"
    """Fit the temperature with ``command``, or choose a number."""
    RESTORE = "restore"
    """Put back the file from a backup, or start a new training."""
    CHOOSE_SERIES = "choose series"
    """Choose the DICOM series to read."""
    TRAIN_WITH = "train with"
    """Train a new ensemble with the ``value`` of the setting ``setting``."""
    SAVE_STUDIES = "save studies"
    """Segment the images and save them as studies."""
    OMIT = "omit"
    """Leave out the setting ``setting``."""
    OTHER_VALUE = "other value"
    """Choose another value of the setting ``setting``."""
    START_WORKER = "start worker"
    """Start a Dask worker with ``command``."""
    WAIT = "wait"
    """Wait until another process has ended."""
    GIVE_SPACING = "give spacing"
    """Give the voxel size of the image."""
    NAME_STRUCTURES = "name structures"
    """Name the structures, for example ``labels``."""
    MAKE_ROOM = "make room"
    """Make room on the disk, then do only what is missing."""
    FREE_AND_REPEAT = "free and repeat"
    """Make room on the disk, then repeat the same command or press the same button."""
    SEGMENT_ANYWAY = "segment anyway"
    """Segment an image that looks like another kind of image."""


COMMAND_LINE: Mapping[Action, str] = {
    Action.RESUME: "continue with --resume",
    Action.RESUME_RUN: "continue with: {command}",
    Action.RESUME_STUDENT: "continue with: {command}",
    Action.START_NEW: "start a training without --resume and --add-cycle",
    Action.START_AGAIN: "start it again with the same command",
    Action.OTHER_OUTPUT: "choose another --output",
    Action.OVERWRITE: "use --overwrite to replace it",
    Action.CONTINUE: "use --continue to do only what is missing",
    Action.OTHER_BATCH_SIZE: "start again with --batch-size {size}",
    Action.SMALLER_NETWORK: "try --preset demo or another --device",
    Action.LOWER_RATE: (
        "start again in another --output with a lower --restart-lr or --initial-lr, or with "
        "--no-restart-first-cycle"
    ),
    Action.FREE_SPACE: "free some disk space, then continue with --resume",
    Action.CHOOSE_FOLD: "choose one with --fold",
    Action.TRAIN_ON_ALL: "train with --fold all",
    Action.NAME_PATIENT: "name the patient's part of the case name with --patient",
    Action.LEAVE_OUT: "leave out {setting} to continue as it was started",
    Action.NAME_DATASET: "name the training data with --dataset, or copy the run",
    Action.NAME_SPLIT: "use the split file it was started with (--split)",
    Action.KEEP_TRAJECTORY: "train again with --keep-trajectory",
    Action.FIT_TEMPERATURE: "run {command}, or choose a temperature",
    Action.RESTORE: "put the file back from a backup, or train in another --output",
    Action.CHOOSE_SERIES: "choose a series with --series",
    Action.TRAIN_WITH: "train with {setting} {value}",
    Action.SAVE_STUDIES: "write studies with bayes-nnunet predict --save study",
    Action.OMIT: "leave out {setting}",
    Action.OTHER_VALUE: "choose another {setting}",
    Action.START_WORKER: "start one with: {command}",
    Action.WAIT: "wait until that process has ended",
    Action.GIVE_SPACING: "give the correct voxel size with --spacing",
    Action.NAME_STRUCTURES: "name the structures, for example with --labels {labels}",
    Action.MAKE_ROOM: "free some disk space, then use --continue to do only what is missing",
    Action.FREE_AND_REPEAT: "free some disk space, then start it again with the same command",
    Action.SEGMENT_ANYWAY: "use --anyway to segment it all the same",
}
"""Verb phrases of the command line, formatted with the values of the remedy."""


class Setting(str):
    """Name of a setting, such as "batch_size", which is an option here and a field there."""

    __slots__ = ()


Word: TypeAlias = Callable[[Setting], str]


def option(setting: Setting) -> str:
    """Return the option of the command line for a setting: "--batch-size"."""
    return "--" + setting.replace("_", "-")


@dataclass(frozen=True)
class Remedy:
    """An action with its ``values``, such as the batch size to try."""

    action: Action
    values: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Statement:
    """A sentence for the user with named ``values``, and remedies in the order of preference.

    A value that is a `Setting` or a statement is worded where the sentence is shown.
    """

    template: str
    remedies: tuple[Remedy, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return self.text()

    def text(self, wording: Mapping[Action, str] = COMMAND_LINE, word: Word = option) -> str:
        """Return the sentence and the advice, by default in the words of the command line."""
        fill = partial(_filled, wording=wording, word=word)
        sentence = fill(self.template, self.values) if self.values else self.template
        phrases = [fill(wording[r.action], r.values) for r in self.remedies]
        if not phrases:
            return sentence
        advice = ", or ".join(phrases)
        # A command is copied as it stands, so no full stop may cling to it.
        stop = "" if wording[self.remedies[-1].action].endswith("{command}") else "."
        return f"{sentence} {advice[0].upper()}{advice[1:]}{stop}"

    def to_json(self) -> dict[str, Any]:
        """Return plain values, from which another process can word the same statement."""
        return {
            "template": self.template,
            "values": _plain(self.values),
            "remedies": [
                {"action": r.action.value, "values": _plain(r.values)} for r in self.remedies
            ],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return the statement that `to_json` described.

        Raises KeyError, TypeError or ValueError for anything else, such as a sentence or a
        remedy that lacks a value.
        """
        remedies = (
            Remedy(Action(r["action"]), _restored(r["values"])) for r in content["remedies"]
        )
        try:
            restored = cls(str(content["template"]), tuple(remedies), _restored(content["values"]))
            restored.text()
        except (LookupError, AttributeError) as error:
            raise ValueError from error
        return restored


def statement(template: str, *remedies: Remedy | Action, **values: Any) -> Statement:
    """Return a statement; an action without values stands for its remedy.

    An exception among the values becomes its statement or text, so that equal statements compare
    equal.
    """
    whole = tuple(r if isinstance(r, Remedy) else Remedy(r) for r in remedies)
    return Statement(template, whole, {name: _kept(value) for name, value in values.items()})


class Problem(Exception):
    """An error for the user: a statement on what happened and what to do.

    Parameters
    ----------
    template : str
        The sentence, with the names of ``values`` in braces.
    *remedies : Remedy or Action
        Steps that the user can take.
    **values : Any
        Values of the names in braces.

    Examples
    --------
    >>> problem = Problem("{file} exists.", Action.OVERWRITE, file="heart.nii.gz")
    >>> str(problem)
    'heart.nii.gz exists. Use --overwrite to replace it.'
    """

    def __init__(self, template: str, *remedies: Remedy | Action, **values: Any) -> None:
        super().__init__(template)
        self.statement = statement(template, *remedies, **values)

    @classmethod
    def from_statement(cls, source: Statement) -> Self:
        """Return the error with the sentence and remedies of a statement."""
        return cls(source.template, *source.remedies, **source.values)

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """Steps that the user can take."""
        return self.statement.remedies

    @property
    def values(self) -> Mapping[str, Any]:
        """Values of the names in braces."""
        return self.statement.values

    def __str__(self) -> str:
        return str(self.statement)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_statement, (self.statement,)


def _kept(value: Any) -> Any:
    if isinstance(value, Problem):
        return value.statement
    return str(value) if isinstance(value, Exception) else value


def _filled(
    template: str, values: Mapping[str, Any], *, wording: Mapping[Action, str], word: Word
) -> str:
    return template.format(**{name: _worded(v, wording, word) for name, v in values.items()})


def _worded(value: Any, wording: Mapping[Action, str], word: Word) -> Any:
    if isinstance(value, Setting):
        return word(value)
    return value.text(wording, word) if isinstance(value, Statement) else value


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in values.items()}


def _plain_value(value: Any) -> Any:
    """Return a plain value; numbers stay numbers, because a template may format them."""
    if isinstance(value, Setting):
        return {"setting": str.__str__(value)}
    if isinstance(value, Statement):
        return {"statement": value.to_json()}
    return value if isinstance(value, int | float | str) else str(value)


def _restored(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _restored_value(value) for name, value in values.items()}


def _restored_value(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "setting" in value:
        return Setting(value["setting"])
    return Statement.from_json(value["statement"])
