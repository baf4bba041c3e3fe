"""Made reviews of a cine with two phases, one of which has two corrected slices."""

import math
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np

from napari_bayes_nnunet.app.review.report_page import CorrectedSlice, ReviewOutcome
from napari_bayes_nnunet.core.heart.function import Comparison, Measured
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.study.info import StudyInfo
from napari_bayes_nnunet.io.study.review_state import Decision, ReviewState

STRUCTURES = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
RULES = ("Papillary muscles are counted as blood.", "Normal ranges: <Petersen>.")


def measured(
    name: str, value: float, spread: float = math.nan, unit: str = "mL", title: str = ""
) -> Measured:
    side = {"LV": "Left ventricle", "RV": "Right ventricle"}[name[:2]]
    words = title or "end-diastolic volume"
    return Measured(
        name=name, title=f"{side}, {words}", value=value, spread=spread, unit=unit, help="Of it."
    )


def numbers(*values: Measured) -> dict[str, Measured]:
    return {number.name: number for number in values}


BEFORE = numbers(
    measured("LV EDV", 120.04, 3.21),
    measured("LV EF", 55.5, 2.5, "%", "ejection fraction"),
    measured("RV CO", 5.126, 0.25, "L/min", "cardiac output"),
)
NORMAL = Comparison(
    title="Normal",
    text="93–232",
    lines=("Men: 93 to 232 mL (abnormal beyond).",),
    notes=("Source.",),
)
AFTER = numbers(
    replace(measured("LV EDV", 118.0, 1.0), comparison=NORMAL),
    replace(
        measured("LV EF", 57.75, 1.25, "%", "ejection fraction"),
        intervals={80: (52, 63.5), 90: (49.5, 66)},
    ),
    measured("RV CO", 5.126, 0.25, "L/min", "cardiac output"),
)
OPEN = {"LV EDV": 4, "LV EF": 9, "RV CO": 0}


def ring(center: tuple[int, int] = (30, 24), radius: int = 9) -> np.ndarray:
    """Return (48, 60) labels of an LV in its myocardium."""
    y, x = np.mgrid[:48, :60]
    distance = np.hypot(y - center[1], x - center[0])
    return np.where(distance < radius - 4, 3, np.where(distance < radius, 2, 0)).astype(np.uint8)


def corrected(z: int = 2, radius: int = 12) -> CorrectedSlice:
    image = np.random.default_rng(z).integers(0, 400, (48, 60)).astype(np.int16)
    return CorrectedSlice(phase=8, z=z, image=image, before=ring(), after=ring(radius=radius))


def review(**changes: Any) -> ReviewOutcome:
    content: dict[str, Any] = {
        "case": "patient007",
        "structures": STRUCTURES,
        "reports": {},
        "before": BEFORE,
        "after": AFTER,
        "open_slices": OPEN,
        "rules": RULES,
        "made": datetime(2026, 7, 1, 10, 32),
        "ed": 1,
        "es": 8,
        "changes": "50 voxels in 2 slices.",
        "corrected": (corrected(2), corrected(3)),
        "decisions": {
            (8, 2): Decision(state="accepted", comment="base"),
            (1, 0): Decision(state="flagged"),
        },
    }
    content |= changes
    info, state = (
        {name: content.pop(name) for name in names if name in content}
        for names in (
            ("case", "structures", "reports", "phase_cases"),
            ("ed", "es", "decisions", "reader", "finished_on"),
        )
    )
    geometry = make_geometry((5, 48, 60), (10.0, 1.5, 1.5))
    return ReviewOutcome(
        info=StudyInfo(image=None, geometry=geometry, classes=4, phases=(1, 8), **info),
        state=ReviewState(finished="finished_on" in state, **state),
        **content,
    )
