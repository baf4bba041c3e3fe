"""Description of a study: survives its file, finds the image, and holds no patient's name."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.files.case_names import result_name
from napari_bayes_nnunet.io.files.json_files import DAMAGED_JSON, NEWER_JSON
from napari_bayes_nnunet.io.study.info import (
    CHANGED_IMAGE,
    LACKS_PHASES,
    NOT_A_STUDY,
    SourceImage,
    find_image,
    is_study,
    read_study_info,
    write_study_info,
)

from ...helpers.checks.problems import says, says_only
from ...helpers.data.studies import CINE, VOLUME, made_image, made_info, made_report


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return made_image(tmp_path / "images" / "heart_0000.nii.gz")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "studies" / "heart"
    made.mkdir(parents=True)
    return made


def change(folder: Path, **changes: Any) -> None:
    file = folder / "study.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_description_survives_the_file(folder, image):
    info = made_info(image)
    write_study_info(folder, info)
    found = read_study_info(folder)
    assert found.image is not None
    assert found.image.relative_path == "../../images/heart_0000.nii.gz"
    for name in ("case", "structures", "classes", "phases", "reports", "ed", "es", "created"):
        assert getattr(found, name) == getattr(info, name), name
    assert found.geometry == VOLUME
    assert found.image.sha256 == SourceImage.from_file(image).sha256
    assert (found.ensemble, found.method, found.slices) == ("made", "multi", 4)


def test_missing_phases_are_a_warning(folder, tmp_path):
    image = made_image(tmp_path / "cine.nii.gz", CINE)
    write_study_info(folder, made_info(image, phases=(1, 5), unfinished=(2, 3)))
    found = read_study_info(folder)
    assert found.unfinished == (2, 3)
    assert found.warnings[0] == LACKS_PHASES.format(phases="phases 2, 3")
    assert found.lacking == found.warnings[0]
    assert found.slices == 8
    assert not made_info(image, phases=(1, 5)).lacking


def test_joined_phases_keep_the_names_of_their_files(folder, image):
    cine, names = VOLUME.with_phases(2), ("p_frame01", "p_frame12")
    write_study_info(folder, made_info(image, geometry=cine, phases=(1, 2), phase_cases=names))
    assert read_study_info(folder).phase_cases == names
    file = folder / "study.json"
    file.write_text(file.read_text().replace("p_frame12", "../../p_frame12"))
    assert not any("/" in name for name in read_study_info(folder).phase_cases)
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"phase_cases": ["one"]}))
    with pytest.raises(DataError):
        read_study_info(folder)


class TestQuality:
    def test_is_the_mean_over_structures_and_phases(self, tmp_path):
        low = made_report() | {"pairwise_dice": {"LV": 0.5, "RV": None}}
        info = made_info(None, phases=(1, 2), reports={1: made_report(0.9), 2: low})
        assert info.quality == pytest.approx((3 * 0.9 + 0.5) / 4)

    def test_is_unknown_for_a_single_member(self):
        assert made_info(None, reports={None: made_report(None)}).quality is None
        assert made_info(None, reports={None: {}}).quality is None

    def test_warnings_are_said_once(self):
        reports = {p: made_report(warnings=["LV is larger.", f"Phase {p}."]) for p in (1, 2)}
        info = made_info(None, phases=(1, 2), reports=reports)
        assert info.warnings == ("LV is larger.", "Phase 1.", "Phase 2.")


class TestBadFile:
    def test_none(self, folder):
        assert not is_study(folder)
        for missing in (folder, folder / "nowhere"):
            with pytest.raises(DataError) as caught:
                read_study_info(missing)
            assert caught.value.statement.template == NOT_A_STUDY
            assert caught.value.values == {"folder": missing, "file": "study.json"}

    def test_keys_of_later_versions_are_ignored(self, folder, image):
        write_study_info(folder, made_info(image))
        content = json.loads((folder / "study.json").read_text())
        change(folder, colour="blue", image=content["image"] | {"colour": "blue"})
        assert read_study_info(folder).case == "heart"

    @pytest.mark.parametrize(
        "changes",
        [
            {"format": 3},
            {"geometry": "AAAA"},
            {"geometry": "no base64"},
            {"phases": [1]},
            {"reports": {}},
            {"structures": ["LV"]},
            {"structures": {"LV": 0}},
            {"structures": {"LV": 256}},
            {"image": {"name": "a"}},
            {"format": "new"},
            *({"slice_axis": axis} for axis in (-1, 3, "x")),
        ],
    )
    def test_damaged_or_newer(self, folder, image, changes):
        write_study_info(folder, made_info(image))
        change(folder, **changes)
        reason = NEWER_JSON if changes == {"format": 3} else DAMAGED_JSON
        with pytest.raises(DataError, check=says(reason, file=folder / "study.json")):
            read_study_info(folder)

    @pytest.mark.parametrize("phases", [[], [0, 1], [6]])
    def test_phases_the_cine_does_not_have(self, folder, tmp_path, phases):
        image = made_image(tmp_path / "cine.nii.gz", CINE)
        write_study_info(folder, made_info(image, phases=(1,)))
        change(folder, phases=phases, reports={f"phase{p:02d}": {} for p in phases})
        with pytest.raises(DataError, check=says(DAMAGED_JSON)):
            read_study_info(folder)


class TestFindingTheImage:
    @pytest.mark.parametrize("parent", ["studies", "."])
    def test_next_to_the_study_or_above(self, folder, image, tmp_path, parent):
        write_study_info(folder, made_info(image))
        moved = tmp_path / parent / image.name
        shutil.move(image, moved)
        assert find_image(read_study_info(folder), folder) == moved

    def test_both_moved_together(self, folder, image, tmp_path):
        write_study_info(folder, made_info(image))
        others = tmp_path / "other computer"
        others.mkdir()
        shutil.move(tmp_path / "images", others)
        shutil.move(tmp_path / "studies", others)
        moved = others / "studies" / "heart"
        found = find_image(read_study_info(moved), moved)
        assert found is not None
        assert found.resolve() == others / "images" / image.name

    def test_nowhere(self, folder, image):
        write_study_info(folder, made_info(image))
        image.unlink()
        assert find_image(read_study_info(folder), folder) is None

    def test_changed_bytes_of_the_same_size_are_refused(self, folder, image):
        write_study_info(folder, made_info(image))
        content = bytearray(image.read_bytes())
        content[-9] ^= 1
        image.write_bytes(content)
        with pytest.raises(DataError, check=says_only(CHANGED_IMAGE, image=image)):
            find_image(read_study_info(folder), folder)

    def test_another_image_of_the_name_is_skipped(self, folder, image, tmp_path):
        write_study_info(folder, made_info(image))
        right = tmp_path / image.name
        shutil.move(image, right)
        made_image(tmp_path / "studies" / image.name, CINE)
        assert find_image(read_study_info(folder), folder) == right

    def test_in_the_study(self, folder):
        info = made_info(None)
        assert find_image(info, folder) is None
        made_image(folder / "image.nii.gz")
        assert find_image(info, folder) == folder / "image.nii.gz"


def test_how_the_image_is_held_survives_the_file(folder, image):
    held = replace(VOLUME, slice_axis=0, given_spacing=(7.0, 1.5, 1.25))
    write_study_info(folder, made_info(image, geometry=held))
    assert read_study_info(folder).geometry == held
    assert json.loads((folder / "study.json").read_text())["format"] == 2


@pytest.mark.parametrize("case", ["../../elsewhere/heart", "/tmp/heart", "..\\heart", "a\nb"])
def test_case_never_leads_to_another_folder(folder, image, case):
    write_study_info(folder, made_info(image))
    change(folder, case=case)
    named = read_study_info(folder).case
    assert named == result_name(case)
    assert not set("/\\\n") & set(named)
