"""DICOM Structured Report (TID 1500) of measurements, which refers to images and labels."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import highdicom as hd
from highdicom import sr
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from ...core.heart.function import Measured
from ...core.heart.normal_ranges import HIGH, LOW
from ...core.heart.wall import SEGMENTS
from .. import DataError
from .headers import DicomImage
from .limits import read_dicom_file
from .seg import (
    LONGEST_TEXT,
    MAKER,
    SERIES_NUMBER,
    UNICODE,
    LabelOrigin,
    describe_series,
    dicom_write_errors,
    read_source_headers,
    save_as_unicode,
)

MILLILITRE: Final = Code("mL", "UCUM", "mL")
GRAM: Final = Code("g", "UCUM", "g")
LITRE_PER_MINUTE: Final = Code("L/min", "UCUM", "L/min")
OWN_SCHEME: Final = "99BNNUNET"
"""Coding scheme of measurements that no standard one has, such as "LV EDVi"."""
PERCENT: Final = codes.UCUM.Percent
CONCEPTS: Final[Mapping[str, tuple[Any, Any]]] = {
    "LV EDV": (codes.LN.LeftVentricularEDVolume, MILLILITRE),
    "LV ESV": (codes.LN.LeftVentricularESVolume, MILLILITRE),
    "LV SV": (codes.SCT.StrokeVolume, MILLILITRE),
    "LV EF": (codes.LN.LeftVentricularEjectionFractionByMR, PERCENT),
    "LV CO": (codes.SCT.CardiacOutput, LITRE_PER_MINUTE),
    "LV mass": (codes.LN.LeftVentricleMass, GRAM),
    "RV EDV": (codes.LN.RightVentricularEDVolume, MILLILITRE),
    "RV ESV": (codes.LN.RightVentricularESVolume, MILLILITRE),
    "RV SV": (codes.SCT.RVStrokeVolume, MILLILITRE),
    "RV EF": (codes.LN.RightVentricularEjectionFractionByMR, PERCENT),
    "RV CO": (codes.SCT.RVCardiacOutput, LITRE_PER_MINUTE),
}
"""LOINC or SNOMED concept and unit by the name of the measurement."""
VERDICTS: Final = {LOW: codes.cid222.AbnormallyLow, HIGH: codes.cid222.AbnormallyHigh}
_SEGMENT: Final = "LeftVentricle{}Segment"
SEGMENT_SITES: Final = [
    getattr(codes.SCT, _SEGMENT.format(name.title().replace(" ", ""))) for name in SEGMENTS
]
"""SNOMED CT concepts of the segments 1 to 16 of the wall, of DICOM's context group 3717."""
CYCLE_POINTS: Final = {"ED": codes.SCT.EndDiastole, "ES": codes.SCT.EndSystole}
SITES: Final = {"LV": codes.SCT.LeftVentricle, "RV": codes.SCT.RightVentricle}
NO_MEASUREMENTS: Final = "The report has no measurements. Segment ED and ES first."


