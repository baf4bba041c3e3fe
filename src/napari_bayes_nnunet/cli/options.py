"""Options, types of values and error handling that several commands share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import Field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from ..app.segmentation.settings import SegmentationSettings
from ..core.ensemble.schedule import UNUSED, MemberSelection, RestartSchedule
from ..core.fields import flags_of, name_of, settings_of
from ..core.problems import Problem, Setting, option
from ..core.torch_import import explaining_torch
from ..io.files.special import SPECIAL_FILE, is_special

if TYPE_CHECKING:  # numpy, which the pages of the commands are built without
    from ..core.types import Spacing

DELETED_FOLDER: Final = "The current folder was deleted. Change to another folder."
_Function = TypeVar("_Function", bound=Callable[..., Any])


class Command(click.Command):
    """Command that reports an error for the user in one line and exits with code 1.

    With --jsonl, the last line of the output is the error in JSON, even for a wrong option, which
    exits with code 2. The help lists the options in ``groups``, heading → dataclass of their
    settings, and the others first.
    """

    def __init__(self, *arguments: Any, groups: Mapping[str, type] | None = None, **more: Any):
        super().__init__(*arguments, **more)
        self._heading_of = {
            entry.name: heading
            for heading, kind in (groups or {}).items()
            for entry in settings_of(kind)
        }

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each group below its heading."""
        rows: dict[str, list[tuple[str, str]]] = {"Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and not isinstance(param, click.Argument):
                name, help = record
                # click puts the text for a default into brackets of its own.
                text = re.sub(r"default: \((.*)\)(?=[;\]])", r"default: \1", help)
                rows.setdefault(self._heading_of.get(param.name, "Options"), []).append(
                    (name, text)
                )
        for heading, options in rows.items():
            with formatter.section(heading):
                formatter.write_dl(options)

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> click.Context:
        """Read the options, and report a wrong one."""
        has_lines = any(option.name == "jsonl" for option in self.params)
        # The options are not read yet, so the words of the command are searched.
        with _reporting(jsonl=has_lines and "--jsonl" in args):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and report a `Problem` to the user; let other errors through."""
        with _reporting(jsonl=bool(ctx.params.get("jsonl"))):
            try:
                # Otherwise the first library that asks for the folder would fail.
                Path.cwd()
            except FileNotFoundError as error:
                raise click.ClickException(DELETED_FOLDER) from error
            return super().invoke(ctx)


@contextmanager
def _reporting(*, jsonl: bool) -> Iterator[None]:
    """Raise a `Problem` as an error of click; with ``jsonl`` print it, or that of click, too."""
    try:
        with explaining_torch():
            yield
    except (Problem, click.ClickException) as error:
        if jsonl:
            from ..app.messages import FAILED, JobEnded, text_fields

            words = error if isinstance(error, Problem) else error.format_message()
            click.echo(JobEnded(outcome=FAILED, **text_fields(words)).to_line())
        if isinstance(error, Problem):
            raise click.ClickException(str(error)) from error
        raise


class TextType(click.ParamType):  # type: ignore[type-arg]
    """Type of a value that ``parse`` reads from a text, or raises ValueError for.

    ``name`` is shown in the help, ``expected`` says in an error what the text should be.
    """

    def __init__(self, name: str, parse: Callable[[str], Any], *, expected: str) -> None:
        self.name, self._parse, self._expected = name, parse, expected

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value that the text stands for."""
        try:
            return self._parse(str(value))
        except ValueError:
            self.fail(f"Expected {self._expected}, found {value!r}.", param, ctx)


def _parse_temperature(text: str) -> float | str:
    return text if text == "fitted" else float(text)


def _parse_spacing(text: str) -> Spacing:
    """Return the three lengths in mm (slices, rows, columns)."""
    z, y, x = (float(step) for step in text.split(","))
    return z, y, x


def _parse_resources(text: str) -> dict[str, float]:
    """Return the amount of each resource of a worker for a Dask task."""
    pairs = [part.split("=") for part in text.split(",")]
    return {name.strip(): float(amount) for name, amount in pairs}


def _parse_label_names(text: str) -> dict[int, str]:
    """Return the name of each label value."""
    parts = re.split(r",(?=\s*\d+=)", text)  # a name may contain a comma
    pairs = [part.split("=", 1) for part in parts]
    names = {int(number): name.strip() for number, name in pairs}
    if len(names) < len(pairs):
        raise ValueError("A label value is named twice.")
    return names


class GivenPath(click.Path):
    """Type of a path of a file or folder, which may not exist yet.

    An empty path is refused, because an unset variable must not mean the current folder. So is a
    pipe, a socket or a device, from which reading may never end.
    """

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """Return the path."""
        if isinstance(value, str) and not value.strip():
            self.fail("The path is empty. Give the path of a file or folder.", param, ctx)
        path = super().convert(value, param, ctx)
        if is_special(Path(os.fsdecode(path))):
            self.fail(SPECIAL_FILE.format(path=os.fsdecode(path)), param, ctx)
        return path


PATH = GivenPath(path_type=Path)
VOXEL_SIZE = TextType("Z,Y,X", _parse_spacing, expected="three lengths such as 8,1.5,1.5")
RESOURCES = TextType("NAME=NUMBER", _parse_resources, expected="a resource such as GPU=1")
LABEL_NAMES = TextType(
    "VALUE=NAME,…",
    _parse_label_names,
    expected="a name for each value, such as 1=RV,2=MYO,3=LV",
)
_TYPES: Final = {
    "temperature": TextType("FLOAT|fitted", _parse_temperature, expected="a number or fitted"),
    "method": click.STRING,  # the app names the methods that there are
    "device": click.STRING,
}
"""Types of settings whose choices or numbers are not the only values."""


def options_of(
    kind: type,
    *,
    only: Collection[str] = (),
    preset: str | None = None,
    **changes: dict[str, Any],
) -> Callable[[_Function], _Function]:
    """Return a decorator that adds the option of each setting of ``kind``, or of some of them.

    With ``preset``, the name of the settings that are the defaults, or "", the value of an option
    is None unless it is given. ``changes`` are other attributes of single options.
    """
    chosen = [entry for entry in settings_of(kind) if not only or entry.name in only]

    def decorate(command: _Function) -> _Function:
        # Decorators apply from the last one to the first.
        for entry in reversed(chosen):
            changed = changes.get(entry.name, {})
            command = click.option(*_names(entry), **_attributes(entry, preset) | changed)(command)
        return command

    return decorate


def _names(setting: Field[Any]) -> tuple[str, str]:
    if not isinstance(setting.default, bool):
        return option(name_of(setting)), setting.name
    return "/".join(filter(None, flags_of(setting))), setting.name


def _attributes(setting: Field[Any], preset: str | None) -> dict[str, Any]:
    about, default = setting.metadata, setting.default
    attributes = {"help": about["help"], "show_default": about.get("shown", True)}
    if isinstance(default, bool):
        attributes |= {"is_flag": True, "show_default": default}
    else:
        attributes["type"] = _TYPES.get(setting.name) or _type_of(setting)
    if preset is None:
        return attributes | {"default": default}
    if default and "shown" not in about:
        shown = "yes" if default is True else default
        attributes["show_default"] = f"{shown} (preset {preset})" if preset else str(shown)
    return attributes | {"default": False if default is False else None}


def _type_of(setting: Field[Any]) -> Any:
    about = setting.metadata
    if "choices" in about:
        return click.Choice(list(about["choices"]))
    low, high = about.get("limits", (None, None))
    # A setting that is None by default has the type of its limits.
    kind = next((type(n) for n in (setting.default, low, high) if isinstance(n, int | float)), str)
    if low is None:
        return kind
    ends = {name: about.get(name, False) for name in ("min_open", "max_open")}
    return (click.IntRange if kind is int else click.FloatRange)(low, high, **ends)


device_option = options_of(SegmentationSettings, only=("device",))
patient_option = click.option(
    "--patient", help="Regular expression of the patient's part of a case name."
)


def output_option(help: str, *, metavar: str | None = None) -> Callable[[_Function], _Function]:
    """Return the required option of the file or folder to write, called ``metavar`` in the help."""
    return click.option("-o", "--output", required=True, type=PATH, metavar=metavar, help=help)


def parse_schedule(
    flags: dict[str, Any], schedule: RestartSchedule, selection: MemberSelection
) -> tuple[RestartSchedule, MemberSelection]:
    """Remove the schedule's options from ``flags`` and return the given values changed by them."""
    changes, selected = (
        {entry.name: flags.pop(entry.name) for entry in settings_of(kind)}
        for kind in (RestartSchedule, MemberSelection)
    )
    # The cycles of a preset do not apply to a schedule without restarts.
    if changes["shape"] == "poly" and changes["cycles"] is None:
        changes["cycles"] = 1
    for name in UNUSED.get(changes["shape"], ()):
        if changes[name] is not None:
            raise click.UsageError(
                f"{option(Setting(name))} has no effect with --schedule {changes['shape']}. Leave "
                "it out."
            )
    try:
        return (
            replace(schedule, **{k: v for k, v in changes.items() if v is not None}),
            replace(selection, **{k: v for k, v in selected.items() if v is not None}),
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
