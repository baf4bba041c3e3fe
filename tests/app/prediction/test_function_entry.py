"""Measurements in the reports of end-diastole and end-systole."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_bayes_nnunet.app.prediction.function_entry import (
    PairedReports,
    add_function,
    remove_function,
)
from napari_bayes_nnunet.app.prediction.geometry_report import with_geometry
from napari_bayes_nnunet.app.report.number_warnings import GRIDS_DIFFER, NO_STROKE, SAME_PHASE
from napari_bayes_nnunet.core.types import Spacing
from napari_bayes_nnunet.io.images.geometry import make_geometry
from tests.helpers.data.studies import made_report


def write(folder: Path, case: str, lv: float, **changes: Any) -> None:
    volumes = {"LV": {"ensemble": lv, "members": [lv, lv]}}
    about = {"seconds": 1.0, "device": "cpu", "calibration": None, "phase": None}
    report = made_report() | about | {"volumes_ml": volumes} | changes
    (folder / f"{case}.json").write_text(json.dumps(report))


def ef_of(folder: Path, case: str) -> float | None:
    report = json.loads((folder / f"{case}.json").read_text())
    return report["function"]["LV EF"]["value"] if "function" in report else None


def test_pair_made_in_two_runs_is_measured(tmp_path: Path) -> None:
    for case, lv in (("p_frame12", 50.0), ("p_frame01", 100.0)):
        write(tmp_path, case, lv)
        PairedReports(tmp_path).update(case)
    assert [ef_of(tmp_path, case) for case in ("p_frame01", "p_frame12")] == [50, 50]


def test_pair_made_in_two_runs_at_once_is_measured(tmp_path: Path) -> None:
    of_ed, of_es = PairedReports(tmp_path), PairedReports(tmp_path)
    for patient in ("p", "q"):
        for paired, case, lv in ((of_ed, "frame01", 100.0), (of_es, "frame12", 50.0)):
            with paired.updated(f"{patient}_{case}"):
                write(tmp_path, f"{patient}_{case}", lv)
    of_ed.update_again()
    names = [f"{patient}_{case}" for patient in ("p", "q") for case in ("frame01", "frame12")]
    assert [ef_of(tmp_path, name) for name in names] == [50] * 4


@pytest.mark.parametrize(
    "changes",
    [
        *({"method": "vanilla"}, {"mirroring": "none"}, {"temperature": 1.5}),
        *({"members_asked": 1}, {"plans_sha256": "0" * 64}),
    ],
)
def test_new_result_of_one_image_changes_both_reports(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    write(tmp_path, "p_frame01", 100, plans_sha256="1" * 64)
    write(tmp_path, "p_frame12", 50, plans_sha256="1" * 64)
    paired = PairedReports(tmp_path)
    paired.update("p_frame01")
    assert ef_of(tmp_path, "p_frame12") == 50
    write(tmp_path, "p_frame01", 200, plans_sha256="1" * 64)
    paired.update("p_frame01")
    assert ef_of(tmp_path, "p_frame12") == 75
    write(tmp_path, "p_frame01", 200, **{"plans_sha256": "1" * 64} | changes)
    paired.update("p_frame01")
    assert ef_of(tmp_path, "p_frame12") is None


def test_third_image_and_failed_image_remove_the_measurements(tmp_path: Path) -> None:
    write(tmp_path, "p_frame01", 100)
    write(tmp_path, "p_frame12", 50)
    paired = PairedReports(tmp_path)
    paired.update("p_frame01")
    write(tmp_path, "p_frame05", 80)
    paired.update("p_frame05")
    assert ef_of(tmp_path, "p_frame12") is None
    (tmp_path / "p_frame05.json").unlink()
    paired.update("p_frame05")
    assert ef_of(tmp_path, "p_frame12") == 50
    (tmp_path / "p_frame01.json").write_text("{}")  # a damaged report counts as missing
    with pytest.raises(RuntimeError), paired.updated("p_frame01"):
        raise RuntimeError
    assert ef_of(tmp_path, "p_frame12") is None


def test_old_result_of_a_failed_image_forms_no_pair_in_later_runs(tmp_path: Path) -> None:
    for case, lv in (("p_frame01", 100.0), ("p_frame12", 50.0)):
        write(tmp_path, case, lv)
    paired = PairedReports(tmp_path)
    paired.update("p_frame01")
    paired.note(failed=["p_frame12"])
    for ed in (100, 200):
        with PairedReports(tmp_path).updated("p_frame01"):
            write(tmp_path, "p_frame01", ed)
        assert [ef_of(tmp_path, case) for case in ("p_frame01", "p_frame12")] == [None, None]
    with paired.updated("p_frame12"):
        pass  # --continue found that its image and settings are the same
    assert ef_of(tmp_path, "p_frame01") == 75
    paired.note(failed=["p_frame12"])  # another image of this name
    paired.update("p_frame12")
    assert ef_of(tmp_path, "p_frame01") == 75


def test_phases_of_a_cine_are_no_pair(tmp_path: Path) -> None:
    for phase, lv in ((1, 100), (12, 50)):
        function = {"LV EF": {"value": 50}}
        write(tmp_path, f"p_frame{phase:02d}", lv, phase=phase, ED=1, ES=12, function=function)
    PairedReports(tmp_path).update("p_frame05")
    assert ef_of(tmp_path, "p_frame12") == 50
    remove_function(tmp_path, "p", 12, replaced={5})
    remove_function(tmp_path, "p", 12, replaced=())
    assert ef_of(tmp_path, "p_frame12") == 50
    remove_function(tmp_path, "p", 12, replaced={1})
    assert ef_of(tmp_path, "p_frame12") is None


def warnings_of(folder: Path, case: str) -> list[str]:
    return list(json.loads((folder / f"{case}.json").read_text())["warnings"])


def test_pair_that_is_swapped_warns_until_it_is_mended(tmp_path: Path) -> None:
    write(tmp_path, "p_ED", 50, warnings=["dark"])
    write(tmp_path, "p_ES", 100)
    paired = PairedReports(tmp_path)
    paired.update("p_ED")
    sentence = NO_STROKE.format(side="LV", edv=50.0, esv=100.0)
    assert paired.warnings == (sentence,)
    assert warnings_of(tmp_path, "p_ED") == ["dark", sentence]
    assert warnings_of(tmp_path, "p_ES") == [sentence]
    paired.update("p_ED")
    assert warnings_of(tmp_path, "p_ED") == ["dark", sentence]
    write(tmp_path, "p_ES", 40)
    paired.update("p_ES")
    assert (paired.warnings, ef_of(tmp_path, "p_ED")) == ((), 20)
    assert [warnings_of(tmp_path, case) for case in ("p_ED", "p_ES")] == [["dark"], []]
    write(tmp_path, "p_ES", 100)
    paired.update("p_ES")
    paired.note(failed=["p_ES"])  # no longer a pair
    paired.update("p_ES")
    assert warnings_of(tmp_path, "p_ED") == ["dark"]


@pytest.mark.parametrize(
    ("shape", "spacing", "shift"),
    [
        ((8, 20, 20), (10.0, 1.4063, 1.4063), 0),
        ((9, 20, 20), (8.0, 1.4063, 1.4063), 0),
        ((9, 20, 20), (10.0, 1.4063, 1.4063), 10),
    ],
)
def test_pair_on_different_grids_warns(
    tmp_path: Path, shape: tuple[int, ...], spacing: Spacing, shift: float
) -> None:
    def on_grid(case: str, lv: float, *grid: Any, shift: float = 0) -> str:
        affine = np.diag([1.0, 1.0, 1.0, 1.0])
        affine[2, 3] = shift
        write(tmp_path, case, lv)
        file = tmp_path / f"{case}.json"
        geometry = make_geometry(*grid, affine=affine)
        file.write_text(json.dumps(with_geometry(json.loads(file.read_text()), geometry)))
        return str(geometry)

    ed = on_grid("p_ED", 100, (9, 20, 20), (10.0, 1.40625, 1.40625))
    on_grid("p_ES", 50, (9, 20, 20), (10.0, 1.4063, 1.4063))
    paired = PairedReports(tmp_path)
    paired.update("p_ED")
    assert (paired.warnings, ef_of(tmp_path, "p_ED")) == ((), 50)
    es = on_grid("p_ES", 25, shape, spacing, shift=shift)
    paired.update("p_ES")
    sentence = GRIDS_DIFFER.format(grids=f"{ed}; {es}")
    assert warnings_of(tmp_path, "p_ED") == warnings_of(tmp_path, "p_ES") == [sentence]


def test_cine_with_one_phase_as_both_ends_warns(tmp_path: Path) -> None:
    write(tmp_path, "p_frame03", 100, phase=3, phases=9, ED=3, ES=3)
    assert add_function(tmp_path, "p", [3]) == (SAME_PHASE,)
    assert warnings_of(tmp_path, "p_frame03") == [SAME_PHASE]
