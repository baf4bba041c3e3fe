"""Errors for the user: what happened in one sentence, and what to do as a typed remedy.

The user acts through an option on the command line, but through a button or a field in the window.
An error therefore carries an `Action`, which has words for both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, unique
from functools import partial
from typing import Any, Self, TypeAlias


@unique  # equal words would make two actions one
class Action(Enum):
    """Step that a user can take to solve a problem.

    Each has a verb phrase for the command line and one for the window, which are formatted with the
    values of the remedy.
    """

    def __init__(self, command: str, window: str) -> None:
        self.command, self.window = command, window

    RESUME = "continue with --resume", "press Resume to continue"
    RESUME_RUN = "continue with: {command}", "press Resume to continue"
    CONTINUE = "use --continue to do only what is missing", "start again to do only what is missing"
    START_AGAIN = "start it again with the same command", "start it again"
    START_NEW = "start a training without --resume and --add-cycle", "start a new training"
    RUN = "run: {command}", "run in a terminal: {command}"
    WAIT = "wait until that process has ended", "wait until that process has ended"
    RESTORE = (
        "put the file back from a backup, or train in another --output",
        "put the file back from a backup, or train in another folder",
    )
    OVERWRITE = "use --overwrite to replace it", "choose another folder for the results"
    OTHER_OUTPUT = "choose another --output", "choose another folder"
    OTHER_VALUE = "choose another {setting}", "choose another value of “{setting}”"
    SET = "set {setting}", "set “{setting}”"
    SET_TO = "set {setting} to {value}", "set “{setting}” to {value}"
    OMIT = "leave out {setting}", "keep the default of “{setting}”"
    LEAVE_OUT = (
        "leave out {setting} to continue as it was started",
        "use the same {setting} to continue",
    )

    @property
    def key(self) -> str:
        """Name of the action in files and messages."""
        return self.name.lower().replace("_", " ")


COMMAND_LINE: Mapping[Action, str] = {action: action.command for action in Action}


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


def change(setting: str, value: object = "") -> Remedy:
    """Return the remedy to set a setting, to a ``value`` if one is given."""
    values: dict[str, Any] = {"setting": Setting(setting)}
    return Remedy(Action.SET_TO, values | {"value": value}) if value else Remedy(Action.SET, values)


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
                {"action": r.action.key, "values": _plain(r.values)} for r in self.remedies
            ],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return the statement that `to_json` described.

        Raises KeyError, TypeError or ValueError for anything else, such as a sentence or a
        remedy that lacks a value.
        """
        actions = {action.key: action for action in Action}
        remedies = (
            Remedy(actions[r["action"]], _restored(r["values"])) for r in content["remedies"]
        )
        try:
            restored = cls(str(content["template"]), tuple(remedies), _restored(content["values"]))
            # A value that is missing shows now, and not when the sentence is needed.
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
