"""Segments of the wall in a study under review, and in what is exported."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest

from napari_bayes_nnunet.app.review.dicom_export import export_session
from napari_bayes_nnunet.app.review.export import export_review
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.app.review.walls import (
    BASE_UNKNOWN,
    DRAFT,
    FRONT_UNKNOWN,
    METHOD,
    NO_ED,
    NO_STRUCTURES,
    TOO_FEW_SLICES,
    measure_walls,
)
from napari_bayes_nnunet.core.heart.wall import SEGMENTS
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.study.study import read_study

from ...helpers.data.cines import (
    CINE,
    ED,
    ES,
    MYO,
    RV,
    SPACING,
    VOLUME,
    accept,
    make_cine,
    write_dicoms,
)
from ...helpers.data.studies import AFFINE

MIRROR = np.diag([-1, 1, 1, 1])
ALL = [f"AHA {n} {name}" for n in range(1, 17) for name in ("ED", "ES", "thickening")]


@pytest.fixture
def session(tmp_path: Path) -> ReviewSession:
    return ReviewSession(read_study(make_cine(tmp_path / "study", ed=ED, es=ES)))


def thicken_the_top(session: ReviewSession) -> None:
    """Draw muscle above the LV of the two middle slices at ED."""
    for z in (1, 2):
        plane = session.labels_in((ED, z))
        plane[2:10, 24:29][plane[2:10, 24:29] == 0] = MYO
        session.note_change([(ED, z)], tool="paint")


def thickest_mid_segment(session: ReviewSession) -> str:
    numbers = measure_walls(session).numbers
    return SEGMENTS[max(range(7, 13), key=lambda n: numbers[f"AHA {n} ED"].value) - 1]


def test_every_segment_has_its_three_numbers(session) -> None:
    walls = measure_walls(session)
    assert list(walls.numbers) == ALL
    assert walls.notes == (DRAFT.format(slices="8 slices"), METHOD)
    ed, es, thickening = (walls.numbers[name] for name in ALL[:3])
    assert (ed.unit, es.unit, thickening.unit) == ("mm", "mm", "%")
    assert (ed.phases, es.phases, thickening.phases) == ((ED,), (ES,), (ED, ES))
    # The basal slice is a ring of 7 to 11 voxels of 1.5 x 1.25 mm.
    across = [walls.numbers[f"AHA {n} ED"].value for n in range(1, 7)]
    assert np.mean(across) == pytest.approx(4 * 1.37, abs=0.6)
    assert all(number.intervals == {} for number in walls.numbers.values())


def test_accepted_walls_are_no_draft(session) -> None:
    accept(session, ED, ES)
    assert measure_walls(session).notes == (METHOD,)


def test_an_edit_counts_only_in_its_segment(session) -> None:
    before = measure_walls(session).numbers
    thicken_the_top(session)
    after = measure_walls(session).numbers
    changed = [name for name in ALL if abs(after[name].value - before[name].value) > 0.5]
    assert {"AHA 7 ED", "AHA 7 thickening"} <= {*changed}
    assert not {*changed} & {name for name in ALL if "ES" in name or name[4:6] in ("1 ", "13")}
    fresh = ReviewSession(session.study)  # its labels are those of the session
    assert {n: v.value for n, v in measure_walls(fresh).numbers.items()} == {
        n: v.value for n, v in after.items()
    }


def test_a_preview_counts_for_nothing(session) -> None:
    before = measure_walls(ReviewSession(session.study)).numbers
    session.preview = (ED, 1), session.labels_in((ED, 1)).copy()
    session.labels_in((ED, 1))[:] = 0
    after = measure_walls(session).numbers
    assert after["AHA 7 ED"].value == before["AHA 7 ED"].value


@pytest.mark.parametrize(
    ("affine", "wall", "is_known"),
    [
        (AFFINE, "Mid anterior", True),
        (AFFINE @ MIRROR, "Mid inferior", True),  # seen from the base
        (None, "Mid anterior", False),
    ],
)
def test_walls_are_named_by_the_position_of_the_patient(tmp_path, affine, wall, is_known) -> None:
    geometry = make_geometry(CINE.shape, SPACING, frame_time=46, affine=affine)
    folder = make_cine(tmp_path / "study", ed=ED, es=ES, geometry=geometry)
    session = ReviewSession(read_study(folder))
    thicken_the_top(session)
    assert thickest_mid_segment(session) == wall
    assert (FRONT_UNKNOWN not in measure_walls(session).notes) == is_known


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"structures": {"MYO": 2, "LV": 3}}, NO_STRUCTURES),
        ({"phases": (ES,), "ed": None, "es": None}, NO_ED),
        ({"phases": (None,), "geometry": VOLUME, "ed": None, "es": None}, NO_ED),
        ({"removed": range(2)}, TOO_FEW_SLICES),
        ({"removed": range(4), "geometry": make_geometry(CINE.shape, SPACING)}, BASE_UNKNOWN),
    ],
)
def test_reason_without_numbers(tmp_path, changes, note) -> None:
    folder = make_cine(tmp_path / "study", **({"ed": ED, "es": ES} | changes))
    walls = measure_walls(ReviewSession(read_study(folder)))
    assert (walls.numbers, walls.notes) == ({}, (note,))


def test_export_has_the_segments(session, tmp_path) -> None:
    accept(session, ED)
    session.labels_in((ES, 0))[session.labels_in((ES, 0)) == RV] = 0
    _, table, report = export_review(session, None, tmp_path, queue=[])
    numbers = measure_walls(session).numbers
    with table.open(newline="") as stream:
        rows = {row["name"]: row for row in csv.DictReader(stream) if row["name"] in ALL}
    assert {name: float(row["value"]) for name, row in rows.items()} == pytest.approx(
        {name: number.value for name, number in numbers.items()}, rel=1e-5
    )
    assert [rows[name]["open_slices"] for name in ALL[:3]] == ["0", "4", "4"]
    assert rows["AHA 1 ED"]["state"].startswith("DRAFT")
    page = report.read_text(encoding="utf-8")
    section = page[page.index('class="walls"') :]
    section = section[: section.index("</section>")]
    drawn = re.findall(r"<title>(\d+) ([\w ]+): (\S+) (\S+)</title>", section)
    assert [(title, unit) for _, title, _, unit in drawn] == [
        (title, unit) for unit in ("mm", "mm", "%") for title in SEGMENTS
    ]
    assert [row[2] for row in drawn[:16]] == [f"{numbers[name].value:.1f}" for name in ALL[::3]]
    cells = re.findall(r'<td class="number">([^<]*)</td>', section)
    assert cells[:4] == ["1", *(f"{numbers[name].value:.1f}" for name in ALL[:3])]


def test_structured_report_has_segments_and_phases(tmp_path) -> None:
    geometry = write_dicoms(tmp_path / "in")
    folder = make_cine(tmp_path / "study", geometry=geometry, ed=ED, es=ES)
    session = ReviewSession(read_study(folder))
    *_, report, table = export_session(session, tmp_path / "in", tmp_path / "out")
    groups = hd.sr.srread(report).content.get_image_measurement_groups()
    by_name = {group.tracking_identifier: group for group in groups}
    numbers = measure_walls(session).numbers
    assert len([name for name in by_name if name.startswith("AHA")]) == 2 * 16
    group = by_name["AHA 14 ES"]
    assert [site.topographical_modifier or site.value for site in group.finding_sites] == [
        hd.sr.CodedConcept("264845002", "SCT", "left ventricle apical septal segment")
    ]
    found = {(m.name.value, m.unit.value): m.value for m in group.get_measurements()}
    assert found == {
        ("122445", "mm"): pytest.approx(numbers["AHA 14 ES"].value, abs=0.01),
        ("59092-7", "%"): pytest.approx(numbers["AHA 14 thickening"].value, abs=0.01),
    }
    (point,) = group.get_qualitative_evaluations()
    assert point.value.value == "416430001"  # end systole
    with table.open(newline="") as stream:
        assert {*ALL} <= {row["name"] for row in csv.DictReader(stream)}
