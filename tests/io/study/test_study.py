"""A study is complete or none, opens without torch, and never loses a reader's work."""

from __future__ import annotations

import errno
import gzip
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_bayes_nnunet.core.ensemble.maps import MAPS
from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.files.access import UNWRITABLE
from napari_bayes_nnunet.io.images.geometry import Geometry, make_geometry
from napari_bayes_nnunet.io.images.nifti import read_labels, read_volume, write_labels
from napari_bayes_nnunet.io.study.arrays import MISSING_POSTERIOR, OTHER_STUDY_GRID
from napari_bayes_nnunet.io.study.info import NOT_A_STUDY, find_image, is_study
from napari_bayes_nnunet.io.study.review_state import Decision, ReviewState, write_review
from napari_bayes_nnunet.io.study.study import (
    BY_HAND,
    CHANGED_EDITED,
    FOLDER_GONE,
    HAS_CORRECTIONS,
    NO_EDITED,
    NO_LOOK,
    NOT_STRUCTURES,
    OPEN_ELSEWHERE,
    OTHER_FILES,
    READ_ONLY_STUDY,
    ZERO_MAP,
    check_replaceable,
    files_of_study,
    has_corrections,
    keep_other_work,
    open_study_lock,
    read_study,
    save_work,
    work_checksums,
    write_study,
)

from ...helpers.checks.problems import says, says_only
from ...helpers.data.studies import CINE, VOLUME, made_image, made_info, made_posterior, make_study
from ...helpers.processes.kills import killed_anywhere

ACCEPTED = Decision(state="accepted", edited=True)
BEGUN = ReviewState(decisions={(None, 1): ACCEPTED})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_study(tmp_path / "heart")


def assert_same(posterior: StoredPosterior, expected: StoredPosterior) -> None:
    assert posterior.box == expected.box
    for name in ("prediction", "probabilities", "members"):
        np.testing.assert_array_equal(getattr(posterior, name), getattr(expected, name))
    np.testing.assert_equal(posterior.maps, expected.maps)


def refusal(template: str, **values: object) -> Any:
    """Expect a DataError with this template and these values."""
    return pytest.raises(DataError, check=says_only(template, **values))


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


