"""Function of the heart: volumes, EF, output and mass, each with the spread of the members.

The spread is the sample SD over the members, not a clinical confidence interval. In reviewed slices
every member takes the reader's labels, so the spread is the uncertainty that remains. A calibrated
ensemble also gives an interval of each number, which narrows with this spread.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import numpy as np

from ..fields import check_values, setting
from ..metrics.conformal import Coverage, NumberRule, RemainingChange
from ..types import Phase
from .measurements import Structure
from .slice_volumes import Values, VolumesByPhase, standard_deviation

MYOCARDIUM_G_PER_ML: Final = 1.05
Intervals: TypeAlias = Mapping[Coverage, tuple[float, float]]
"""Coverage in % → lowest and highest plausible value."""
_NOT_KNOWN: Final = "not known"
_SEXES: Final = {None: _NOT_KNOWN, "f": "female", "m": "male"}
_SIDES: Final[dict[Structure, str]] = {"LV": "Left ventricle", "RV": "Right ventricle"}


@dataclass(frozen=True, kw_only=True)
class Patient:
    """Values for indexing, cardiac output and normal ranges, None if unknown.

    ``sex``, "m" or "f", ``age`` in years, ``height_cm``, ``weight_kg``, ``heart_rate`` in beats per
    minute. Raises InputError for values outside the human range.
    """

    sex: Literal["m", "f"] | None = setting(
        None, "For the normal ranges; those of both if not known.", label="Sex", choices=_SEXES
    )
    age: float | None = setting(
        None, "Age at the scan.", label="Age", unit="years", limits=(0, 120), example=_NOT_KNOWN
    )
    height_cm: float | None = setting(
        None,
        "With the weight: volumes and mass are also given per m² of body surface (Mosteller).",
        label="Height",
        unit="cm",
        limits=(20, 280),
        option="height",
        example=_NOT_KNOWN,
    )
    weight_kg: float | None = setting(
        None,
        "With the height: volumes and mass are also given per m² of body surface (Mosteller).",
        label="Weight",
        unit="kg",
        limits=(0.3, 650),
        option="weight",
        example=_NOT_KNOWN,
    )
    heart_rate: float | None = setting(
        None,
        "Heart rate during the scan; the cardiac output is stroke volume × rate.",
        label="Heart rate",
        unit="beats/min",
        limits=(10, 400),
        example=_NOT_KNOWN,
    )

    def __post_init__(self) -> None:
        check_values(self)

    @property
    def body_surface_area(self) -> float | None:
        """Body surface area in m², after Mosteller: √(height · weight / 3600)."""
        if self.height_cm is None or self.weight_kg is None:
            return None
        return math.sqrt(self.height_cm * self.weight_kg / 3600)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Normal range of a number, or its value by another rule.

    ``title`` and ``text`` are short, "Normal" and "93–232", with a line each for men and women if
    the sex is not known. ``lines`` say the same in full, ``notes`` where it is from. ``verdict`` is
    "▼ low", "▲ high" or "", ``value`` that by the other rule.
    """

    title: str
    text: str
    lines: tuple[str, ...]
    notes: tuple[str, ...] = ()
    verdict: str = ""
    value: float = math.nan


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Measurement of a report, with a short ``name`` ("LV EF"), a ``title`` and a ``help`` text.

    ``value`` is measured in the labels of ``phases``. ``spread`` is the sample SD over the members,
    NaN if unknown. ``intervals`` has the lowest and highest plausible value at each known level.
    All are in ``unit``. ``comparison`` is what stands beside it, None if there is nothing. ``site``
    is the profile that the intervals are of, "" if they are the ensemble's.
    """

    name: str
    title: str
    value: float
    spread: float
    unit: str
    help: str
    phases: tuple[Phase, ...] = ()
    intervals: Intervals = field(default_factory=dict)
    comparison: Comparison | None = None
    site: str = ""


@dataclass(frozen=True)
class _Quantity:
    title: str
    unit: str
    help: str

    def measured(
        self,
        side: Structure,
        name: str,
        values: Values,
        phases: tuple[Phase, ...],
        intervals: Intervals,
    ) -> Measured:
        return Measured(
            name=f"{side} {name}",
            title=f"{_SIDES[side]}, {self.title}",
            value=float(values[0]),
            spread=float(standard_deviation(values[1:])),
            unit=self.unit,
            help=self.help,
            phases=phases,
            intervals=intervals,
        )


QUANTITIES: Final = {
    "EDV": _Quantity("end-diastolic volume", "mL", "Volume in the phase taken as end-diastole."),
    "ESV": _Quantity("end-systolic volume", "mL", "Volume in the phase taken as end-systole."),
    "SV": _Quantity("stroke volume", "mL", "EDV − ESV."),
    "EF": _Quantity("ejection fraction", "%", "(EDV − ESV) / EDV."),
    "CO": _Quantity("cardiac output", "L/min", "Stroke volume × heart rate."),
    "volume": _Quantity("volume", "mL", "Volume in the one phase of this image."),
    "mass": _Quantity(
        "myocardial mass",
        "g",
        f"Myocardium at end-diastole, or in the only phase, × {MYOCARDIUM_G_PER_ML} g/mL.",
    ),
}
INDEXED: Final = {
    "EDV": "EDVi",
    "ESV": "ESVi",
    "SV": "SVi",
    "CO": "CI",
    "volume": "volume index",
    "mass": "mass index",
}
_INDEX_TITLES: Final = {"CO": "cardiac index"}


def heart_function(
    phases: VolumesByPhase,
    *,
    ed: int | None = None,
    es: int | None = None,
    patient: Patient | None = None,
    rules: Mapping[str, NumberRule] | None = None,
) -> dict[str, Measured]:
    """Return the measurements of both ventricles by name ("LV EDV", "LV EF", …), in reading order.

    ``ed`` and ``es`` are phases of ``phases``, None if unknown. If they are equal, the phase counts
    as end-diastole only. A 3D image, the phase None, has only volumes and mass. Measurements that
    need a missing structure or phase are left out.

    EDV and ESV of an EF are of the same member. A spread is NaN if fewer than two members have the
    value, and for EF and SV if ED and ES have different numbers of members. ``rules``, by name,
    give the intervals; before the first reviewed slice those of a whole review.
    """
    patient = patient or Patient()
    measurements = [
        measured
        for side in _SIDES
        for measured in _measured(side, phases, ed, None if es == ed else es, patient, rules or {})
    ]
    return {measured.name: measured for measured in measurements}


def ejection_fraction(edv: Values, esv: Values) -> Values:
    """Return the EF in %, NaN if the EDV is 0."""
    # NaN instead of a warning about a division by 0.
    return 100 * (edv - esv) / np.where(edv > 0, edv, np.nan)


def _measured(
    side: Structure,
    phases: VolumesByPhase,
    ed: int | None,
    es: int | None,
    patient: Patient,
    rules: Mapping[str, NumberRule],
) -> Iterator[Measured]:
    values = dict(_values(side, phases, ed, es, patient))
    measured_in = {name: _phases_of(name, phases, ed, es) for name in values}
    intervals: dict[str, Intervals] = {}
    for name, value in values.items():
        rule, unit = rules.get(f"{side} {name}"), 1.0
        if name == "mass" and None in phases:  # the rule of the mass is for end-diastole only
            rule, unit = rules.get("MYO volume"), MYOCARDIUM_G_PER_ML
        if rule is not None:
            difficulty = float(standard_deviation(value[1:])) / unit
            if isinstance(rule, RemainingChange) and not _is_begun(phases, measured_in[name]):
                difficulty += math.inf  # an unknown one stays unknown
            known = rule.intervals(
                float(value[0]) / unit,
                difficulty=difficulty,
                most=100.0 if name == "EF" else math.inf,
            )
            intervals[name] = _scaled(known, unit)
    # The cardiac output has no rule of its own, because the heart rate is known.
    if patient.heart_rate is not None and "SV" in intervals:
        intervals["CO"] = _scaled(intervals["SV"], patient.heart_rate / 1000)
    for name, value in values.items():
        of = measured_in[name], intervals.get(name, {})
        yield QUANTITIES[name].measured(side, name, value, *of)
    area = patient.body_surface_area
    if area is None:
        return
    for name, index in INDEXED.items():
        if name in values:
            of = measured_in[name], _scaled(intervals.get(name, {}), 1 / area)
            yield _index_of(name, area).measured(side, index, values[name] / area, *of)


def _is_begun(phases: VolumesByPhase, of_number: tuple[Phase, ...]) -> bool:
    """Return whether a slice that a number is measured in has been reviewed."""
    return any(phases[phase].reviewed.any() for phase in of_number)


def _scaled(intervals: Intervals, factor: float) -> Intervals:
    return {level: (low * factor, high * factor) for level, (low, high) in intervals.items()}


def _phases_of(
    name: str, phases: VolumesByPhase, ed: int | None, es: int | None
) -> tuple[Phase, ...]:
    """Return the phases that a quantity is measured in."""
    if None in phases:
        return (None,)
    if name in ("SV", "EF", "CO"):
        return ed, es
    return (es,) if name == "ESV" else (ed,)


def _index_of(name: str, area: float) -> _Quantity:
    quantity = QUANTITIES[name]
    return _Quantity(
        _INDEX_TITLES.get(name, f"{quantity.title} index"),
        f"{quantity.unit}/m²",
        f"{quantity.title.capitalize()} / body surface area ({area:.2f} m², Mosteller).",
    )


def _values(
    side: Structure, phases: VolumesByPhase, ed: int | None, es: int | None, patient: Patient
) -> Iterator[tuple[str, Values]]:
    """Yield each quantity with its (1 + n,) values: of the labels, then of each member."""
    edv, esv = (_total(phases, phase, side) for phase in (ed, es))
    if edv is not None:
        yield "EDV", edv
    if esv is not None:
        yield "ESV", esv
    if edv is not None and esv is not None:
        edv, esv = _paired(edv, esv)
        yield "SV", edv - esv
        yield "EF", ejection_fraction(edv, esv)
        if patient.heart_rate is not None:
            yield "CO", (edv - esv) * patient.heart_rate / 1000
    single = phases[None].total(side) if None in phases else None
    if single is not None:
        yield "volume", single
    if side == "LV":
        yield from _mass(phases, ed)


def _mass(phases: VolumesByPhase, ed: int | None) -> Iterator[tuple[str, Values]]:
    wall = phases[None].total("MYO") if None in phases else _total(phases, ed, "MYO")
    if wall is not None:
        yield "mass", wall * MYOCARDIUM_G_PER_ML


def _total(phases: VolumesByPhase, phase: int | None, structure: Structure) -> Values | None:
    if phase is None or phase not in phases:
        return None
    return phases[phase].total(structure)


def _paired(edv: Values, esv: Values) -> tuple[Values, Values]:
    """Return both, reduced to the labels' values if the phases have different members."""
    return (edv, esv) if len(edv) == len(esv) else (edv[:1], esv[:1])