def write_structured_report(
    file: Path,
    measured: Mapping[str, Measured],
    images: Sequence[DicomImage],
    labels: Sequence[Path],
    *,
    origin: LabelOrigin,
    is_reviewed: bool = False,
    comments: Mapping[str, str] | None = None,
    sentences: Sequence[str] = (),
) -> None:
    """Write the ``measured`` numbers of both ventricles, with their intervals and normal ranges.

    The wall has a group for each segment and phase; its thickening is in that of end-systole.
    ``comments`` are texts by the name of a number, ``sentences`` stand at the end of the report.

    ``images`` are the slices of one phase, ``labels`` the segmentations that were measured. The
    report is marked as not verified, and as partial unless all measured slices were accepted
    (``is_reviewed``). Raises DataError if no measurement is given or writing fails.
    """
    about = comments or {}
    groups = [group for side in SITES if (group := _group(side, measured, about, origin))]
    groups += _segment_groups(measured, origin)
    if not groups:
        raise DataError(NO_MEASUREMENTS)
    with dicom_write_errors(file):
        sources = read_source_headers(images)
        segmentations = (read_dicom_file(label, stop_before_pixels=True) for label in labels)
        evidence = [*sources, *segmentations]
        report = sr.MeasurementReport(
            observation_context=_context(origin.reader),
            procedure_reported=codes.SCT.MagneticResonanceImagingOfHeart,
            imaging_measurements=groups,
        )
        report[0].ContentSequence.extend(
            sr.TextContentItem(codes.DCM.Comment, sentence, sr.RelationshipTypeValues.CONTAINS)
            for sentence in sentences
        )
        document = sr.Comprehensive3DSR(
            evidence=evidence,
            content=report[0],
            series_instance_uid=hd.UID(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer=MAKER,
            is_complete=is_reviewed,
            series_description=describe_series("measurements", origin.review),
            specific_character_set=UNICODE,
        )
        if origin.review:
            document.CompletionFlagDescription = origin.review
        save_as_unicode(document, file)


def _group(
    side: str, measured: Mapping[str, Measured], comments: Mapping[str, str], origin: LabelOrigin
) -> Any:
    """Return the measurements of a ventricle, or None."""
    numbers = []
    for name, number in measured.items():
        if name.startswith(f"{side} ") and math.isfinite(number.value):
            concept, unit = CONCEPTS.get(name) or _own_concept(name, number)
            properties = _properties(number, comments.get(name, ""))
            value = round(number.value, 2)
            numbers.append(sr.Measurement(concept, value, unit, properties=properties or None))
    return _make_group(side, SITES[side], numbers, origin) if numbers else None


def _own_concept(name: str, number: Measured) -> tuple[Code, Code]:
    unit = number.unit.replace("²", "2")
    return Code(name, OWN_SCHEME, number.title), Code(unit, "UCUM", unit)


def _segment_groups(measured: Mapping[str, Measured], origin: LabelOrigin) -> list[Any]:
    """Return the groups of the segments, from "AHA 1 ED" on."""
    groups = []
    for number, site in enumerate(SEGMENT_SITES, start=1):
        for phase, point in CYCLE_POINTS.items():
            names = {f"AHA {number} {phase}": (codes.DCM.WallThickness, codes.UCUM.Millimeter)}
            if phase == "ES":
                names[f"AHA {number} thickening"] = codes.LN.PercentThickening, PERCENT
            numbers = [
                sr.Measurement(name=concept, value=round(measured[name].value, 2), unit=unit)
                for name, (concept, unit) in names.items()
                if name in measured
            ]
            at = sr.QualitativeEvaluation(name=codes.SCT.CardiovascularCyclePoint, value=point)
            if numbers:
                groups.append(_make_group(f"AHA {number} {phase}", site, numbers, origin, at))
    return groups


def _make_group(
    name: str, site: Any, numbers: Sequence[Any], origin: LabelOrigin, *evaluations: Any
) -> Any:
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=hd.UID(), identifier=name),
        finding_sites=[sr.FindingSite(anatomic_location=site)],
        algorithm_id=sr.AlgorithmIdentification(name=origin.algorithm, version=origin.version),
        measurements=numbers,
        qualitative_evaluations=evaluations,
    )


def _properties(number: Measured, comment: str) -> Any:
    """Return the verdict and the normal range, the widest interval, and a comment.

    The interval is given by the distances from the value to its ends.
    """
    upper, lower, normal, beside = None, None, None, number.comparison
    if number.intervals:
        low, high = number.intervals[max(number.intervals)]
        upper, lower = round(high - number.value, 2), round(number.value - low, 2)
    if beside and math.isnan(beside.value):  # else it is the value by another papillary rule
        authority = next(iter(beside.notes), None)
        normal = sr.NormalRangeProperties([], " ".join(beside.lines), authority)
    properties = sr.MeasurementProperties(
        normality=VERDICTS.get(beside.verdict) if beside else None,
        normal_range_properties=normal,
        upper_measurement_uncertainty=upper,
        lower_measurement_uncertainty=lower,
    )
    if comment:
        has_properties = sr.RelationshipTypeValues.HAS_PROPERTIES
        properties.append(sr.TextContentItem(codes.DCM.Comment, comment, has_properties))
    return properties


def _context(reader: str) -> Any:
    """Return this program and the reader, if known, as the observers (TID 1001)."""
    device = sr.DeviceObserverIdentifyingAttributes(uid=hd.UID(), name=MAKER)
    # These two separate values and groups of a person's name in DICOM.
    name = re.sub(r"[\\=]", " ", reader)[: LONGEST_TEXT - 1]
    person = sr.PersonObserverIdentifyingAttributes(name if "^" in name else f"{name}^")
    return sr.ObservationContext(
        observer_person_context=sr.ObserverContext(codes.DCM.Person, person) if name else None,
        observer_device_context=sr.ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=device
        ),
    )