class TestWriting:
    def test_a_volume_survives_the_folder(self, folder):
        study = read_study(folder)
        assert_same(study.posteriors[None], made_posterior())
        np.testing.assert_array_equal(study.prediction, made_posterior().prediction)
        np.testing.assert_array_equal(study.edited, study.prediction)
        assert study.edited is not study.prediction
        np.testing.assert_equal(study.maps, made_posterior().maps)
        assert study.maps["variance"].max() > 0
        assert study.problems == ()
        assert study.review == ReviewState()
        assert find_image(study.info, folder) == folder.parent / "heart_image.nii.gz"

    def test_phases_not_segmented_are_zero(self, tmp_path):
        study = read_study(make_study(tmp_path / "heart", phases=(4, 2), ed=4, es=2))
        assert set(study.posteriors) == {2, 4}
        for phase in (2, 4):
            assert_same(study.posteriors[phase], made_posterior(shift=phase % 3))
        assert study.prediction.shape == study.entropy.shape == CINE.shape
        others = np.delete(study.prediction, [1, 3], axis=0)
        assert not others.any()
        assert not np.delete(study.entropy, [1, 3], axis=0).any()
        assert (study.review.ed, study.review.es) == (4, 2)

    def test_looks_are_those_of_phases_not_segmented(self, tmp_path):
        image = made_image(tmp_path / "cine.nii.gz", CINE)
        info, folder = made_info(image, phases=(4, 2)), tmp_path / "study"
        looks = {phase: np.full(VOLUME.shape, phase % 4, np.uint8) for phase in (1, 2, 3, 4)}
        posteriors = {2: made_posterior(), 4: made_posterior()}
        write_study(folder, info, posteriors, looks=looks)
        study = read_study(folder)
        assert {phase: int(look.max()) for phase, look in study.looks.items()} == {1: 1, 3: 3}
        assert not study.edited[[0, 2, 4]].any()
        assert not has_corrections(folder)
        write_study(folder, info, posteriors)
        assert read_study(folder).looks == {}
        assert not (folder / "first_look.nii.gz").exists()

    def test_damaged_looks_are_said_and_left_out(self, tmp_path):
        folder = make_study(tmp_path / "heart", phases=(4, 2))
        made_image(folder / "first_look.nii.gz")
        study = read_study(folder)
        assert study.looks == {}
        (problem,) = study.problems
        assert problem.endswith(NO_LOOK.partition("} ")[2])

    def test_a_study_has_these_files(self, folder, tmp_path):
        assert files(folder) - {"study.lock"} == {
            "study.json",
            "prediction.nii.gz",
            *(f"{entry.key}.nii.gz" for entry in MAPS.values()),
            "edited.nii.gz",
            "posterior/volume.npz",
        }
        cine = make_study(tmp_path / "cine", phases=(1, 5))
        assert {"posterior/phase01.npz", "posterior/phase05.npz"} < files(cine)

    def test_an_image_without_a_file_is_saved(self, tmp_path):
        folder = tmp_path / "drawn"
        voxels = np.arange(np.prod(VOLUME.shape), dtype=np.float64).reshape(VOLUME.shape)
        info = made_info(None, geometry=make_geometry(VOLUME.shape, VOLUME.spacing))
        write_study(folder, info, {None: made_posterior()}, image=voxels)
        study = read_study(folder)
        image = find_image(study.info, folder)
        assert image == folder / "image.nii.gz"
        np.testing.assert_array_equal(read_volume(image).voxels, voxels.astype(np.float32))

    def test_no_patient_name_reaches_the_disk(self, tmp_path):
        header = VOLUME.parsed()
        for field in ("descrip", "db_name", "intent_name", "aux_file"):
            header[field] = b"DOE^JANE"
        info = made_info(None, geometry=Geometry(header.binaryblock))
        image = np.ones(VOLUME.shape, np.int16)
        write_study(tmp_path / "s", info, {None: made_posterior()}, image=image)
        for file in (p for p in (tmp_path / "s").rglob("*") if p.is_file()):
            content = file.read_bytes()
            assert b"DOE" not in (gzip.decompress(content) if file.suffix == ".gz" else content)

    def test_a_full_disk_leaves_no_study(self, tmp_path, monkeypatch):
        def full(*_: Any, **__: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(np, "savez_compressed", full)
        info = made_info(made_image(tmp_path / "a.nii.gz"))
        with refusal(UNWRITABLE, file=tmp_path / "s", reason=os.strerror(errno.ENOSPC)):
            write_study(tmp_path / "s", info, {None: made_posterior()})
        monkeypatch.undo()
        assert not is_study(tmp_path / "s")
        write_study(tmp_path / "s", info, {None: made_posterior()})
        assert read_study(tmp_path / "s").problems == ()


def correct(folder: Path) -> None:
    edited = read_study(folder).edited
    edited[1, 2, 3] = 1
    write_labels(folder / "edited.nii.gz", edited, VOLUME)


WORK: list[Callable[[Path], Any]] = [
    correct,
    lambda folder: write_review(folder, BEGUN),
    lambda folder: (folder / "edited.nii.gz").write_bytes(b"damaged"),
    lambda folder: (folder / "review.json").write_bytes(b"damaged"),
    lambda folder: (write_review(folder, BEGUN), (folder / "study.json").unlink()),
]


class TestReplacing:
    def write_again(self, folder: Path, **changes: Any) -> None:
        info = made_info(folder.parent / "heart_image.nii.gz", **changes)
        write_study(folder, info, {None: made_posterior(shift=2)})

    def test_a_study_nobody_worked_on_is_replaced(self, folder):
        (folder / "use_log.csv").write_text("time\n")
        write_review(folder, ReviewState(score="entropy", ed=1))
        self.write_again(folder, case="again")
        study = read_study(folder)
        assert study.info.case == "again"
        assert_same(study.posteriors[None], made_posterior(shift=2))
        assert study.review == ReviewState()
        assert (folder / "use_log.csv").read_text() == "time\n"

    def test_study_of_other_phases_leaves_no_posterior_behind(self, tmp_path):
        cine = make_study(tmp_path / "cine", phases=(1, 2))
        info = made_info(tmp_path / "cine_image.nii.gz", phases=(5,))
        write_study(cine, info, {5: made_posterior()})
        assert [p.name for p in (cine / "posterior").iterdir()] == ["phase05.npz"]

    @pytest.mark.parametrize("work", WORK)
    def test_work_is_never_replaced(self, folder, work):
        work(folder)
        before = {name: (folder / name).read_bytes() for name in files(folder)}
        with refusal(HAS_CORRECTIONS, folder=folder):
            self.write_again(folder)
        assert {name: (folder / name).read_bytes() for name in files(folder)} == before

    def test_a_folder_of_other_files_is_refused(self, folder, tmp_path):
        other = tmp_path / "patient"
        other.mkdir()
        (other / "image.nii.gz").write_bytes(b"mine")
        with refusal(OTHER_FILES, folder=other, file="image.nii.gz"):
            self.write_again(other)
        assert files(other) == {"image.nii.gz"}

    def test_a_file_is_refused_as_folder(self, folder, tmp_path):
        (tmp_path / "file").write_text("")
        reason = os.strerror(errno.ENOTDIR)
        with refusal(UNWRITABLE, file=tmp_path / "file", reason=reason):
            self.write_again(tmp_path / "file")

    def test_an_open_study_is_not_replaced(self, folder):
        with open_study_lock(folder), refusal(OPEN_ELSEWHERE, folder=folder):
            self.write_again(folder)
        assert read_study(folder).info.case == "heart"

    def test_equal_labels_are_not_corrections(self, folder):
        write_labels(folder / "edited.nii.gz", read_study(folder).edited, VOLUME)
        with gzip.open(folder / "edited.nii.gz") as stream:
            content = stream.read()
        (folder / "edited.nii.gz").write_bytes(gzip.compress(content, 9))
        assert not has_corrections(folder)
        check_replaceable(folder)
        (folder / "edited.nii.gz").unlink()
        assert not has_corrections(folder)


class TestBadDays:
    def test_an_edited_file_cut_short_is_refused(self, folder):
        file = folder / "edited.nii.gz"
        file.write_bytes(cut := file.read_bytes()[:-20])
        with pytest.raises(DataError) as caught:
            read_study(folder)
        problem = caught.value.__cause__
        assert isinstance(problem, DataError)
        assert problem.values["file"] == file
        with pytest.raises(DataError):
            keep_other_work(folder, {}, VOLUME)
        assert file.read_bytes() == cut

    def test_an_edited_file_on_another_grid_is_refused(self, folder):
        other = make_geometry((4, 20, 25), (8, 1.5, 1.25))
        file = folder / "edited.nii.gz"
        write_labels(file, np.zeros(other.shape, np.uint8), other)
        with pytest.raises(DataError) as caught:
            read_study(folder)
        problem = caught.value.values["problem"]
        assert problem.template == OTHER_STUDY_GRID
        assert (problem.values["file"], problem.values["expected"]) == (file, VOLUME)
        assert problem.values["grid"].same_grid(other)
        assert "rename it" in str(caught.value)

    def test_acceptances_of_lost_corrections_become_flags(self, folder):
        kept = {(None, 0): Decision(state="accepted"), (None, 2): Decision(state="flagged")}
        lost = {(None, 1): replace(ACCEPTED, comment="Apex")}
        write_review(folder, ReviewState(decisions={**kept, **lost}, finished=True))
        (folder / "edited.nii.gz").rename(folder / "damaged.nii.gz")
        study = read_study(folder)
        np.testing.assert_array_equal(study.edited, study.prediction)
        flagged = {(None, 1): Decision(state="flagged", comment="Apex")}
        assert study.review == ReviewState(decisions={**kept, **flagged})
        file = folder / "edited.nii.gz"
        missing = NO_EDITED.format(file=file)
        assert study.problems == (missing, CHANGED_EDITED.format(file=file, slices="1 slice"))

    @pytest.mark.parametrize("phases", [(None,), (2, 3)])
    def test_newer_labels_than_accepted_are_flagged(self, tmp_path, phases):
        study = read_study(make_study(tmp_path / "cut", phases=phases))
        places = [(phase, z) for phase in phases for z in range(3)]
        decisions = dict.fromkeys(places, replace(ACCEPTED, comment="Base"))
        review = ReviewState(decisions=decisions, finished=True)
        labels, geometry = study.edited.astype(np.uint16), study.info.geometry
        save_work(study.folder, labels, geometry, review)
        assert read_study(study.folder).problems == ()
        assert read_study(study.folder).review.count("accepted") == len(places)
        changed = labels if phases == (None,) else labels[2]  # phase 3
        changed[1, 0, 0] = 3
        # Killed before the decisions
        write_labels(study.folder / "edited.nii.gz", labels, geometry)
        study = read_study(study.folder)
        states = {place: decision.state for place, decision in study.review.decisions.items()}
        assert states == {**dict.fromkeys(places, "accepted"), places[-2]: "flagged"}
        assert study.review.decisions[places[-2]].comment == "Base"
        assert not study.review.finished
        file = study.folder / "edited.nii.gz"
        assert study.problems == (CHANGED_EDITED.format(file=file, slices="1 slice"),)

    def test_labels_that_are_not_structures_are_kept(self, folder):
        edited = read_study(folder).edited
        edited[0, 0, :3] = 9
        write_labels(folder / "edited.nii.gz", edited, VOLUME)
        study = read_study(folder)
        np.testing.assert_array_equal(study.edited, edited)
        problem = NOT_STRUCTURES.format(
            file=folder / "edited.nii.gz", values="9 in 3 voxels", structures="RV 1, MYO 2, LV 3"
        )
        assert study.problems == (problem,)

    @pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 damaged"])
    def test_a_lost_posterior_is_a_problem(self, tmp_path, content):
        folder = make_study(tmp_path / "heart", phases=(1, 2))
        file = folder / "posterior" / "phase02.npz"
        file.unlink()
        if content is not None:
            file.write_bytes(content)
        study = read_study(folder)
        assert set(study.posteriors) == {1}
        assert study.prediction[1].any()
        (problem,) = study.problems
        if content is None:
            missing = MISSING_POSTERIOR.format(file=file)
            assert problem == BY_HAND.format(problem=missing, part="phase 2")
        assert problem.startswith(str(file))
        assert problem.endswith(BY_HAND.format(problem="", part="phase 2"))

    @pytest.mark.parametrize("name", ["entropy", "mutual_information"])
    def test_a_lost_map_is_zero(self, folder, name):
        file = folder / f"{name}.nii.gz"
        file.write_bytes(file.read_bytes()[:-9])
        study = read_study(folder)
        assert not getattr(study, name).any()
        assert study.posteriors[None].members.any()
        (problem,) = study.problems
        assert problem.endswith(ZERO_MAP.format(problem=""))
        assert file.name in problem
        file.unlink()
        (problem,) = read_study(folder).problems
        assert problem.endswith(ZERO_MAP.format(problem=""))

    def test_a_study_without_variance_is_complete(self, folder):
        (folder / "variance.nii.gz").unlink()
        study = read_study(folder)
        assert study.problems == ()
        assert set(study.maps) == set(study.posteriors[None].maps) == {*MAPS} - {"variance"}
        assert all(file.exists() for file in files_of_study(folder, study.info))

    def test_a_lost_prediction_is_refused(self, folder):
        (folder / "prediction.nii.gz").unlink()
        with pytest.raises(DataError, match=r"prediction\.nii\.gz"):
            read_study(folder)

    def test_a_missing_folder_is_not_created(self, tmp_path):
        with refusal(FOLDER_GONE, folder=tmp_path / "gone"):
            save_work(tmp_path / "gone", np.ones(VOLUME.shape, np.uint8), VOLUME, BEGUN)
        assert not (tmp_path / "gone").exists()

    def test_two_windows_cannot_lock_a_study(self, folder):
        first = open_study_lock(folder)
        with refusal(OPEN_ELSEWHERE, folder=folder):
            open_study_lock(folder)
        assert read_study(folder).problems == ()
        first.release()
        (folder / "study.lock").touch()  # as a killed window leaves it
        open_study_lock(folder).release()

    @pytest.mark.skipif(os.name == "nt", reason="a link needs a permission on Windows")
    def test_files_behind_a_link_are_never_deleted(self, folder, tmp_path):
        other = (folder / "posterior").rename(tmp_path / "other")
        (folder / "posterior").symlink_to(other)
        before = files(other)
        make_study(folder)
        assert files(other) == before
        assert set(read_study(folder).posteriors) == {None}

    @pytest.mark.skipif(os.name == "nt", reason="a link needs a permission on Windows")
    def test_linked_lock_changes_no_other_file(self, folder, tmp_path):
        target = tmp_path / "precious"
        target.write_text("content")
        (folder / "study.lock").unlink(missing_ok=True)
        (folder / "study.lock").symlink_to(target)
        with pytest.raises(DataError):
            open_study_lock(folder)
        assert target.read_text() == "content"

    def test_a_read_only_study_can_be_read(self, folder, monkeypatch):
        open_file = os.open
        reason = os.strerror(errno.EACCES)

        def open_read_only(path: Any, flags: int, *rest: Any, **more: Any) -> int:
            if flags & (os.O_WRONLY | os.O_RDWR) and str(path).startswith(str(folder)):
                raise PermissionError(errno.EACCES, reason)
            return open_file(path, flags, *rest, **more)

        monkeypatch.setattr(os, "open", open_read_only)
        with refusal(READ_ONLY_STUDY, folder=folder, reason=reason):
            open_study_lock(folder)
        study = read_study(folder)
        with pytest.raises(DataError, match=r"edited\.nii\.gz"):
            save_work(folder, study.edited, VOLUME, BEGUN)
        with pytest.raises(DataError, match=r"review\.json"):
            write_review(folder, BEGUN)


def test_a_write_killed_anywhere_leaves_a_study_or_none(folder, tmp_path):
    info = made_info(folder.parent / "heart_image.nii.gz")
    write = partial(write_study, info=info, posteriors={None: made_posterior()})
    killed = killed_anywhere(lambda: write(folder), folder, tmp_path / "killed")
    complete = [*filter(is_study, killed)]
    assert 0 < len(complete) < len(killed)
    for copy in killed:
        if copy in complete:
            study = read_study(copy)
            assert study.problems == ()
            assert_same(study.posteriors[None], made_posterior())
        else:
            with refusal(NOT_A_STUDY, folder=copy, file="study.json"):
                read_study(copy)
        write(copy)
        assert not [name for name in files(copy) if "writing" in name or "unfinished" in name]


def test_a_drive_that_fails_is_reported(folder, monkeypatch):
    def gone(*_: Any, **__: Any) -> bool:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    study = read_study(folder)
    monkeypatch.setattr(Path, "is_dir", gone)  # as on a network drive
    reason = "Transport endpoint is not connected"
    with refusal(UNWRITABLE, file=folder, reason=reason):
        save_work(folder, study.edited, VOLUME, BEGUN)


def test_labels_are_saved_before_decisions(folder, monkeypatch):
    """A failure in between leaves labels without a decision, never the other way round."""

    def failing(*_: Any) -> None:
        raise DataError("The disk is full.")

    monkeypatch.setattr("napari_bayes_nnunet.io.study.study.write_review", failing)
    edited = np.ones(VOLUME.shape, np.uint8)
    with pytest.raises(DataError, match="full"):
        save_work(folder, edited, VOLUME, BEGUN)
    study = read_study(folder)
    assert (study.edited == 1).all()
    assert study.review.decisions == {}
    monkeypatch.undo()
    save_work(folder, edited, VOLUME, replace(BEGUN, finished=True))
    assert read_study(folder).review == replace(BEGUN, finished=True)
    assert (read_labels(folder / "edited.nii.gz").voxels == 1).all()


def test_work_of_another_program_is_copied(folder):
    save_work(folder, np.ones(VOLUME.shape, np.uint8), VOLUME, BEGUN)
    known = work_checksums(folder)
    assert keep_other_work(folder, known, VOLUME) == []
    write_labels(folder / "edited.nii.gz", np.full(VOLUME.shape, 2, np.uint8), VOLUME)
    (copy,) = keep_other_work(folder, known, VOLUME)
    assert (read_labels(copy).voxels == 2).all()
    other = make_geometry(VOLUME.shape, (5.0, 1.0, 1.0))
    write_labels(folder / "edited.nii.gz", np.ones(VOLUME.shape, np.uint8), other)
    with pytest.raises(DataError, check=says(OTHER_STUDY_GRID)):
        keep_other_work(folder, known, VOLUME)
    (folder / "edited.nii.gz").unlink()
    (folder / "edited.nii.gz").mkdir()  # cannot be read, also by root
    with pytest.raises(DataError):
        keep_other_work(folder, {}, VOLUME)
    assert [*folder.glob("other_*")] == [copy]
