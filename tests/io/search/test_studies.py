"""Search of a tree for studies: selection of images, and names of their results."""

from __future__ import annotations

import errno
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from napari_bayes_nnunet.app.cohort.table import CohortTable
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dicom.reader import NO_DICOM
from napari_bayes_nnunet.io.files.case_names import result_name, same_file_key
from napari_bayes_nnunet.io.images.nifti import read_volume, write_labels
from napari_bayes_nnunet.io.search import studies as nifti_inputs
from napari_bayes_nnunet.io.search.case_image import UNNAMED_FILE, study_image
from napari_bayes_nnunet.io.search.folder_walk import RESULTS, UNOPENED
from napari_bayes_nnunet.io.search.studies import (
    FURTHER_CHANNELS,
    UNOPENED_FILES,
    FoundStudies,
    find_studies,
)
from tests.helpers.data import dicoms
from tests.helpers.data.cohorts import write_dicom_study, write_volume
from tests.helpers.data.studies import make_study
from tests.helpers.processes.small_disk import forget_file_numbers, hide_files, second_path

from ...helpers.checks.problems import says

UNREADABLE = Path("/proc/self/mem")
"""A regular file that opens, but whose first byte cannot be read, as on a damaged disk."""


@pytest.fixture
def tree(tmp_path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def find(*places: Path, **asked) -> FoundStudies:
    return find_studies(places, output=places[0].parent / "out", **asked)


def names(found: FoundStudies) -> list[str]:
    return [study.name for study in found.inputs]


class TestNifti:
    def test_results_repeat_tree_to_separate_equal_names(self, tree):
        for folder in ("a/b", "a", "c"):
            write_volume(tree / folder / "heart.nii.gz")
        found = find(tree)
        assert names(found) == ["a/heart", "a/b/heart", "c/heart"]
        assert {study.kind for study in found.inputs} == {"NIfTI"}
        assert pickle.loads(pickle.dumps(found)) == found

    @pytest.mark.parametrize("name", ["a\nb", "x" * 240, os.fsdecode(b"a\xff")])
    def test_results_of_odd_names_can_be_written(self, tree, name):
        try:
            write_volume(tree / name[:100] / f"{name}.nii.gz")
        except (OSError, UnicodeError) as error:
            pytest.skip(f"this file system refuses the name ({error})")
        (study,) = find(tree).inputs
        assert (study.case, study.folder) == (result_name(name), result_name(name[:100]))
        assert study_image(study).read()[0].source.name == f"{name}.nii.gz"

    def test_names_that_differ_in_case_only_are_numbered(self, tree):
        """They are one file on macOS and Windows, also if the case of a folder differs."""
        for name in (
            "Heart.nii.gz",
            "heart.nii.gz",
            "a/p1.nii",
            "A/P1.nii",
            "é.nii",
            "e\u0301.nii",
        ):
            write_volume(tree / name)
        found = names(find(tree))
        assert len(found) == 6
        assert sorted(name for name in found if name[-2:] == "-2") == ["a/p1-2", "heart-2", "é-2"]
        assert len({same_file_key(name) for name in found}) == 6

    def test_trees_of_equal_names_do_not_collide(self, tree, tmp_path):
        write_volume(tree / "heart.nii")
        write_volume(tmp_path / "other" / "in" / "heart.nii")
        assert names(find(tree, tmp_path / "other" / "in")) == ["in/heart", "in_2/heart"]

    def test_other_files_are_left_out_with_reason(self, tree):
        image = write_volume(tree / "p1_0000.nii.gz")
        for file in (
            *("p1_0001.nii.gz", "p1_gt.nii.gz", "p1_seg.nii.gz", "p1_mask.nii.gz"),
            *("labelsTr/p1.nii.gz", "labelsTs/p1.nii.gz", "labels/p1.nii.gz", "p1_entropy.nii.gz"),
            *(".hidden/p3.nii.gz", "._p1.nii.gz"),
        ):
            write_volume(tree / file)
        volume = read_volume(image)
        write_labels(tree / "drawn.nii.gz", np.ones(volume.shape, np.uint8), volume)
        found = find(tree)
        assert names(found) == ["p1"]
        assert found.left_out == (
            f"{nifti_inputs.NIFTI_LABELS}: 8",
            f"{nifti_inputs.FURTHER_CHANNELS}: 1",
        )

    def test_phases_beside_their_cine_are_left_out(self, tree):
        write_volume(tree / "p1" / "p1_4d.nii.gz", phases=3)
        write_volume(tree / "p1" / "p1_frame01.nii.gz")
        write_volume(tree / "p1" / "p1_frame03_0000.nii.gz")
        write_volume(tree / "p2" / "p2_frame01.nii.gz")
        (tree / "p3").mkdir()
        (tree / "p3" / "p3_4d.nii.gz").write_text("damaged")
        write_volume(tree / "p3" / "p3_frame01.nii.gz")
        found = find(tree)
        assert names(found) == ["p1/p1_4d", "p2/p2_frame01", "p3/p3_4d"]
        assert found.left_out == (f"{nifti_inputs.FRAMES}: 3",)

    def test_results_are_no_inputs(self, tree):
        write_volume(tree / "heart.nii.gz")
        make_study(tree / "a study")
        write_volume(tree / "out" / "heart.nii.gz")
        write_volume(tree / "older" / "heart.nii.gz")
        CohortTable(tree / "older").write(())
        write_volume(tree / "saved again" / "heart.nii.gz")
        table = (tree / "older" / "cohort.csv").read_text(encoding="utf-8").replace(",", ";")
        (tree / "saved again" / "cohort.csv").write_text(table, encoding="utf-8-sig")
        found = find_studies([tree], output=tree / "out")
        assert names(found) == ["a study_image", "heart"]
        assert found.left_out == (f"{RESULTS}: 4",)

    def test_results_at_another_path_are_no_inputs(self, tree):
        write_volume(tree / "heart.nii.gz")
        write_volume(tree / "out" / "heart.nii.gz")
        with second_path(tree) as other:
            found = find_studies([tree], output=other / "out")
        assert names(found) == ["heart"]

    def test_table_of_patients_beside_images_is_no_result(self, tree):
        write_volume(tree / "heart.nii.gz")
        (tree / "cohort.csv").write_text("study,patient,outcome\n1,2,alive\n")
        (tree / "a").mkdir()
        write_volume(tree / "a" / "heart.nii.gz")
        (tree / "a" / "cohort.csv").mkdir()
        found = find(tree)
        assert names(found) == ["heart", "a/heart"]
        assert found.left_out == ()

    def test_links_in_circles(self, tree):
        write_volume(tree / "a" / "heart.nii.gz")
        (tree / "a" / "again").symlink_to(tree)
        (tree / "b").symlink_to(tree / "a")
        assert names(find(tree)) == ["a/heart"]

    def test_folders_without_file_numbers(self, tree, monkeypatch):
        write_volume(tree / "a" / "heart.nii.gz")
        write_volume(tree / "out" / "heart.nii.gz")
        (tree / "a" / "again").symlink_to(tree)
        forget_file_numbers(monkeypatch)
        assert names(find_studies([tree], output=tree / "out")) == ["a/heart"]

    def test_a_second_image_of_a_name_is_numbered(self, tree):
        for name in ("heart.nii", "heart.nii.gz", "heart-2.nii.gz"):
            write_volume(tree / name)
        called = {study.paths[0].name: study.case for study in find(tree).inputs}
        assert called == {
            "heart.nii": "heart",
            "heart.nii.gz": "heart-3",
            "heart-2.nii.gz": "heart-2",
        }

    def test_an_image_called_like_a_folder_of_others(self, tree):
        """Its study would lie among the results of those in the folder."""
        write_volume(tree / "sub-01.nii.gz")
        write_volume(tree / "sub-01" / "anat" / "heart.nii.gz")
        assert names(find(tree)) == ["sub-01-2", "sub-01/anat/heart"]

    def test_many_files_are_opened_at_most_once(self, tree, monkeypatch):
        opened: list[Path] = []

        def header(file):
            opened.append(file)

        monkeypatch.setattr(nifti_inputs, "nifti_header", header)
        for number in range(2000):
            (tree / f"p{number:04d}.nii.gz").touch()
            (tree / f"p{number:04d}_gt.nii.gz").touch()
        assert len(find(tree).inputs) == 2000
        assert len(opened) == len(set(opened)) == 2000
        assert not [file for file in opened if "_gt" in file.name]

    def test_named_file_is_image_whatever_its_name(self, tree):
        file = write_volume(tree / "p1_seg.nii.gz")
        write_volume(tree / "more" / "heart.nii.gz")
        assert names(find(file, tree / "more")) == ["p1_seg", "more/heart"]

    def test_nothing_to_segment(self, tree):
        write_volume(tree / "labels" / "p1.nii.gz")
        (tree / "notes.txt").write_text("nothing")
        with pytest.raises(DataError) as error:
            find(tree)
        assert error.value.values["folders"] == str(tree)
        assert error.value.values["left_out"].endswith(": 1")

    def test_a_folder_that_cannot_be_opened(self, tree, monkeypatch):
        write_volume(tree / "heart.nii.gz")
        (tree / "closed").mkdir()
        scandir = os.scandir

        def refusing(path):
            if str(path).endswith("closed"):  # to root, who may run this, nothing is closed
                raise PermissionError(13, "Permission denied", path)
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refusing)
        assert find(tree).left_out == (f"{UNOPENED.format(reason='Permission denied')}: 1",)

    def test_files_that_permissions_hide(self, tree, monkeypatch):
        """They may be links into a folder of another user."""
        image = write_volume(tree / "heart_0000.nii.gz")
        write_volume(tree / "heart_0001.nii.gz")
        write_dicom_study(tree / "cine", name="one")
        hide_files(monkeypatch, image, *(tree / "cine" / f"one_3{phase}" for phase in range(3)))
        found = find(tree)
        assert found.left_out == (
            f"{FURTHER_CHANNELS}: 1",
            f"{UNOPENED_FILES.format(reason='Permission denied')}: 3",
        )
        heart, cine = map(study_image, found.inputs)
        with pytest.raises(DataError, check=says(reason="Permission denied")):
            heart.read()
        (volume,) = cine.read()
        assert volume.notes[0].values == {"files": "3 DICOM files"}


