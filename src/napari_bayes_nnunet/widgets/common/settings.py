"""Settings of the docks, kept in a JSON file in the user's config folder."""

from __future__ import annotations

import json
import os  # Path.is_dir and Path.exists raise an error if a drive fails
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, get_type_hints

from filelock import FileLock
from platformdirs import user_config_path

from ...app.remote.device import RemoteDevice
from ...io.files.atomic import write_json
from ...io.files.json_files import parse_json
from ...io.files.limits import read_small
from ...io.heart.normal_ranges import PETERSEN

MOST_RECENT: Final = 8
_WAIT_S: Final = 2.0
"""Seconds to wait for a change by another window."""
_OF_A_CASE: Final = {"last_ensemble", "last_study", "stop_target"}
"""Fields of what belongs to the user's own cases."""
SET_ASIDE: Final = (
    "The settings file was damaged, so defaults are used for what could not be read. The damaged "
    "file is kept as {file}."
)
NOT_SET_ASIDE: Final = (
    "The settings file {file} is damaged and could not be renamed ({reason}). Defaults are used, "
    "and no setting is saved. Rename or delete the file."
)


@dataclass(frozen=True, kw_only=True)
class Display:
    """Parts of the picture: smooth contours, filled structures, an interpolated image."""

    contours: bool = True
    fill: bool = False
    smooth: bool = True


@dataclass(frozen=True, kw_only=True)
class StopTarget:
    """Change of the LV EF, in points, that a reader accepts, and in how many % of patients."""

    points: float
    level: int


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What the docks remember; each field is a key of the file.

    Folders may be missing (`existing`). ``study_aliases`` are the user's own names of studies by
    `alias_key`, which are never exported, and ``study_dates`` the dates of studies, {} unless dates
    are shown. ``normal_ranges`` is what `read_normal_ranges` reads, ``site_profile`` the file with
    the intervals of the site, "" for the ensemble's, ``reader`` the name of who reads studies.
    """

    recent_ensembles: tuple[str, ...] = ()
    last_ensemble: str = ""
    last_study: str = ""
    save_folder: str = ""
    preset: str = ""
    recent_runs: tuple[str, ...] = ()
    last_evaluation: dict[str, Any] = field(default_factory=dict)
    last_cohort: dict[str, Any] = field(default_factory=dict)
    other_computer: RemoteDevice = field(default_factory=lambda: RemoteDevice(address=""))
    display: Display = field(default_factory=Display)
    uncertainty_view: str = ""
    open_sections: dict[str, bool] = field(default_factory=dict)
    both_phases: bool = True
    second_view: str = ""
    napari_wheel: bool = False
    reading_layout: bool = True
    thumbnails: bool = True
    study_aliases: dict[str, str] = field(default_factory=dict)
    shows_study_dates: bool = False
    study_dates: dict[str, str] = field(default_factory=dict)
    stop_target: StopTarget | None = None
    normal_ranges: str = PETERSEN
    site_profile: str = ""
    reader: str = ""
    last_archive: str = ""
    fetch_folder: str = ""


_KINDS: Final = get_type_hints(Kept)


def default_path() -> Path:
    """Return the path of ``settings.json`` in the user's config folder."""
    return user_config_path("napari-bayes-nnunet", appauthor=False) / "settings.json"


def open_settings(settings: Settings | None = None) -> Settings:
    """Return the settings for a dock; tell the user if a damaged file was set aside."""
    from napari.utils.notifications import show_warning

    settings = settings or Settings()
    sentence = settings.set_aside()
    if sentence:
        show_warning(sentence)
    return settings


class Settings:
    """The settings file; what is missing or damaged in it has its default.

    A damaged file is kept under another name before anything is written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or default_path()

    @property
    def kept(self) -> Kept:
        """What the file has now, perhaps from another window."""
        return self._read()[0]

    def keep(self, **values: Any) -> None:
        """Save these fields of `Kept`; errors of writing are ignored."""
        self._change(lambda kept: values)

    def add(self, name: str, entries: Mapping[str, Any]) -> None:
        """Save entries of the dict ``name``; an empty text removes its entry."""

        def changed(kept: Kept) -> dict[str, Any]:
            every = {**getattr(kept, name), **entries}
            return {name: {key: value for key, value in every.items() if value != ""}}

        self._change(changed)

    def put_first(self, name: str, folder: Path) -> None:
        """Save a folder as the first of the latest ones in ``name``."""

        def changed(kept: Kept) -> dict[str, Any]:
            others = [other for other in getattr(kept, name) if Path(other) != folder]
            return {name: (str(folder), *others)[:MOST_RECENT]}

        self._change(changed)

    def set_aside(self) -> str:
        """Keep a damaged file under another name; return a sentence about it, "" if it is fine."""
        _, usable, is_damaged = self._read()
        if not is_damaged:
            return ""
        try:
            copy = self._move_aside()
            write_json(self._path, usable)
        except OSError as error:
            return NOT_SET_ASIDE.format(file=self._path, reason=error.strerror or error)
        return SET_ASIDE.format(file=copy)

    def _move_aside(self) -> Path:
        copy = self._path.with_name(
            f"{self._path.stem}_damaged_{datetime.now():%Y%m%d_%H%M%S}.json"
        )
        return self._path.replace(copy)

    def _change(self, change: Callable[[Kept], Mapping[str, Any]]) -> None:
        with suppress(OSError), self._locked():  # the settings are only a convenience
            kept, usable, is_damaged = self._read()
            if is_damaged:
                self._move_aside()
            values = change(kept)
            content = asdict(replace(kept, **values))
            write_json(self._path, {**usable, **{name: content[name] for name in values}})

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other windows from writing, which would lose one of the changes."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._path.with_suffix(".lock"), timeout=_WAIT_S)
        with suppress(NotImplementedError, OSError):  # a drive without locks
            lock.acquire(poll_interval=0.005)  # or another window that saves often wins
        try:
            yield
        finally:
            lock.release()

    def _read(self) -> tuple[Kept, dict[str, Any], bool]:
        """Return what is kept, all usable content of the file, and whether any is damaged."""
        try:
            content = parse_json(read_small(self._path), dict[str, Any])
        except OSError as error:
            return Kept(), {}, not isinstance(error, FileNotFoundError | NotADirectoryError)
        except ValueError:
            return Kept(), {}, True
        values: dict[str, Any] = {}
        usable = dict(content)  # keys of other versions stay
        # Entry by entry, so that a wrong one costs no other.
        for name, kind in _KINDS.items():
            if name in content:
                try:
                    values[name] = parse_json(json.dumps(content[name]), kind)
                except ValueError:
                    del usable[name]
        return Kept(**values), usable, len(usable) < len(content)


class DemoSettings(Settings):
    """Settings of the user in the demo, which leaves their ensemble and study alone."""

    def _change(self, change: Callable[[Kept], Mapping[str, Any]]) -> None:
        super()._change(lambda kept: {k: v for k, v in change(kept).items() if k not in _OF_A_CASE})


def existing(path: str) -> Path | None:
    """Return a path that was kept if there is something at it."""
    return Path(path) if path and os.path.exists(path) else None
