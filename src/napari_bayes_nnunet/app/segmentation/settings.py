"""Settings of a segmentation, as command-line options, as JSON and as fields of a form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

from ...core.counts import format_count
from ...core.types import LargestComponent, Mirroring, Precision, Window
from .. import AppError
from .methods import DEFAULT_COUNT, DEFAULT_METHOD, METHODS

DEFAULT_WINDOW: Final[Window] = "heart"
"""Window of an ensemble that is not calibrated for the whole image only."""


@dataclass(frozen=True, kw_only=True)
class SegmentationSettings:
    """Settings to segment an image with an ensemble.

    Equal settings give the same labels: ``calibrated``, ``device`` and ``precision`` are not
    compared. The metadata of each field describe its row in a form: ``label``, ``help``,
    ``limits``, ``step``, and ``choices`` (value to text) with the ``choice_help`` of each.

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
        what these have found (`heart_window`); or let all see the whole image.
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

    method: str = field(
        default=DEFAULT_METHOD,
        metadata={
            "label": "Method",
            "help": "How members are chosen and combined.",
            "choices": {name: f"{method.title} ({name})" for name, method in METHODS.items()},
            "choice_help": {name: method.help for name, method in METHODS.items()},
        },
    )
    members: int = field(
        default=DEFAULT_COUNT,
        metadata={
            "label": "Members",
            "help": "Maximum number of members. More members measure the uncertainty better but "
            "take longer. The paper uses 30.",
            "limits": (1, 1000),
        },
    )
    temperature: float | Literal["fitted"] | None = field(
        default=None,
        metadata={
            "label": "Temp. τ",
            "help": "Above 1 softens the probabilities and raises the entropy; below 1 sharpens "
            "them. Labels do not change.",
            "limits": (0.1, 10.0),
            "step": 0.1,
        },
    )
    mirroring: Mirroring = field(
        default="full",
        metadata={
            "label": "Mirroring",
            "help": "Mirrored copies of the image that each member sees.",
            "choices": {"full": "Full", "spread": "Spread", "none": "None"},
            "choice_help": {
                "full": "Each member averages all mirrored copies. Slightly better, but several "
                "times slower.",
                "spread": "Each member sees one mirrored copy, in turn, at no extra cost. With a "
                "single member no mirroring is used.",
                "none": "Each member sees only the image itself. Fastest.",
            },
        },
    )
    window: Window = field(
        default=DEFAULT_WINDOW,
        metadata={
            "label": "Region",
            "help": "Part of each slice that all members see.",
            "choices": {"heart": "Heart", "whole": "Whole image"},
            "choice_help": {
                "heart": "The first member of each cycle finds the heart in the whole image, the "
                "others see only a window around it. Faster.",
                "whole": "Every member sees the whole image.",
            },
        },
    )
    until_stable: bool = field(
        default=False,
        metadata={
            "label": "Stop early",
            "unit": "in stable slices",
            "help": "Skip further members in slices whose result no longer changes.",
        },
    )
    largest_component: LargestComponent = field(
        default="auto",
        metadata={
            "label": "Keep",
            "help": "Keep only the largest connected component of all structures together.",
            "choices": {"auto": "As trained", "on": "Largest component", "off": "All components"},
            "choice_help": {
                "auto": "Largest component if each complete training label is one component.",
                "on": "Remove what lies apart from the largest component.",
                "off": "Keep everything that the models draw.",
            },
        },
    )
    calibrated: bool = field(
        default=True,
        compare=False,  # the temperature is
        metadata={
            "label": "Calibrated",
            "help": "Use the temperature and the prediction intervals that were fitted on the "
            "validation cases.",
        },
    )
    device: str = field(
        default="auto",
        compare=False,
        metadata={
            "label": "Device",
            "help": "Device to compute on: the fastest, a device by name, or another computer.",
            # A form adds the devices that it finds.
            "choices": {"auto": "Automatic"},
            "choice_help": {"auto": "The fastest device."},
        },
    )
    precision: Precision = field(
        default="auto",
        compare=False,
        metadata={
            "label": "Precision",
            "help": "Numerical precision of the network.",
            "choices": {"auto": "Automatic", "full": "Full"},
            "choice_help": {
                "auto": "Half precision if the device is fast with it.",
                "full": "Always float32.",
            },
        },
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

    def to_arguments(self) -> list[str]:
        """Return the options of ``bayes-nnunet predict``."""
        words = ["--method", self.method, "--members", str(self.members)]
        words += ["--mirroring", self.mirroring]
        if self.temperature is not None:
            words += ["--temperature", str(self.temperature)]
        words += ["--window", self.window]
        if self.until_stable:
            words.append("--until-stable")
        words += ["--largest-component", self.largest_component]
        if not self.calibrated:
            words.append("--uncalibrated")
        return [*words, "--device", self.device, "--precision", self.precision]

    def to_json(self) -> dict[str, Any]:
        """Return the settings under the keys of a case's report."""
        return {
            "method": self.method,
            "members_asked": self.members,
            "until_stable": self.until_stable,
            "mirroring": self.mirroring,
            "window": self.window,
            "largest_component": self.largest_component,
            "temperature": self.temperature,
            "calibrated": self.calibrated,
            "device": self.device,
            "precision": self.precision,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return the settings from the content of `to_json` or of a report of any version.

        A report has the number type of the network as its precision; float32 is "full". Raises
        KeyError or TypeError if values are missing, AppError if the temperature is not above 0.
        """
        members = content["members_asked"] if "members_asked" in content else content["members"]
        exact = content.get("precision", "float32") in ("float32", "full")
        return cls(
            method=content["method"],
            members=members if isinstance(members, int) else len(members),
            mirroring=content["mirroring"],
            temperature=content.get("temperature", 1.0),
            window=content.get("window", "whole"),
            until_stable=content.get("until_stable", False),
            largest_component=content.get("largest_component", "off"),
            calibrated=content.get("calibrated", True),
            device=content.get("device", "auto"),
            precision="full" if exact else "auto",
        )
