"""Tests of results that grow by member and phase."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_bayes_nnunet.app.messages import PhaseDone
from napari_bayes_nnunet.app.prediction.output_files import (
    CLOSE_SLICES,
    FOUND_BY_VOLUME,
    INFO_CFG,
    SLICES_STORED,
    TWO_VOXEL_SIZES,
)
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.core.heart.measurements import volumes_ml
from napari_bayes_nnunet.core.problems import change, statement
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.images.nifti import CardiacPhases
from napari_bayes_nnunet.io.study.arrays import FOREIGN_POSTERIOR, write_posterior
from napari_bayes_nnunet.io.study.study import read_study
from napari_bayes_nnunet.widgets.common.wording import in_the_window
from napari_bayes_nnunet.widgets.layers.result import SegmentationResult

from ...helpers.data.posteriors import posterior_of
from ...helpers.data.studies import made_posterior, make_study
from ..conftest import CINE, VOLUME, grow, make_result, two_voxel_sizes


def done_message(folder, *, phase: int | None = None) -> PhaseDone:
    """Return the message of a finished phase, and write its file."""
    file = folder / "said.npz"
    write_posterior(file, made_posterior(VOLUME.shape), compressed=False)
    return PhaseDone(job=1, phase=phase, report={"method": "multi"}, posterior=str(file))


def test_snapshot_is_read_and_its_files_are_deleted(tmp_path) -> None:
    result = make_result()
    grow(result, tmp_path)
    assert (result.labels == 3).all()
    assert (result.entropy == 1).all()
    assert (result.mutual_information == 0.5).all()
    assert list(tmp_path.iterdir()) == []
    assert result.phases[None].done == 1


def test_a_snapshot_changes_one_phase_only(tmp_path) -> None:
    result = make_result(CINE)
    grow(result, tmp_path, phase=2)
    assert (result.labels[1] == 3).all()
    assert not np.delete(result.labels, 1, axis=0).any()
    assert not np.delete(result.entropy, 1, axis=0).any()
    assert (result.of_phase(result.labels, 2) == 3).all()


def test_the_report_is_kept_with_its_phase(tmp_path) -> None:
    result = make_result()
    grow(result, tmp_path)
    result.finish(None, {"method": "multi"})
    assert result.phases[None].report is not None
    assert result.phases[None].report["method"] == "multi"
    assert result.phases[None].done == result.phases[None].total == 2


def test_what_was_noticed_on_reading_stands_in_the_report(tmp_path) -> None:
    result = make_result()
    result.image_notes = ("Slices were left out.",)
    grow(result, tmp_path)
    result.finish(None, {"notes": ["Half precision."]})
    assert result.notes == ["Slices were left out.", "Half precision."]


def test_unusual_files_are_said_in_the_window() -> None:
    """The child gets an array only, so the window adds what it knows of the file."""
    report = {"volumes_ml": {"LV": {"ensemble": 100.0}}, "notes": ["Half precision."]}
    result = make_result(replace(two_voxel_sizes(), slice_axis=0), shape=(20, 4, 16))
    result.count(None, 2, 2)
    result.finish(None, report)
    values = {"affine": "1.25 × 8 × 1.5", "pixdim": "1.25 × 5 × 1.5", "factor": 0.625}
    sizes = statement(TWO_VOXEL_SIZES, change("spacing"), **values)
    close = statement(CLOSE_SLICES, change("spacing"), distance=1.25)
    assert result.notes == [
        "Half precision.",
        SLICES_STORED.format(axis="x"),
        in_the_window(close),
        in_the_window(sizes),
    ]
    kept = result.phases[None].report
    assert kept is not None
    assert kept["volumes_ml_by_pixdim"] == pytest.approx({"LV": 62.5})


def test_warnings_name_their_phases() -> None:
    result = make_result(CINE)
    assert result.warnings == []
    both = {"warnings": ["Small."], "notes": ["Half precision."]}
    reports = {2: both, 4: {"warnings": ["Small.", "Cut off."], "notes": ["Half precision."]}}
    for phase, report in reports.items():
        result.count(phase, 2, 2)
        result.finish(phase, report)
    assert result.warnings == ["Small.", "Phase 4: Cut off."]
    assert result.notes == ["Half precision."]
    result.count(5, 1, 2)  # stopped before its end
    assert result.warnings == ["Phases 2, 4: Small.", "Phase 4: Cut off."]
    assert result.notes == ["Phases 2, 4: Half precision."]


def test_warnings_of_all_phases_name_none(tmp_path) -> None:
    for geometry, phase in ((VOLUME, None), (CINE, 3)):
        result = make_result(geometry)
        grow(result, tmp_path, phase=phase)
        result.finish(phase, {"warnings": ["Small."], "notes": ["Small."]})
        assert result.warnings == ["Small."]


def test_a_posterior_is_read_and_its_file_deleted(tmp_path) -> None:
    result = make_result(CINE)
    grow(result, tmp_path, phase=2)
    message = done_message(tmp_path, phase=2)
    posterior = result.read_posterior(message, 2)
    assert result.posteriors == {}
    result.finish(2, message.report, posterior)
    assert list(tmp_path.iterdir()) == []
    kept = result.posteriors[2]
    np.testing.assert_array_equal(kept.members, made_posterior(VOLUME.shape).members)
    np.testing.assert_array_equal(kept.prediction, result.labels[1])
    np.testing.assert_array_equal(kept.entropy, result.entropy[1])


def test_a_new_snapshot_drops_the_posterior_unchanged(tmp_path) -> None:
    result = make_result()
    grow(result, tmp_path)
    result.finish(None, {}, result.read_posterior(done_message(tmp_path), None))
    kept = result.posteriors[None]
    grow(result, tmp_path, label=1)
    assert result.posteriors == {}
    assert (kept.prediction == 3).all()


def test_without_a_file_there_is_no_posterior(tmp_path) -> None:
    result = make_result()
    grow(result, tmp_path)
    message = PhaseDone(job=1, phase=None, report={})
    assert result.read_posterior(message, None) is None
    result.finish(None, message.report, None)
    assert result.posteriors == {}


def test_a_posterior_of_another_shape_is_refused(tmp_path) -> None:
    result = make_result(CINE, shape=(5, 4, 16, 21))
    with pytest.raises(DataError) as caught:
        result.read_posterior(done_message(tmp_path, phase=1), 1)
    assert caught.value.statement.template == FOREIGN_POSTERIOR


def test_files_of_unneeded_messages_are_deleted(tmp_path) -> None:
    message = done_message(tmp_path)
    message.delete_files()
    message.delete_files()
    PhaseDone(job=1, phase=None, report={}).delete_files()
    assert list(tmp_path.iterdir()) == []


def test_a_study_is_a_result(tmp_path) -> None:
    study = read_study(make_study(tmp_path / "heart", phases=(1, 4)))
    result = SegmentationResult.from_study(study)
    assert result.labels is study.prediction
    assert result.entropy is study.entropy
    assert result.classes == 4
    assert set(result.phases) == set(result.posteriors) == {1, 4}
    assert (result.ensemble, result.settings.members) == ("made", 3)
    assert result.source == tmp_path / "heart_image.nii.gz"
    assert result.geometry == study.info.geometry


def test_numbers_are_those_of_a_review(tmp_path) -> None:
    study = read_study(make_study(tmp_path / "study", phases=(2, 4), ed=2, es=4))
    numbers = SegmentationResult.from_study(study).numbers()
    session = ReviewSession(study)
    assert (numbers.ed, numbers.es) == (session.state.ed, session.state.es)
    expected = session.measured()
    assert expected
    assert numbers.measured == expected


def test_numbers_know_that_ed_and_es_are_among_some_phases() -> None:
    result = looked_at(1, 5)
    assert result.numbers().compared == 0
    for phase in (2, 3):
        result.forget([phase])
    assert result.numbers().compared == 3
    result.known_phases = CardiacPhases(1, 5)
    assert result.numbers().compared == 0


def test_numbers_need_a_finished_phase(tmp_path) -> None:
    result = make_result()
    assert result.numbers().measured == {}
    grow(result, tmp_path)
    assert result.numbers().measured == {}
    result.finish(None, {}, made_posterior(VOLUME.shape))
    assert "LV volume" in result.numbers().measured


def looked_at(*finished: int) -> SegmentationResult:
    """Return a cine whose LV shrinks in the looks; in ``finished`` phases it is that of phase 2."""
    result = make_result(CINE)
    posterior = made_posterior(VOLUME.shape)
    middle = volumes_ml(posterior.prediction, result.spacing, result.structures)["LV"]
    for phase in range(1, 6):
        result.count_look(phase, {"LV": middle * (1.4 - 0.2 * phase)})
    for phase in finished:
        result.count(phase, 3, 3)
        result.finish(phase, {}, posterior)
    return result


@pytest.mark.parametrize(
    ("finished", "names"),
    [((2, 3), set()), ((1, 3), {"LV EDV"}), ((2, 5), {"LV ESV"}), ((1, 5), {"LV EF"})],
)
def test_the_ef_is_that_of_ed_and_es_of_the_looks(finished, names) -> None:
    result = looked_at(*finished)
    numbers = result.numbers()
    assert names <= set(numbers.measured)
    assert ("LV EF" in numbers.measured) == ("LV EF" in names)
    result.known_phases = CardiacPhases(1, 4)
    assert "LV EF" not in result.numbers().measured


def beating(*finished: int) -> SegmentationResult:
    """Return a cine of which one model found ED 1 and ES 2; its LV is the smallest in phase 3."""
    result = make_result(CINE, known_phases=CardiacPhases(1, 2), phases_from=FOUND_BY_VOLUME)
    for phase in finished:
        labels = np.zeros(VOLUME.shape, np.uint8)
        labels[1, : (12, 6, 5, 8, 10)[phase - 1]] = 3
        result.count(phase, 2, 2)
        result.finish(phase, {}, posterior_of([labels] * 2))
    return result


def test_the_curve_of_all_members_decides_on_every_phase() -> None:
    part, whole = beating(1, 2, 3, 4), beating(1, 2, 3, 4, 5)
    assert (part.numbers().ed, part.numbers().es) == (1, 2)
    numbers = whole.numbers()
    assert (numbers.ed, numbers.es, numbers.compared) == (1, 3, 0)
    assert numbers.measured["LV EF"].value == pytest.approx(100 * (1 - 5 / 12))
    whole.phases_from = INFO_CFG
    assert whole.numbers().es == 2
