"""Settings that are described once, as fields of a dataclass.

From the metadata of a field come its option in the command line, its row in a form, its name in
messages, its arguments for another process, and the check of its value. The metadata are ``help``,
and as needed

- ``label``: the name in the window, and of the row in a form,
- ``option``: the name of the option and in messages, if it is not that of the field,
- ``off``: the option that turns a flag off, if it is not "no-" and the name,
- ``shown``: the default in the help, if it is not that of the field,
- ``limits`` (low, high) of a number, each None for no limit, and ``min_open`` or ``max_open``
  if the limit itself is excluded,
- ``choices`` (value to text), with the ``choice_help`` of each value,
- ``unit``: the text after a number or a check box; ``units`` after a number other than 1,
- ``prefix`` and ``step`` of a number,
- ``example``: the text shown while the row is empty,
- ``folder``: True for the path of a folder,
- ``condition`` of a number with a step that may be None: the text of its check box;
  ``example`` is then the first number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import Field, field, fields, is_dataclass
from typing import Any, TypeVar

from . import InputError
from .problems import Setting, option

OUT_OF_LIMITS = "{setting} must be {limits}, not {value}."
NO_CHOICE = "{setting} cannot be {unknown}. Choose from {known}."
_Kind = TypeVar("_Kind")


def setting(default: Any, help: str, *, compare: bool = True, **about: Any) -> Any:
    """Return the field of a dataclass for a setting; ``about`` are further metadata."""
    return field(default=default, compare=compare, metadata={"help": help, **about})


def settings_of(kind: Any) -> Iterator[Field[Any]]:
    """Yield the settings of a dataclass, with those of its parts, which are dataclasses too."""
    for entry in fields(kind):
        # The default factory of a part is its class.
        if is_dataclass(entry.default_factory):
            yield from settings_of(entry.default_factory)
        elif "help" in entry.metadata:
            yield entry


def name_of(setting: Field[Any]) -> Setting:
    """Return the name of a setting, by which options and messages call it."""
    return Setting(setting.metadata.get("option", setting.name))


def word_of(setting: Field[Any]) -> str:
    """Return the name of a setting in the window, "" if it has none there.

    A check box is called by its text.
    """
    return str(setting.metadata.get("unit" if isinstance(setting.default, bool) else "label", ""))


def flags_of(setting: Field[Any]) -> tuple[str, str]:
    """Return the options that turn a flag on and off; the second is "" if it is off at first."""
    on = option(name_of(setting))
    off = setting.metadata.get("off", f"no-{on[2:]}")
    return on, f"--{off}" if setting.default else ""


def to_arguments(settings: Any, *, every: bool = True) -> list[str]:
    """Return the options of the command line for a dataclass and its parts.

    Values that are None are left out; so are default values unless ``every`` is True, and the
    fields that the property ``without_option`` of the dataclass names.
    """
    words: list[str] = []
    hidden = getattr(settings, "without_option", ())
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        if value is None or entry.name in hidden or not (every or value != entry.default):
            continue
        if is_dataclass(value):
            words += to_arguments(value)
        elif isinstance(value, bool):
            on, off = flags_of(entry)
            words += [flag for flag in [on if value else off] if flag]
        else:
            words += [option(name_of(entry)), str(value)]
    return words


def given_values(kind: type, request: Any) -> dict[str, Any]:
    """Return the values of the fields of ``kind`` that a request gives, which are not None."""
    values = {entry.name: getattr(request, entry.name, None) for entry in fields(kind)}
    return {name: value for name, value in values.items() if value is not None}


def differences(given: Any, kept: Any, kind: type) -> Iterator[tuple[Setting, Any, Any]]:
    """Yield each setting of ``kind`` that a request gives but not as kept, with both values.

    A flag is given only if it is on, unless it has an option that turns it off.
    """
    for entry in fields(kind):
        value, start = getattr(given, entry.name, None), getattr(kept, entry.name)
        if is_dataclass(value):
            yield from differences(value, start, type(value))
        elif "help" in entry.metadata and value not in (None, start):
            if isinstance(value, bool):
                value, start = ("on" if flag else "off" for flag in (value, start))
            if (value, entry.default) != ("off", False):
                yield name_of(entry), value, start


def values_of(settings: Any) -> dict[str, Any]:
    """Return name → value of the fields of a dataclass, and of its parts in place of each part."""
    values: dict[str, Any] = {}
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        values |= values_of(value) if is_dataclass(value) else {entry.name: value}
    return values


def from_values(kind: type[_Kind], values: Mapping[str, Any]) -> _Kind:
    """Return the dataclass of which `values_of` gave the values; other values are ignored.

    Missing values get their defaults. Raises InputError if ``kind`` refuses a value.
    """
    known = {}
    for entry in fields(kind):  # type: ignore[arg-type]
        if is_dataclass(entry.default_factory):
            known[entry.name] = from_values(entry.default_factory, values)
        elif entry.name in values:
            known[entry.name] = values[entry.name]
    return kind(**known)


def check_values(settings: Any) -> None:
    """Raise InputError if a value is outside its limits or not one of its choices."""
    for entry in fields(settings):
        value, about = getattr(settings, entry.name), entry.metadata
        if "choices" in about and value not in about["choices"]:
            known = ", ".join(filter(None, about["choices"]))
            raise InputError(NO_CHOICE, setting=name_of(entry), unknown=value, known=known)
        if "limits" in about and value is not None and not _is_within(value, about):
            raise InputError(
                OUT_OF_LIMITS, setting=name_of(entry), limits=_limits_text(about), value=value
            )


def _is_within(value: float, about: Mapping[str, Any]) -> bool:
    low, high = about["limits"]
    above = value > low if about.get("min_open") else value >= low
    below = high is None or (value < high if about.get("max_open") else value <= high)
    # Infinity is above every lower limit.
    return math.isfinite(value) and above and below


def _limits_text(about: Mapping[str, Any]) -> str:
    (low, high), unit = about["limits"], f" {about['unit']}" if "unit" in about else ""
    if high is None:
        return f"{'above' if about.get('min_open') else 'at least'} {low}{unit}"
    return f"from {low} to {'below ' if about.get('max_open') else ''}{high}{unit}"
