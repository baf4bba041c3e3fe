"""Settings of a segmentation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, Self

from ...core.choices import LargestComponent, Mirroring, Precision, Window
from ...core.counts import format_count
from ...core.fields import setting
from .. import AppError
from .methods import DEFAULT_COUNT, DEFAULT_METHOD, METHODS

DEFAULT_WINDOW: Final[Window] = "heart"
"""Window of an ensemble that is not calibrated for the whole image only."""

_KEYS = {"members": "members_asked"}
"""Keys of a report that are not the names of the settings; its "members" are those used."""


@dataclass(frozen=True, kw_only=True)
class SegmentationSettings:
    """Settings to segment an image with an ensemble.

    Equal settings give the same labels: ``calibrated``, ``device`` and ``precision`` are not
    compared.

    Parameters
    ----------
    method : str
        Name of a method in `METHODS`.
    members : int
        Most members to use.
    mirroring : "full", "spread" or "none"
        Mirrored copies of the image that each member sees.
    temperature : float, "fitted" or None
        τ that calibrates the mean probabilities; "fitted" is the value found by ``calibrate``,
        None the same if there is one, else the value of the method.
    window : "heart" or "whole"
        Let only the first member of each cycle see the whole image, and the others a window around
        what these have found (`find_window`); or let all see the whole image.
    until_stable : bool
        Ask no further members in slices that these no longer change (`Stability`).
    largest_component : "auto", "on" or "off"
        Keep only the `largest_component` of all structures together; "auto" if every completely
        labelled volume of the training data is one.
    calibrated : bool
        Use the calibration of the ensemble, if it has one for these settings: its temperature
        unless another one is given, and its prediction intervals.
    device : str
        "auto", the name of a device, or the address of another computer.
    precision : "auto" or "full"
        Half precision if the device is fast with it, or always float32.

    Raises
    ------
    AppError
        If the temperature is not above 0.

    Examples
    --------
    >>> settings = SegmentationSettings(method="single", members=9)
    >>> str(settings)
    'single, 9 members, mirroring full'
    >>> SegmentationSettings.from_json(settings.to_json()) == settings
    True
    """

    method: str = setting(
        DEFAULT_METHOD,
        f"How members are chosen and combined: {', '.join(METHODS)}.",
        label="Method",
        choices={name: f"{method.title} ({name})" for name, method in METHODS.items()},
        choice_help={name: method.help for name, method in METHODS.items()},
    )
    members: int = setting(
        DEFAULT_COUNT,
        "Maximum number of members. More members measure the uncertainty better but take longer. "
        "The paper uses 30.",
        label="Members",
        limits=(1, None),
    )
    until_stable: bool = setting(
        False,
        "Skip further members in slices whose result no longer changes.",
        label="Stop early",
        unit="in stable slices",
    )
    mirroring: Mirroring = setting(
        "full",
        "Mirrored copies of the image that each member sees: all, one of them, or none.",
        label="Mirroring",
        choices={"full": "Full", "spread": "Spread", "none": "None"},
        choice_help={
            "full": "Each member averages all mirrored copies. Slightly better, but several times "
            "slower.",
            "spread": "Each member sees one mirrored copy, in turn, at no extra cost. With a "
            "single member no mirroring is used.",
            "none": "Each member sees only the image itself. Fastest.",
        },
    )
    window: Window = setting(
        DEFAULT_WINDOW,
        "Region that members see: a window around the heart, which the first member of each cycle "
        "finds (heart), or the whole image (whole).",
        label="Region",
        choices={"heart": "Heart", "whole": "Whole image"},
        choice_help={
            "heart": "The first member of each cycle finds the heart in the whole image, the "
            "others see only a window around it. Faster.",
            "whole": "Every member sees the whole image.",
        },
    )
    largest_component: LargestComponent = setting(
        "auto",
        "Keep only the largest connected component of all structures together; auto if each "
        "complete training label is one component, as a heart is.",
        label="Keep",
        choices={"auto": "As trained", "on": "Largest component", "off": "All components"},
        choice_help={
            "auto": "Largest component if each complete training label is one component.",
            "on": "Remove what lies apart from the largest component.",
            "off": "Keep everything that the members draw.",
        },
    )
    temperature: float | Literal["fitted"] | None = setting(
        None,
        "Softmax temperature: above 1 softens the probabilities and raises the entropy, below 1 "
        "sharpens them. Labels do not change.",
        shown="fitted, the value found by calibrate, else 1; 1.5 for the method temperature",
        label="Temp. τ",
        limits=(0.1, 10.0),
        step=0.1,
    )
    calibrated: bool = setting(
        True,
        "Use the fitted temperature and the prediction intervals, if there are any.",
        compare=False,  # the temperature is
        off="uncalibrated",
    )
    device: str = setting(
        "auto",
        "Device to compute on: auto, cuda, mps or cpu. cuda:1 is the second GPU.",
        compare=False,
        label="Device",
        choices={"auto": "Automatic"},  # a form adds the devices that it finds
        choice_help={"auto": "The fastest device."},
    )
    precision: Precision = setting(
        "auto",
        "Precision of the network: half if the device is fast with it (auto), or float32 (full).",
        compare=False,
        choices={"auto": "Automatic", "full": "Full"},
    )

    def __post_init__(self) -> None:
        if isinstance(self.temperature, int | float) and not 0 < self.temperature < math.inf:
            raise AppError(
                "The temperature {temperature} is invalid. Use a number above 0.",
                temperature=self.temperature,
            )

    def __str__(self) -> str:
        """Return the compared values in one line: "multi, 30 members, mirroring full"."""
        return f"{self.method}, {self.options}"

    @property
    def options(self) -> str:
        """The compared values but for the method: "30 members, mirroring full"."""
        words = [format_count(self.members, "member")]
        if self.until_stable:
            words.append("until stable")
        words.append(f"mirroring {self.mirroring}")
        if self.window != DEFAULT_WINDOW:
            words.append(f"window {self.window}")
        kept = {"on": ["largest component"], "off": ["all components"]}
        words += kept.get(self.largest_component, [])
        if self.temperature not in (None, 1):
            shown = self.temperature if self.temperature == "fitted" else f"{self.temperature:g}"
            words.append(f"temperature {shown}")
        return ", ".join(words)

    def to_json(self) -> dict[str, Any]:
        """Return the settings under the keys of a case's report."""
        return {_KEYS.get(name, name): value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return the settings from the content of `to_json` or of a report.

        A report has the number type of the network as its precision; float32 is "full". Raises
        KeyError or TypeError if values are missing, AppError if the temperature is not above 0.
        """
        known = {"largest_component": "off", **content}  # as before there was a choice
        values = {entry.name: known[_KEYS.get(entry.name, entry.name)] for entry in fields(cls)}
        values["precision"] = "full" if values["precision"] in ("float32", "full") else "auto"
        return cls(**values)
