"""Recipe of a result: the ensemble, settings and image that made it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from ...core.heart.site_profile import NO_PROFILE, SiteProfile
from ...core.problems import Action, Statement, statement
from ...core.types import Spacing
from ...io.dataset.raw_dataset import join_names
from ...io.ensemble.ensemble_folder import EnsembleFolder
from ...io.files.checksum import may_be_same
from ...io.study.case_report import MEMBER_NAMES
from .. import AppError
from .calibration import applied_settings, calibration_checksum, find_calibration
from .methods import choose_members
from .settings import SegmentationSettings

MADE_WITH_OTHER: Final = (
    "{report} in {folder} was made with {what} ({used}) than requested now ({requested})."
)
OF_THE_FILE: Final = "that of the file"
_DIGITS: Final = 12
"""Digits of a checksum in a sentence."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What made a result: results with equal recipes have the same labels and numbers.

    ``settings`` are as applied: the members that there are, the temperature, and whether only the
    largest component is kept. ``members`` and ``image`` have the checksum of each member and of
    each file of the image. ``labels`` are in words, ``calibration`` is a checksum or "none",
    ``profile`` is the recipe of a `SiteProfile`, and ``spacing`` is the one given by the user.
    Empty values are unknown, and agree with all others.
    """

    ensemble: str
    settings: SegmentationSettings
    members: Mapping[str, str]
    plans: str
    labels: str
    precision: str
    calibration: str
    profile: str
    image: Mapping[str, str]
    spacing: tuple[float, ...] | None

    @classmethod
    def of_request(
        cls,
        folder: EnsembleFolder,
        settings: SegmentationSettings,
        *,
        image: Mapping[str, Any] | None = None,
        spacing: Spacing | None = None,
        profile: SiteProfile = NO_PROFILE,
    ) -> Self:
        """Return the recipe of results to be made.

        ``image`` has the report entries that identify the image; ``spacing`` replaces that of the
        file. Raises AppError or DataError if the ensemble cannot meet the settings.
        """
        members = choose_members(folder, settings.method, settings.members)
        calibration = find_calibration(folder, settings)
        return cls(
            ensemble=folder.name,
            settings=applied_settings(folder, settings),
            members={_name(vars(member)): member.sha256 for member in members},
            plans=folder.plans_sha256,
            labels=_in_words({name: n for name, n in folder.labels.items() if n != 0}),
            # Half precision depends on the device, so it is unknown before the work.
            precision="float32" if settings.precision == "full" else "",
            calibration=calibration_checksum(calibration.to_report() if calibration else None),
            profile=profile.recipe,
            image=_files(image or {}),
            spacing=spacing,
        )

    @classmethod
    def of_report(cls, content: Mapping[str, Any]) -> Self:
        """Return the recipe in a report. Raises ValueError if entries are missing or damaged."""
        is_given = content.get("spacing_from") == "given"
        try:
            return cls(
                ensemble=content["ensemble"],
                settings=SegmentationSettings.from_json(content),
                members={_name(member): member.get("sha256", "") for member in content["members"]},
                plans=content.get("plans_sha256", ""),
                labels=_in_words(content.get("labels", {})),
                precision=content.get("precision", "float32"),
                calibration=calibration_checksum(content.get("calibration")),
                profile=content.get("profile", {}).get("drawn", NO_PROFILE.recipe),
                image=_files(content),
                spacing=tuple(content["spacing_mm"]) if is_given else None,
            )
        except (AppError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"The report has no recipe ({error}).") from error

    def difference(self, requested: Recipe, report: Path) -> Statement | None:
        """Return the first difference of this recipe, in ``report``, None if equal."""
        for what, used, wanted in self.differences(requested):
            names = {"report": report.name, "folder": report.parent, "what": what}
            return statement(MADE_WITH_OTHER, used=str(used), requested=str(wanted), **names)
        return None

    def check(self, requested: Recipe, report: Path) -> None:
        """Raise AppError if this recipe, in ``report``, differs from the ``requested`` one."""
        if found := self.difference(requested, report):
            raise AppError(found.template, Action.OVERWRITE, **found.values)

    def digest(self, *further: object) -> str:
        """Return a digest of the recipe and ``further`` values, for the name of a file."""
        # Equal settings must have equal texts, so values that are not compared get their defaults.
        compared = replace(self.settings, calibrated=True, device="auto", precision="auto")
        values = replace(self, settings=compared), *further
        return hashlib.blake2b(repr(values).encode(), digest_size=16).hexdigest()

    def differences(self, other: Recipe) -> Iterator[tuple[str, object, object]]:
        """Yield what differs, such as "another image", with both values."""
        for what, own, others in (
            ("another precision", self.precision, other.precision),
            ("another ensemble", self.ensemble, other.ensemble),
            ("other settings", self.settings, other.settings),
            ("other labels", self.labels, other.labels),
            ("other members", *self._unshared_members(other)),
            ("other weights", *_differing(self.members, other.members)),
            ("another plans.json or dataset.json", self.plans[:_DIGITS], other.plans[:_DIGITS]),
            ("another profile", self.profile, other.profile),
            ("another calibration", self.calibration, other.calibration),
            ("another image", *_differing(self.image, other.image)),
            ("another voxel size", self.spacing or OF_THE_FILE, other.spacing or OF_THE_FILE),
        ):
            if own and others and own != others:
                yield what, own, others

    def _unshared_members(self, other: Recipe) -> tuple[str, str]:
        """Return the members that the other lacks; with ``until_stable`` some may be unused."""
        own = [name for name in self.members if name not in other.members]
        others = [name for name in other.members if name not in self.members]
        if self.settings.until_stable and not (own and others):
            return "", ""
        return join_names(own) or "no others", join_names(others) or "no others"


def are_of_one_examination(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Return whether two reports may be of phases of one examination.

    Their recipes must be equal, except for the image, the spacing and the precision.
    """
    try:
        recipes = map(Recipe.of_report, (first, second))
        # The precision of one phase may differ because memory was short.
        one, other = (replace(r, image={}, spacing=None, precision="") for r in recipes)
    except ValueError:
        return False
    return not any(one.differences(other))


def _name(member: Mapping[str, Any]) -> str:
    training, fold, _, epoch = (member[key] for key in MEMBER_NAMES)
    return f"{training + ' ' if training else ''}fold {fold} epoch {epoch}"


def _in_words(labels: Mapping[str, int]) -> str:
    # The order in dataset.json means nothing.
    return ", ".join(f"{name} {label}" for name, label in sorted(labels.items()))


def _files(entries: Mapping[str, Any]) -> dict[str, str]:
    """Return the checksums of an image's files from the entries of a report."""
    checksums = [entries.get("image_sha256", ""), *entries.get("channels_sha256", ())]
    return {f"channel {number}": checksum for number, checksum in enumerate(checksums)}


def _differing(first: Mapping[str, str], second: Mapping[str, str]) -> tuple[str, str]:
    """Return the first checksums of one name that differ, with the name; "" if none do."""
    for name, checksum in first.items():
        if not may_be_same(checksum, second.get(name)):
            return f"{name}: {checksum[:_DIGITS]}", f"{name}: {second[name][:_DIGITS]}"
    return "", ""