class TestDicom:
    @pytest.mark.skipif(not UNREADABLE.is_file(), reason="only Linux has this file")
    def test_a_file_that_cannot_be_opened(self, tree):
        write_dicom_study(tree / "Doe_Jane", name="one")
        (tree / "Doe_Jane" / "unreadable").symlink_to(UNREADABLE)
        found = find(tree)
        assert found.inputs[0].paths == (tree / "Doe_Jane",)
        ((text, count),) = [text.rsplit(": ", 1) for text in found.left_out]
        reason = os.strerror(errno.EIO)
        assert (text, count) == (UNOPENED_FILES.format(reason=reason), "1")

    def test_a_study_is_one_input_over_several_folders(self, tree):
        study = write_dicom_study(tree / "Doe_Jane" / "s1", name="one")
        write_dicom_study(
            tree / "Doe_Jane" / "s2", name="two", StudyInstanceUID=study, description="4ch"
        )
        (one,) = find(tree).inputs
        assert one.kind == "DICOM"
        assert [path.name for path in one.paths] == ["s1", "s2"]

    def test_folders_with_one_slice_are_one_volume(self, tree):
        voxels = dicoms.write_cine(tree / "all", series_per_slice=True)
        for number, file in enumerate(sorted(f for f in (tree / "all").rglob("*") if f.is_file())):
            target = tree / f"series {number % 4}" / file.name
            target.parent.mkdir(exist_ok=True)
            file.rename(target)
        (one,) = find(tree).inputs
        assert len(one.paths) == 4
        (volume,) = study_image(one).read()
        assert np.array_equal(volume.voxels, voxels)

    def test_a_flat_folder_of_several_patients(self, tree):
        for name, seed in (("x", 1), ("y", 2)):
            write_dicom_study(tree, name=name, seed=seed)
        found = find(tree)
        first, second = (study_image(study).read()[0].voxels for study in found.inputs)
        assert not np.array_equal(first, second)
        assert len(set(names(found))) == 2

    def test_a_patient_between_the_files_of_another(self, tree):
        """Every file is looked at, and read for its own study only."""
        study = write_dicom_study(tree, name="a")
        write_dicom_study(tree, name="m")
        write_dicom_study(tree, name="z", StudyInstanceUID=study, series=6)
        write_dicom_study(tree / "other", name="b")
        dicoms.write_disc_index(tree / "DICOMDIR")
        (tree / "a.txt").write_text("text")
        first, second, alone = (one.paths for one in find(tree).inputs)
        assert sorted((len(first), len(second))) == [12, 24]
        of_second = {path.name[0] for path in min(first, second, key=len)}
        assert of_second == {"m"}
        assert {path.name[0] for path in max(first, second, key=len)} == {"a", "z"}
        assert alone == (tree / "other",)

    def test_names_are_pseudonyms_that_stay(self, tree, tmp_path):
        study = write_dicom_study(tree / "Doe_Jane", name="one")
        (one,) = find(tree).inputs
        tree.rename(tmp_path / "moved")
        (again,) = find(tmp_path / "moved").inputs
        (of_series,) = find(tmp_path / "moved", series=5).inputs
        assert one.name == again.name != of_series.name
        assert re.fullmatch(r"dicom-[0-9a-f]{16}", one.name)
        assert one.folder == one.case == one.name
        assert one.study == study

    def test_study_without_uid_is_called_by_its_content(self, tree, tmp_path):
        """A pseudonym made of the folder's name could be guessed back."""
        for place in (tree / "Doe_Jane", tree / "Smith_John", tmp_path / "other" / "Roe"):
            write_dicom_study(place, name="a")
            for file in sorted(place.iterdir()):
                file.write_bytes((tree / "Doe_Jane" / file.name).read_bytes()[:300])
        write_dicom_study(tree / "third", name="b")
        for file in (tree / "third").iterdir():
            file.write_bytes(file.read_bytes()[:300])
        jane, john, third = find(tree).inputs
        (again,) = find(tmp_path / "other").inputs
        assert jane.name == again.name
        assert john.name == f"{jane.name}/{jane.name}-2"
        assert not third.name.startswith(jane.name)
        assert [one.study for one in (jane, john, third)] == ["", "", ""]

    def test_a_nifti_file_called_like_a_study(self, tree):
        write_dicom_study(tree / "Doe_Jane", name="one")
        (one,) = find(tree).inputs
        write_volume(tree / f"{one.name}.nii.gz")
        write_volume(tree / one.name / f"{one.name}.nii.gz")
        found = find(tree).inputs
        assert len({study.name for study in found}) == 3
        assert len({study.place for study in found}) == 3
        assert not {study.place for study in found} & {study.folder for study in found}

    def test_names_of_folders_on_request(self, tree):
        study = write_dicom_study(tree / "a" / "Doe_Jane" / "s1", name="one")
        write_dicom_study(tree / "a" / "Doe_Jane" / "s2", name="two", StudyInstanceUID=study)
        write_dicom_study(tree / "b" / "mixed", name="three")
        write_dicom_study(tree / "b" / "mixed", name="four")
        one, three, four = names(find(tree, folder_names=True))
        assert one == "a/Doe_Jane"
        assert three.startswith("b/mixed-dicom-")
        assert four.startswith("b/mixed-dicom-")
        assert three != four
        assert names(find(tree / "a" / "Doe_Jane", folder_names=True)) == ["Doe_Jane"]

    def test_folders_that_have_no_path_in_common(self, tree, tmp_path, monkeypatch):
        """One tree is named from here, the other from the root: as on two drives of Windows."""
        monkeypatch.chdir(tmp_path)
        study = write_dicom_study(tree / "s1", name="one")
        write_dicom_study(tmp_path / "more" / "s2", name="two", StudyInstanceUID=study)
        found = find_studies([tree, Path("more")], output=tmp_path / "out", folder_names=True)
        assert names(found) == [tmp_path.name]

    def test_damaged_files_are_reported_without_path(self, tree):
        folder = tree / "Doe_Jane"
        write_dicom_study(folder, name="Doe")
        for file in folder.iterdir():
            file.write_bytes(file.read_bytes()[:200])
        (one,) = find(tree).inputs
        assert one.name.startswith("dicom-")
        with pytest.raises(DataError) as raised:
            study_image(one).read()
        assert raised.value.statement.template == NO_DICOM
        assert "Doe" not in str(raised.value)

    def test_a_damaged_file_is_named_nowhere(self, tree):
        write_dicom_study(tree / "Doe_Jane", name="Doe")
        file = tree / "Doe_Jane" / "Doe_12"
        file.write_bytes(file.read_bytes()[:-100])
        (one,) = find(tree).inputs
        with pytest.raises(DataError) as raised:
            study_image(one).read()
        assert raised.value.values["file"] == UNNAMED_FILE
        assert "Doe" not in str(raised.value)

    @pytest.mark.parametrize(
        ("descriptions", "phase_missing", "series", "value"),
        [
            (("sax Doe", "sax Doe 2"), False, None, "stacks"),
            (("3ch Doe", "4ch Doe"), False, None, "stacks"),
            (("sax Doe", "4ch Doe"), False, 7, "stacks"),
            (("sax Doe", "4ch Doe"), True, None, "stack"),
        ],
    )
    def test_errors_leave_out_series_descriptions(
        self, tree, descriptions, phase_missing, series, value
    ):
        """Descriptions are free text, which may contain the names of patients."""
        for number, description in enumerate(descriptions, start=5):
            folder, entries = tree / f"s{number}", {"description": description, "series": number}
            study = write_dicom_study(folder, name="a", StudyInstanceUID=dicoms.STUDY, **entries)
        if phase_missing:
            (tree / "s5" / "a_12").unlink()
        (one,) = find(tree, series=series).inputs
        with pytest.raises(DataError) as raised:
            study_image(one, series=series).read()
        assert raised.value.values[value].lower().startswith("series 5: 4 slices")
        assert "Doe" not in str(raised.value)
        assert study not in str(raised.value)

    def test_files_in_folders_below_are_not_looked_at(self, tree):
        study = write_dicom_study(tree, name="one")
        write_dicom_study(tree / "again", name="one", seed=4, StudyInstanceUID=study)
        write_dicom_study(tree / "other", name="two")
        found = find(tree)
        assert [len(one.paths) for one in found.inputs] == [2, 1]
