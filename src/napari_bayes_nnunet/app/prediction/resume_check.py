"""Whether a case was segmented before in the way that is asked for now: what --continue skips."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...io.ensemble.ensemble_folder import Member
from ...io.images.integrity import nifti_header, phase_count
from .. import AppError
from .output_files import frame_name

_PLACE: Final = ("training", "fold", "cycle", "epoch")
_LOOKED_FOR: Final = 100
"""Phases; a cine with its ED and ES after these is read again before it is found finished."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """How an ensemble is asked: all that the probabilities of a case depend on.

    ``is_exact``: float32 is asked for; otherwise any precision will do. ``image`` is the SHA-256
    of the image's file, "" where it has none.
    """

    ensemble: str
    method: str
    mirroring: str
    members: tuple[Member, ...]
    temperature: float
    until_stable: bool
    is_exact: bool
    image: str = ""

    def check(self, report: Path) -> bool:
        """Whether the case's ``report`` is there and whole.

        Raises AppError where it was made in another way.
        """
        try:
            found = json.loads(report.read_text(encoding="utf-8"))
            made = _words(found["ensemble"], found["method"], found["mirroring"], **_rest(found))
            precision = str(found.get("precision", "float32"))
            members = [_place(member) for member in found["members"]]
            image = str(found.get("image_sha256", self.image))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False
        if self.is_exact and precision != "float32":
            raise _otherwise(report, f"with {precision}, not with the full precision asked for now")
        if made != str(self):
            raise _otherwise(report, f"otherwise ({made}) than is asked for now ({self})")
        if image != self.image:
            raise _otherwise(report, "of another image of this name")
        if not self._asks(members):
            raise _otherwise(report, "by other members of the ensemble than are asked now")
        return True

    def __str__(self) -> str:
        return _words(
            self.ensemble,
            self.method,
            self.mirroring,
            members=len(self.members),
            temperature=self.temperature,
            until_stable=self.until_stable,
        )

    def _asks(self, places: Sequence[tuple[Any, ...]]) -> bool:
        """Whether these are the members asked; with ``until_stable`` not all need to have been."""
        asked = [_place(vars(member)) for member in self.members]
        same = sorted(places, key=repr) == sorted(asked, key=repr)
        return same or (self.until_stable and set(places) <= set(asked))


def phases_done(output: Path, case: str, asked: list[int] | str) -> tuple[int | None, ...]:
    """The phases a case has files of, if these are those ``asked`` for; () where none are.

    The image is not looked at: a volume has one report, "all" phases lie in a file of their own,
    and ED and ES stand in their reports.
    """
    if (output / f"{case}.json").is_file():
        return (None,)
    if isinstance(asked, list):
        return tuple(asked)
    if asked == "all":
        header = nifti_header(output / f"{case}.nii.gz")
        return () if header is None else tuple(range(1, phase_count(header) + 1))
    # Asked for by name: to list a folder that holds a hundred thousand cases takes too long.
    for phase in range(1, _LOOKED_FOR + 1):
        try:
            file = output / f"{frame_name(case, phase)}.json"
            report = json.loads(file.read_text(encoding="utf-8"))
            return tuple(sorted({int(report["ED"]), int(report["ES"])}))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return ()


def _place(member: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(member[key] for key in _PLACE)


def _rest(report: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "members": report.get("members_asked", len(report["members"])),
        "temperature": report.get("temperature", 1.0),
        "until_stable": report.get("until_stable", False),
    }


def _words(
    ensemble: str,
    method: str,
    mirroring: str,
    *,
    members: int,
    temperature: float,
    until_stable: bool,
) -> str:
    softened = "" if temperature == 1 else f", temperature {temperature:g}"
    stops = ", until stable" if until_stable else ""
    return f"{ensemble}, {method}, {members} members{stops}, mirroring {mirroring}{softened}"


def _otherwise(report: Path, how: str) -> AppError:
    return AppError(
        f"{report.name} in {report.parent} was made {how}: use --overwrite, or another output "
        "folder."
    )
