"""``predict --save study``: one study a case, and no reader's work is ever replaced."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_bayes_nnunet.app.prediction.output_files import INFO_CFG
from napari_bayes_nnunet.app.prediction.predict import has_study, predict
from napari_bayes_nnunet.app.prediction.request import PredictionRequest
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.methods import ForwardPass
from napari_bayes_nnunet.app.segmentation.result import stored_posterior
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.ensemble.maps import MAPS
from napari_bayes_nnunet.core.ensemble.posterior import most_probable
from napari_bayes_nnunet.core.metrics.overlap import pairwise_dice
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.images.nifti import read_labels, read_volume, write_labels
from napari_bayes_nnunet.io.study.info import find_image
from napari_bayes_nnunet.io.study.review_state import Decision, ReviewState, write_review
from napari_bayes_nnunet.io.study.study import HAS_CORRECTIONS, OTHER_FILES, read_study
from napari_bayes_nnunet.io.study.summary import list_studies
from tests.helpers.data.dicoms import write_cine, write_plane
from tests.helpers.data.models import made_image, make_model

from .test_predict import run, write_image

SPACING = (8.0, 1.2, 1.9)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"), members=4)


@pytest.fixture(scope="module")
def ensemble(model) -> Ensemble:
    return Ensemble(model, device="cpu")


@pytest.fixture
def image(tmp_path) -> Path:
    return write_image(tmp_path / "in" / "heart_0000.nii.gz", made_image((20, 24, 4)))


@pytest.fixture
def cine(tmp_path) -> Path:
    return write_image(tmp_path / "in" / "cine.nii.gz", made_image((20, 24, 4, 3)))


def finished(*arguments: Any, save: str = "study") -> str:
    code, said = run(*arguments, "--save", save, "--device", "cpu")
    assert code == 0, said
    return said


class TestMembers:
    def test_are_kept_in_the_order_of_the_report(self, ensemble) -> None:
        image = made_image((4, 20, 24))
        steps = ensemble.steps(image, SPACING, SegmentationSettings(), keep_members=True)
        result = drain(steps)
        passes = [ForwardPass((member,)) for member in result.members]
        listed = ensemble.pass_probabilities(image, SPACING, passes)
        expected = [np.asarray(most_probable(p)) for p in listed]
        assert [m["epoch"] for m in result.report()["members"]] == [1, 2, 3, 4]
        np.testing.assert_array_equal(result.member_labels, expected)
        assert result.member_labels.dtype == np.uint8
        assert pairwise_dice(expected, ensemble.structures) == pytest.approx(result.pairwise_dice)

    def test_are_not_kept_otherwise(self, ensemble) -> None:
        result = ensemble.segment(made_image((4, 20, 24)), SPACING)
        assert result.member_labels is None
        with pytest.raises(ValueError, match="keep_members"):
            stored_posterior(result)


class TestVolume:
    def test_becomes_a_study_beside_the_usual_files(self, model, image, tmp_path) -> None:
        out = tmp_path / "out"
        finished(model, image, "-o", out)
        assert sorted(p.name for p in out.iterdir()) == ["heart", "heart.json", "heart.nii.gz"]
        study = read_study(out / "heart")
        assert study.problems == ()
        assert study.info.case == "heart"
        assert study.info.phases == (None,)
        assert (study.info.structures, study.info.classes) == ({"RV": 1, "MYO": 2, "LV": 3}, 4)
        assert study.info.reports[None] == json.loads((out / "heart.json").read_text())
        assert find_image(study.info, study.folder) == image
        labels = read_labels(out / "heart.nii.gz")
        np.testing.assert_array_equal(study.prediction, labels.voxels)
        np.testing.assert_array_equal(study.edited, labels.voxels)
        assert labels.geometry.same_grid(study.info.geometry)
        assert str(model) not in (out / "heart" / "study.json").read_text()  # no longer needed
        finished(model, image, "-o", tmp_path / "without", save="")
        without = read_labels(tmp_path / "without" / "heart.nii.gz").voxels
        np.testing.assert_array_equal(without, labels.voxels)
        assert not (tmp_path / "without" / "heart").exists()

    def test_stored_members_match_the_maps(self, model, image, tmp_path) -> None:
        out = tmp_path / "out"
        finished(model, image, "-o", out, save=",".join(("study", "probabilities", *MAPS)))
        posterior = read_study(out / "heart").posteriors[None]
        assert posterior.count == 4
        assert posterior.maps.keys() == MAPS.keys()
        for name, kept in posterior.maps.items():
            file = out / f"heart_{name.replace('-', '_')}.nii.gz"
            written = read_volume(file, allow_blank=True).voxels
            np.testing.assert_allclose(kept, written, atol=1 / 4096)
        with np.load(out / "heart_probabilities.npz") as file:
            mean = file["probabilities"]
        for z in range(4):
            np.testing.assert_allclose(
                posterior.slice_at(z).probabilities, mean[:, z], atol=1 / 255
            )
        assert list_studies(out)[0].quality == pytest.approx(
            np.mean(list(json.loads((out / "heart.json").read_text())["pairwise_dice"].values()))
        )


class TestCine:
    def test_is_one_study_with_all_phases(self, model, cine, tmp_path) -> None:
        out = tmp_path / "out"
        finished(model, cine, "-o", out)
        study = read_study(out / "cine")
        assert study.info.phases == (1, 2, 3)
        assert (study.info.ed, study.info.es, study.review.ed) == (None, None, None)
        np.testing.assert_array_equal(study.prediction, read_labels(out / "cine.nii.gz").voxels)
        report = json.loads((out / "cine_frame02.json").read_text())
        assert study.info.reports[2] == report
        assert study.looks == {}

    def test_of_dicom_has_the_long_axes_of_its_examination(self, ensemble, tmp_path) -> None:
        voxels = made_image((20, 24, 4, 3)).transpose(3, 2, 1, 0).astype(np.int16)
        write_cine(tmp_path / "in", voxels)
        write_plane(tmp_path / "in", 82, 0, series=20, description="4ch")
        asked = {"images": (tmp_path / "in",), "output": tmp_path / "out"}
        (outcome,) = predict(ensemble, PredictionRequest(**asked, save=frozenset({"study"})))
        assert outcome.failure == ""
        (file,) = (tmp_path / "out").rglob("study.json")
        assert [plane.kind for plane in read_study(file.parent).long_axes] == ["4CH"]

    def test_some_phases_have_ed_and_es_from_info(self, model, cine, tmp_path) -> None:
        (cine.parent / "Info.cfg").write_text("ED: 1\nES: 3\n")
        finished(model, cine, "-o", tmp_path / "out", "--phases", "ED,ES")
        info = read_study(tmp_path / "out" / "cine").info
        assert (info.phases, info.ed, info.es) == ((1, 3), 1, 3)
        assert info.phases_from == INFO_CFG

    @pytest.mark.parametrize("knows_ends", [True, False])
    def test_other_phases_have_a_first_look(self, model, tmp_path, knows_ends) -> None:
        cine = write_image(tmp_path / "in" / "cine.nii.gz", made_image((20, 24, 4, 7)))
        if knows_ends:
            (cine.parent / "Info.cfg").write_text("ED: 1\nES: 3\n")
        finished(model, cine, "-o", tmp_path / "out", "--phases", "ED,ES")
        study = read_study(tmp_path / "out" / "cine")
        assert {*study.looks} == {*range(1, 8)} - {*study.info.phases}
        assert not np.delete(study.edited, [phase - 1 for phase in study.info.phases], 0).any()
        files = {path.name for path in (tmp_path / "out").iterdir()}
        frames = (f"cine_frame{phase:02}" for phase in study.info.phases)
        assert files == {"cine", *(f"{n}{end}" for n in frames for end in (".json", ".nii.gz"))}

    @pytest.mark.parametrize(
        ("text", "known"),
        [
            ("ED: 1\nES: 3\n", (1, 3)),
            ("ED: 1\n", (None, None)),
            ("ED: 1\nES: 9\n", (None, None)),
        ],
    )
    def test_ed_and_es_are_read_without_request(self, model, cine, tmp_path, text, known) -> None:
        (cine.parent / "Info.cfg").write_text(text)
        finished(model, cine, "-o", tmp_path / "out", "--phases", "2")
        info = read_study(tmp_path / "out" / "cine").info
        assert (info.ed, info.es) == known


class TestExistingStudy:
    @pytest.fixture
    def out(self, model, image, tmp_path) -> Path:
        finished(model, image, "-o", tmp_path / "out")
        return tmp_path / "out"

    def test_is_left_alone_completed_or_overwritten_as_asked(self, model, image, out) -> None:
        before = (out / "heart" / "study.json").stat().st_mtime_ns
        again = (model, image, "-o", out)
        assert "finished before" in finished(*again, "--continue")
        assert (out / "heart" / "study.json").stat().st_mtime_ns == before
        (out / "heart" / "study.json").rename(out / "heart" / ".unfinished")  # as if killed
        finished(*again, "--continue")
        assert read_study(out / "heart").problems == ()
        created = read_study(out / "heart").info.created
        private = [file for file in out.rglob("*") if file.is_file()]
        for file in private:
            file.chmod(0o600)
        finished(*again, "--overwrite", "--method", "vanilla")
        modes = {stat.S_IMODE(file.stat().st_mode) for file in private if file.exists()}
        assert modes == {0o600}
        study = read_study(out / "heart")
        assert study.posteriors[None].count == 1
        assert study.info.created >= created
        (out / "heart.json").unlink()
        (out / "heart.nii.gz").unlink()
        code, said = run(*again, "--save", "study")
        assert code == 1
        assert str(out) in said
        assert "--overwrite" in said

    def test_continue_makes_the_study_that_is_missing(self, model, image, tmp_path) -> None:
        out = tmp_path / "later"
        finished(model, image, "-o", out, save="")
        finished(model, image, "-o", out, "--continue")
        assert has_study(out / "heart", [None])

    def test_continue_adds_phases_to_an_unreviewed_study(self, model, cine, out) -> None:
        finished(model, cine, "-o", out, "--phases", "1")
        finished(model, cine, "-o", out, "--phases", "1,3", "--continue")
        assert read_study(out / "cine").info.phases == (1, 3)
        finished(model, cine, "-o", out, "--phases", "3", "--continue")
        assert read_study(out / "cine").info.phases == (1, 3)

    @pytest.mark.parametrize("how", ["decision", "edit"])
    def test_corrections_are_never_overwritten(self, model, cine, out, how) -> None:
        finished(model, cine, "-o", out, "--phases", "1")
        study = read_study(out / "cine")
        if how == "edit":
            study.edited[0, 1, 2, 3] = 3
            write_labels(study.folder / "edited.nii.gz", study.edited, study.info.geometry)
        else:
            decided = ReviewState().with_decision((1, 0), Decision(state="flagged"))
            write_review(study.folder, decided)
        before = {p: p.read_bytes() for p in study.folder.rglob("*") if p.is_file()}
        for flag in ("--overwrite", "--continue"):
            code, said = run(model, cine, "-o", out, "--save", "study", "--phases", "1,2", flag)
            assert code == 1
            assert HAS_CORRECTIONS.format(folder=study.folder) in said
            assert {p: p.read_bytes() for p in study.folder.rglob("*") if p.is_file()} == before

    @pytest.mark.parametrize("reviewed", [True, False])
    def test_results_are_not_replaced_beside_their_study(self, model, image, out, reviewed) -> None:
        if reviewed:
            write_review(out / "heart", ReviewState(finished=True))
        before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
        code, said = run(model, image, "-o", out, "--members", "2", "--overwrite")
        assert code == 1
        assert str(out) in said
        # The failed image is marked in its report until it is found finished.
        assert len(json.loads((out / "heart.json").read_text())["members"]) == 4
        code, said = run(model, image, "-o", out, "--continue")
        assert (code, "finished before" in said) == (0, True)
        assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before

    def test_folder_of_other_files_fails_only_its_case(
        self, ensemble, image, cine, tmp_path
    ) -> None:
        out = tmp_path / "new"
        (out / "heart").mkdir(parents=True)
        (out / "heart" / "notes.txt").write_text("mine")
        request = PredictionRequest(
            images=(image, cine), output=out, phases="1", save=frozenset({"study"})
        )
        first, second = predict(ensemble, request)
        assert OTHER_FILES.format(folder=out / "heart", file="notes.txt") in first.failure
        assert second.failure == ""
        assert [study.case for study in list_studies(out)] == ["cine"]


def test_study_of_several_channels_has_the_first(tmp_path) -> None:
    two = make_model(tmp_path / "model", channels=2, members=1)
    first = write_image(tmp_path / "a_0000.nii.gz", made_image((20, 24, 4)))
    write_image(tmp_path / "a_0001.nii.gz", made_image((20, 24, 4), seed=3))
    finished(two, first, "-o", tmp_path / "out")
    study = read_study(tmp_path / "out" / "a")
    assert find_image(study.info, study.folder) == first
    assert study.posteriors[None].count == 1
