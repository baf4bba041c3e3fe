"""Measurements that end-diastole and end-systole have together."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_bayes_nnunet.app.prediction.function_entry import read_pairs, update_function
from napari_bayes_nnunet.app.prediction.output_files import with_geometry
from napari_bayes_nnunet.app.report.number_warnings import GRIDS_DIFFER, NO_STROKE, SAME_PHASE
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.study.case_report import read_report
from tests.helpers.data.studies import made_report

RECIPE = {
    **SegmentationSettings(members=2, temperature=1.0, largest_component="on").to_json(),
    "precision": "float32",
    "members": [],
    "plans_sha256": "1" * 64,
}
CINE = {"ED": 1, "ES": 12, "phases": 12, "image_sha256": "1" * 64}
ENDS = ("p_frame01", "p_frame12")


def write(folder: Path, case: str, lv: float, **changes: Any) -> None:
    volumes = {"LV": {"ensemble": lv, "members": [lv, lv]}}
    about = {"seconds": 1.0, "device": "cpu", "calibration": None, "phase": None}
    report = made_report() | about | RECIPE | {"volumes_ml": volumes} | changes
    (folder / f"{case}.json").write_text(json.dumps(report))


def read(folder: Path, case: str) -> dict[str, Any]:
    return dict(json.loads((folder / f"{case}.json").read_text()))


def ef_of(folder: Path, cases: Iterable[str] = ENDS) -> float | None:
    """Return the EF of the only pair, None if there is none."""
    pairs = read_pairs(folder, cases)
    assert not any("function" in read(folder, case) for case in pairs)
    return pairs[ENDS[0]].measured["LV EF"].value if pairs else None


def test_two_images_of_one_recipe_are_a_pair(tmp_path) -> None:
    write(tmp_path, "p_frame12", 50)
    assert ef_of(tmp_path) is None
    write(tmp_path, "p_frame01", 100)
    assert ef_of(tmp_path) == 50
    pair = read_pairs(tmp_path, reversed(ENDS))["p_frame12"]
    assert (pair.ed, pair.es) == ENDS
    write(tmp_path, "p_frame05", 80)
    assert ef_of(tmp_path, (*ENDS, "p_frame05")) is None
    (tmp_path / "p_frame05.json").write_text("{}")  # a damaged report counts as missing
    assert ef_of(tmp_path, (*ENDS, "p_frame05")) == 50


@pytest.mark.parametrize(
    "changes",
    [
        *({"method": "vanilla"}, {"mirroring": "none"}, {"temperature": 1.5}, {"phase": 1}),
        *({"members_asked": 1}, {"plans_sha256": "0" * 64}, {"members": None}, {"outdated": True}),
    ],
)
def test_report_of_another_recipe_forms_no_pair(tmp_path, changes) -> None:
    write(tmp_path, "p_frame01", 100)
    write(tmp_path, "p_frame12", 50)
    assert ef_of(tmp_path) == 50
    write(tmp_path, "p_frame01", 100, **changes)
    assert ef_of(tmp_path) is None


def test_measurements_written_by_version_0_2_0_do_not_count(tmp_path) -> None:
    old = {"function": {"LV EF": {"value": 1.0}}, "function_warnings": ["Old."]}
    for case, lv in zip(ENDS, (100, 50), strict=True):
        write(tmp_path, case, lv, **old, warnings=["Dark.", "Old."])
    pair = read_pairs(tmp_path, ENDS)["p_frame01"]
    assert pair.reports[pair.ed]["function"]["LV EF"]["value"] == 50
    assert (pair.warnings, pair.reports[pair.es]["warnings"]) == ((), ["Dark."])
    alone = read_report(tmp_path / "p_frame01.json")
    assert (alone["warnings"], "function" in alone) == (["Dark."], False)


def test_pair_that_is_swapped_warns(tmp_path) -> None:
    write(tmp_path, "p_ED", 50, warnings=["Dark."])
    write(tmp_path, "p_ES", 100)
    pair = read_pairs(tmp_path, ["p_ED", "p_ES"])["p_ED"]
    sentence = NO_STROKE.format(side="LV", edv=50.0, esv=100.0)
    assert pair.warnings == (sentence,)
    assert pair.reports["p_ED"]["warnings"] == ["Dark.", sentence]
    assert pair.reports["p_ES"]["warnings"] == [sentence]


@pytest.mark.parametrize(
    ("shape", "spacing", "shift"),
    [
        ((8, 20, 20), (10.0, 1.4063, 1.4063), 0),
        ((9, 20, 20), (8.0, 1.4063, 1.4063), 0),
        ((9, 20, 20), (10.0, 1.4063, 1.4063), 10),
    ],
)
def test_pair_on_different_grids_warns(tmp_path, shape, spacing, shift) -> None:
    def on_grid(case: str, lv: float, *grid: Any, shift: float = 0) -> str:
        affine = np.diag([1.0, 1.0, 1.0, 1.0])
        affine[2, 3] = shift
        geometry = make_geometry(*grid, affine=affine)
        write(tmp_path, case, lv, **with_geometry({}, geometry))
        return str(geometry)

    ed = on_grid("p_ED", 100, (9, 20, 20), (10.0, 1.40625, 1.40625))
    on_grid("p_ES", 50, (9, 20, 20), (10.0, 1.4063, 1.4063))
    pair = read_pairs(tmp_path, ["p_ED", "p_ES"])["p_ED"]
    assert pair.warnings == ()
    es = on_grid("p_ES", 25, shape, spacing, shift=shift)
    pair = read_pairs(tmp_path, ["p_ED", "p_ES"])["p_ED"]
    assert pair.warnings == (GRIDS_DIFFER.format(grids=f"{ed}; {es}"),)


def test_cine_keeps_measurements_until_an_end_is_replaced(tmp_path) -> None:
    def written() -> list[bool]:
        return ["function" in read(tmp_path, case) for case in ENDS]

    for phase, lv in ((1, 100), (12, 50)):
        write(tmp_path, f"p_frame{phase:02d}", lv, phase=phase, **CINE)
    assert ef_of(tmp_path) is None  # they are phases of one image
    assert update_function(tmp_path, "p", [1]) == ()
    assert written() == [True, True]
    update_function(tmp_path, "p", range(1, 13), replaced={5})
    assert written() == [True, True]
    update_function(tmp_path, "p", range(1, 13), replaced={1})
    assert written() == [False, False]
    update_function(tmp_path, "p", [12])
    assert written() == [True, True]


@pytest.mark.parametrize(
    "changes", [{"image_sha256": "0" * 64}, {"mirroring": "none"}, {"ES": 11}, {"phases": 13}]
)
def test_cine_of_two_recipes_has_no_measurements(tmp_path, changes) -> None:
    for phase, other in ((1, changes), (12, {})):
        write(tmp_path, f"p_frame{phase:02d}", 100 / phase, phase=phase, **CINE | other)
    update_function(tmp_path, "p", [1])
    assert not any("function" in read(tmp_path, case) for case in ENDS)


def test_cine_with_one_phase_as_both_ends_warns(tmp_path) -> None:
    write(tmp_path, "p_frame03", 100, phase=3, phases=9, ED=3, ES=3)
    assert update_function(tmp_path, "p", [3]) == (SAME_PHASE,)
    assert read(tmp_path, "p_frame03")["warnings"] == [SAME_PHASE]
