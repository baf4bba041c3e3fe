"""Settings of the docks, kept in a JSON file in the user's config folder."""

from __future__ import annotations

import os  # Path.is_dir and Path.exists raise an error if a drive fails
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from filelock import FileLock
from platformdirs import user_config_path

from ...app.remote.device import RemoteDevice
from ...io.files.atomic import write_json
from ...io.files.json_files import parse_json
from ...io.files.limits import read_small

KEPT = 8
_WAIT_S: Final = 2.0
"""Seconds to wait for a change by another window."""
_ENSEMBLES = "recent_ensembles"
_LAST_ENSEMBLE = "last_ensemble"
_LAST_STUDY = "last_study"
_SAVE_FOLDER = "save_folder"
_PRESET = "preset"
_RUNS = "recent_runs"
_EVALUATION = "last_evaluation"
_COHORT = "last_cohort"
_REMOTE = "other_computer"
_DISPLAY = "display"
_VIEW = "uncertainty_view"
_SECTIONS = "open_sections"
_READING = "reading_layout"
_THUMBNAILS = "thumbnails"
_ALIASES = "study_aliases"
_SHOWS_DATES = "shows_study_dates"
_DATES = "study_dates"
_STOP_TARGET = "stop_target"
_KINDS: Final[Mapping[str, type]] = {
    **dict.fromkeys((_ENSEMBLES, _RUNS), list),
    **dict.fromkeys((_LAST_ENSEMBLE, _LAST_STUDY, _SAVE_FOLDER, _PRESET, _VIEW), str),
    **dict.fromkeys((_READING, _THUMBNAILS, _SHOWS_DATES), bool),
    **dict.fromkeys((_EVALUATION, _COHORT, _REMOTE, _DISPLAY, _SECTIONS), dict),
    **dict.fromkeys((_ALIASES, _DATES, _STOP_TARGET), dict),
}
"""Key → the type of its value; lists hold texts."""
_OF_A_CASE: Final = {_LAST_ENSEMBLE, _LAST_STUDY, _STOP_TARGET}
"""Keys of what belongs to the user's own cases."""
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
    """The settings file; what is missing or damaged in it counts as not set.

    A damaged file is kept under another name before anything is written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or default_path()

    def set_aside(self) -> str:
        """Keep a damaged file under another name; return a sentence about it, "" if it is fine."""
        content, is_damaged = self._read()
        if not is_damaged:
            return ""
        try:
            copy = self._move_aside()
            write_json(self._path, content)
        except OSError as error:
            return NOT_SET_ASIDE.format(file=self._path, reason=error.strerror or error)
        return SET_ASIDE.format(file=copy)

    def _move_aside(self) -> Path:
        copy = self._path.with_name(
            f"{self._path.stem}_damaged_{datetime.now():%Y%m%d_%H%M%S}.json"
        )
        return self._path.replace(copy)

    def recent_folders(self) -> list[Path]:
        """Return existing ensemble folders that were used before, the latest first."""
        return [folder for folder in self._folders(_ENSEMBLES) if os.path.isdir(folder)]

    def add_recent_folder(self, folder: Path) -> None:
        """Put ``folder`` first; errors of writing are ignored."""
        self._put_first(_ENSEMBLES, folder)

    def last_ensemble(self) -> Path | None:
        """Return the ensemble that was chosen last, None if there is none or it is missing."""
        kept = self._content().get(_LAST_ENSEMBLE)
        folder = Path(kept) if kept else None
        return folder if folder is not None and os.path.exists(folder) else None

    def keep_last_ensemble(self, path: Path | None) -> None:
        """Save the chosen ensemble."""
        self._put(_LAST_ENSEMBLE, "" if path is None else str(path))

    def last_study(self) -> Path | None:
        """Return the folder of the study that was open last; it may be missing."""
        kept = self._content().get(_LAST_STUDY)
        return Path(kept) if kept else None

    def keep_last_study(self, folder: Path) -> None:
        """Save the folder of the study that is open."""
        self._put(_LAST_STUDY, str(folder))

    def save_folder(self) -> Path | None:
        """Return the folder that files were saved in last, None if there is none."""
        kept = self._content().get(_SAVE_FOLDER)
        folder = Path(kept) if kept else None
        return folder if folder is not None and os.path.isdir(folder) else None

    def keep_save_folder(self, folder: Path) -> None:
        """Save the folder that the user chose for files."""
        self._put(_SAVE_FOLDER, str(folder))

    def preset(self) -> str:
        """Return the preset that the user chose last for a training, "" if none was chosen."""
        return str(self._content().get(_PRESET, ""))

    def keep_preset(self, name: str) -> None:
        """Save the preset that the user chose for a training."""
        self._put(_PRESET, name)

    def recent_runs(self) -> list[Path]:
        """Return folders of trainings that were started or followed, the latest first.

        They may be missing; the caller checks that, because drives can be slow.
        """
        return self._folders(_RUNS)

    def add_recent_run(self, folder: Path) -> None:
        """Put the folder of a training first."""
        self._put_first(_RUNS, folder)

    def last_evaluation(self) -> dict[str, Any]:
        """Return the folders of the last evaluation, {} if there are none."""
        return self._choices(_EVALUATION)

    def keep_evaluation(self, folders: Mapping[str, Any]) -> None:
        """Save the folders of an evaluation, as plain JSON."""
        self._put(_EVALUATION, dict(folders))

    def last_cohort(self) -> dict[str, Any]:
        """Return the choices of the last cohort, {} if there are none."""
        return self._choices(_COHORT)

    def keep_cohort(self, choices: Mapping[str, Any]) -> None:
        """Save the choices of a cohort, as plain JSON."""
        self._put(_COHORT, dict(choices))

    def is_open(self, section: str, *, default: bool) -> bool:
        """Return whether a section of a dock was open last."""
        return bool(self._choices(_SECTIONS).get(section, default))

    def keep_open(self, section: str, is_open: bool) -> None:
        """Save whether a section of a dock is open."""
        self._change(_SECTIONS, lambda sections: {**sections, section: is_open})

    def reading_layout(self) -> bool:
        """Return whether the reading layout was on last."""
        return bool(self._content().get(_READING, False))

    def keep_reading_layout(self, is_on: bool) -> None:
        """Save whether the reading layout is on."""
        self._put(_READING, is_on)

    def uncertainty_view(self) -> str:
        """Return the name of the view of the uncertainty that was chosen last, or ""."""
        return str(self._content().get(_VIEW, ""))

    def keep_uncertainty_view(self, name: str) -> None:
        """Save the name of the view of the uncertainty."""
        self._put(_VIEW, name)

    def thumbnails(self) -> bool:
        """Return whether the thumbnails are shown; they are, unless the user closed them."""
        return bool(self._content().get(_THUMBNAILS, True))

    def keep_thumbnails(self, are_shown: bool) -> None:
        """Save whether the thumbnails are shown."""
        self._put(_THUMBNAILS, are_shown)

    def stop_target(self) -> tuple[float, int] | None:
        """Return the change of the LV EF, in points, that the reader accepts, and in how many %.

        None if unknown.
        """
        kept = self._choices(_STOP_TARGET)
        try:
            return float(kept["points"]), int(kept["level"])
        except (KeyError, TypeError, ValueError):
            return None

    def keep_stop_target(self, points: float, level: int) -> None:
        """Save the change of the LV EF that the reader accepts, and in how many %."""
        self._put(_STOP_TARGET, {"points": points, "level": level})

    def alias(self, case: str) -> str:
        """Return the user's own name for a case, "" if there is none. It is never exported."""
        return str(self._choices(_ALIASES).get(case, ""))

    def keep_alias(self, case: str, alias: str) -> None:
        """Save the user's own name for a case; "" removes it."""
        self._change(
            _ALIASES, lambda kept: {k: own for k, own in {**kept, case: alias}.items() if own}
        )

    def shows_dates(self) -> bool:
        """Return whether the user wants to see the dates of studies."""
        return bool(self._content().get(_SHOWS_DATES, False))

    def keep_dates(self, shown: bool) -> None:
        """Save whether dates of studies are shown; if not, forget those that are known."""
        self._put(_SHOWS_DATES, shown)
        if not shown:
            self._put(_DATES, {})

    def study_date(self, case: str) -> str:
        """Return the date of the study of a case, "" if it is unknown or not wanted."""
        return str(self._choices(_DATES).get(case, "")) if self.shows_dates() else ""

    def keep_study_date(self, case: str, date: str) -> None:
        """Save the date of the study of a case, if the user wants to see dates."""
        if date and self.shows_dates():
            self._change(_DATES, lambda dates: {**dates, case: date})

    def _choices(self, key: str) -> dict[str, Any]:
        return dict(self._content().get(key, {}))

    def remote(self) -> RemoteDevice:
        """Return the remote computer that was used last; its address is "" if there is none."""
        known = ("address", "certificates", "folder")
        texts = {key: str(text) for key, text in self._choices(_REMOTE).items() if key in known}
        return RemoteDevice(**{"address": "", **texts})

    def keep_remote(self, device: RemoteDevice) -> None:
        """Save the address, certificates and folder of a remote computer."""
        if device != self.remote():
            self._put(_REMOTE, asdict(device))

    def display(self) -> Display:
        """Return the parts of the picture that are shown."""
        kept = self._choices(_DISPLAY)
        known = [field.name for field in fields(Display)]
        return Display(**{name: kept[name] for name in known if isinstance(kept.get(name), bool)})

    def keep_display(self, display: Display) -> None:
        """Save the parts of the picture that are shown."""
        if display != self.display():
            self._put(_DISPLAY, asdict(display))

    def _folders(self, key: str) -> list[Path]:
        return [Path(entry) for entry in self._content().get(key, [])]

    def _put_first(self, key: str, folder: Path) -> None:
        self._change(
            key, lambda kept: [str(folder), *(f for f in kept if Path(f) != folder)][:KEPT]
        )

    def _put(self, key: str, content: Any) -> None:
        self._change(key, lambda _: content)

    def _change(self, key: str, change: Callable[[Any], Any]) -> None:
        """Write the changed value of a key; a missing value is an empty one of its type."""
        with suppress(OSError), self._locked():  # the settings are only a convenience
            kept, is_damaged = self._read()
            if is_damaged:
                self._move_aside()
            write_json(self._path, {**kept, key: change(kept.get(key, _KINDS[key]()))})

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other windows from writing, which would lose one of the changes."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._path.with_suffix(".lock"), timeout=_WAIT_S)
        with suppress(NotImplementedError, OSError):  # a drive without locks
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _content(self) -> dict[str, Any]:
        return self._read()[0]

    def _read(self) -> tuple[dict[str, Any], bool]:
        """Return the usable content of the file, and whether anything in it is damaged."""
        try:
            content = parse_json(read_small(self._path), dict[str, Any])
        except OSError as error:
            return {}, not isinstance(error, FileNotFoundError | NotADirectoryError)
        except ValueError:
            return {}, True
        usable = {key: value for key, value in content.items() if _is_usable(key, value)}
        return usable, len(usable) < len(content)


class DemoSettings(Settings):
    """Settings of the user in the demo, which leaves their ensemble and study alone."""

    def _change(self, key: str, change: Callable[[Any], Any]) -> None:
        if key not in _OF_A_CASE:
            super()._change(key, change)


def _is_usable(key: str, value: Any) -> bool:
    """Return whether a value has the type of its key; keys of other versions may have any."""
    if _KINDS.get(key) is list:
        return isinstance(value, list) and all(isinstance(entry, str) for entry in value)
    return isinstance(value, _KINDS.get(key, object))
