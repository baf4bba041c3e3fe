"""Tests of the files of a result."""

from __future__ import annotations

import json
import stat

import numpy as np
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.prediction.output_files import (
    FOUND_BY_VOLUME,
    IS_IMAGE,
    RESULTS_NOT_WRITTEN,
)
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.ensemble.maps import MAPS
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.files import atomic
from napari_bayes_nnunet.io.images.geometry import Geometry
from napari_bayes_nnunet.io.images.nifti import (
    CardiacPhases,
    read_labels,
    read_volume,
    write_image,
    write_labels,
)
from napari_bayes_nnunet.widgets.segment.save import (
    NO_POSITION,
    NOTHING_TO_SAVE,
    PROVISIONAL_PHASE,
    STOPPED_PHASE,
    check_savable,
    replaced_files,
    result_files,
    save_result,
)

from ...helpers.checks.problems import says, says_only
from ...helpers.data.studies import made_posterior
from ...helpers.processes.small_disk import FullFrom
from ..conftest import CINE, VOLUME, grow, make_result

FROM_THE_FILE = {
    "spacing_mm": [8.0, 1.5, 1.25],
    "spacing_from": "pixdim",
    "notes": [],
    "grid": str(VOLUME.frame()),
}
"""Entries of a report on the grid of VOLUME and CINE."""


JOINED = ("p_ED", "p_ES")
"""Names of the phases of a joined image."""


def joined_geometry() -> Geometry:
    return VOLUME.with_phases(2)


def files(folder) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_a_volume_gives_labels_maps_and_report(tmp_path) -> None:
    result = make_result(source=tmp_path / "heart_0000.nii.gz")
    grow(result, tmp_path)
    out = tmp_path / "out"
    save_result(result, out, maps=MAPS)
    report = json.loads((out / "heart.json").read_text())
    assert report["warnings"] == [STOPPED_PHASE.format(done=1, total=2)]
    assert report["ensemble"] == "made"
    assert (read_volume(out / "heart_mutual_information.nii.gz").voxels == 0.5).all()
    assert not (out / "heart_variance.nii.gz").exists()  # after the last member only
    result.finish(None, {"method": "multi", "volumes_ml": {}})
    save_result(result, out, maps=MAPS)
    assert (out / "heart_variance.nii.gz").exists()
    saved = save_result(result, out)
    assert files(out) == ["heart.json", "heart.nii.gz", "heart_entropy.nii.gz"]
    assert sorted(file.name for file in saved) == files(out)
    labels = read_labels(out / "heart.nii.gz")
    assert labels.geometry.same_grid(VOLUME)
    np.testing.assert_array_equal(labels.voxels, result.labels)
    entropy = read_volume(out / "heart_entropy.nii.gz")
    assert entropy.voxels.dtype == np.float32
    np.testing.assert_array_equal(entropy.voxels, result.entropy)
    assert json.loads((out / "heart.json").read_text()) == {
        "case": "heart",
        "image": "heart_0000.nii.gz",
        "phase": None,
        "method": "multi",
        "volumes_ml": {},
        **FROM_THE_FILE,
    }


def test_cine_gives_one_set_of_files_per_phase(tmp_path) -> None:
    result = make_result(CINE)
    result.known_phases, result.phases_from = CardiacPhases(5, 2), "Info.cfg beside the image"
    for phase in (5, 2):
        grow(result, tmp_path, phase=phase, label=phase)
        result.finish(phase, {})
    out = tmp_path / "out"
    save_result(result, out)
    assert files(out) == [
        f"heart_frame{phase}{ending}"
        for phase in ("02", "05")
        for ending in (".json", ".nii.gz", "_entropy.nii.gz")
    ]
    labels = read_labels(out / "heart_frame05.nii.gz")
    assert labels.geometry.same_grid(CINE.frame())
    assert (labels.voxels == 5).all()
    report = json.loads((out / "heart_frame02.json").read_text())
    assert report == {
        "case": "heart_frame02",
        "image": "",
        "phase": 2,
        "ED": 5,
        "ES": 2,
        "phases_from": "Info.cfg beside the image",
        **FROM_THE_FILE,
    }


def test_all_phases_also_give_one_4d_file(tmp_path) -> None:
    result = make_result(CINE)
    for phase in range(1, 6):
        grow(result, tmp_path, phase=phase, label=phase)
    save_result(result, tmp_path / "out")
    labels = read_labels(tmp_path / "out" / "heart.nii.gz")
    assert labels.geometry.same_grid(CINE)
    assert [int(frame.max()) for frame in labels.voxels] == [1, 2, 3, 4, 5]


def test_without_geometry_nothing_is_invented(tmp_path) -> None:
    result = make_result(None)
    grow(result, tmp_path)
    with pytest.raises(AppError, check=says_only(NO_POSITION, case="heart")):
        save_result(result, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["heart", "p_ED", ""])
def test_an_image_with_the_name_of_a_result_is_never_replaced(tmp_path, name) -> None:
    file = tmp_path / f"{name or 'heart'}.nii.gz"
    if name:
        result = make_result(joined_geometry(), source=tmp_path / "no file", phase_cases=JOINED)
        for phase in (1, 2):
            grow(result, tmp_path, phase=phase)
        write_image(file, np.ones(VOLUME.shape, np.int16), VOLUME)
    else:  # the image itself, even if it is marked as labels
        result = make_result(source=file)
        grow(result, tmp_path)
        write_labels(file, np.ones(VOLUME.shape, np.uint8), VOLUME)
    before = file.read_bytes()
    with pytest.raises(AppError, check=says_only(IS_IMAGE, image=file)):
        save_result(result, tmp_path)
    assert file.read_bytes() == before
    check_savable(result, tmp_path / "elsewhere")


def test_joined_phases_keep_the_names_of_their_files(tmp_path) -> None:
    result = make_result(joined_geometry(), phase_cases=JOINED, known_phases=CardiacPhases(1, 2))
    for phase in (1, 2):
        grow(result, tmp_path, phase=phase, label=phase)
    save_result(result, tmp_path / "out")
    for label, name in enumerate(JOINED, start=1):
        labels = read_labels(tmp_path / "out" / f"{name}.nii.gz")
        assert labels.geometry.same_grid(VOLUME)
        assert labels.voxels.max() == label
        report = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        assert (report["case"], report["phase"]) == (name, None)  # as `evaluate` wants it
        assert "ED" not in report


def test_a_file_that_cannot_be_written_or_deleted_raises(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    result = make_result()
    grow(result, tmp_path)
    with pytest.raises((DataError, OSError), match="file"):
        save_result(result, tmp_path / "file")
    (tmp_path / "out" / "heart_probabilities.npz").mkdir(parents=True)
    with pytest.raises(DataError, check=says(RESULTS_NOT_WRITTEN, folder=tmp_path / "out")):
        save_result(result, tmp_path / "out")


def test_files_are_known_beforehand(tmp_path) -> None:
    result = make_result(CINE)
    assert result_files(result, tmp_path, maps=MAPS) == []
    grow(result, tmp_path, phase=3)
    names = [file.name for file in result_files(result, tmp_path, maps=MAPS)]
    assert names == [
        "heart_frame03.nii.gz",
        "heart_frame03_entropy.nii.gz",
        "heart_frame03_mutual_information.nii.gz",
        "heart_frame03.json",
    ]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_full_disk_leaves_no_labels_without_report(tmp_path, monkeypatch, number) -> None:
    result = make_result()
    grow(result, tmp_path)
    out = tmp_path / "out"
    save_result(result, out)
    monkeypatch.setattr(atomic.os, "fsync", FullFrom(number))
    with pytest.raises((DataError, OSError)):
        save_result(result, out)
    assert files(out) == []


def test_nothing_of_an_earlier_result_stays(tmp_path) -> None:
    """A map or a 4D file beside labels of another method would be taken for its own."""
    earlier = make_result(CINE)
    for phase in range(1, 6):
        grow(earlier, tmp_path, phase=phase)
    out = tmp_path / "out"
    save_result(earlier, out, maps=MAPS)
    result = make_result(CINE, settings=SegmentationSettings(method="vanilla"))
    grow(result, tmp_path, phase=2)
    kept = {name for name in files(out) if name.startswith("heart_frame") and "02" not in name}
    expected = {"heart_frame02.nii.gz", "heart_frame02_entropy.nii.gz", "heart_frame02.json"}
    replaced = {*expected, "heart_frame02_mutual_information.nii.gz", "heart.nii.gz"}
    assert {file.name for file in replaced_files(result, out)} == replaced
    for name in expected:
        (out / name).chmod(0o600)
    save_result(result, out)
    assert {*files(out)} == kept | expected
    assert {stat.S_IMODE((out / name).stat().st_mode) for name in expected} == {0o600}


@pytest.mark.parametrize("is_source", [True, False])
def test_a_cine_of_the_same_name_stays(tmp_path, is_source) -> None:
    """The image, even if it is marked as labels, and any other image."""
    cine, write = tmp_path / "heart.nii.gz", write_labels if is_source else write_image
    write(cine, np.ones(CINE.shape, np.uint8), CINE)
    result = make_result(CINE, source=cine if is_source else None)
    grow(result, tmp_path, phase=2)
    before = cine.read_bytes()
    assert replaced_files(result, tmp_path) == []
    save_result(result, tmp_path)
    assert cine.read_bytes() == before


def test_provisional_phase_is_marked_and_makes_no_whole_cine(tmp_path) -> None:
    result = make_result(CINE)
    for phase in range(1, 6):
        grow(result, tmp_path, phase=phase)
        result.finish(phase, {})
    result.forget([3])
    result.requested = {3}
    result.count_look(3, {"LV": 1.0})
    out = tmp_path / "out"
    assert set(save_result(result, out)) == set(out.iterdir())
    assert "heart.nii.gz" not in files(out)
    report = json.loads((out / "heart_frame03.json").read_text())
    assert (report["provisional"], report["warnings"]) == (True, [PROVISIONAL_PHASE])
    assert "volumes_ml" not in report


def test_first_look_is_saved_only_if_asked_for(tmp_path) -> None:
    result = make_result(CINE)
    grow(result, tmp_path, phase=2)
    result.finish(2, {})
    result.requested = {2, 3}
    for phase in (3, 4):
        result.count_look(phase, {"LV": 1.0})
    out = tmp_path / "out"
    save_result(result, out)
    assert {name[:13] for name in files(out)} == {"heart_frame02", "heart_frame03"}
    report = json.loads((out / "heart_frame03.json").read_text())
    assert report["warnings"] == [PROVISIONAL_PHASE]
    result.requested = set()  # as after a stop before ED and ES are found
    assert len({file.name[:13] for file in result_files(result, out)}) == 3


def test_looks_at_other_phases_are_nothing_to_save(tmp_path) -> None:
    """As after a stop before the first model of the one chosen phase."""
    result = make_result(CINE)
    for phase in range(1, 5):
        result.count_look(phase, {"LV": 1.0})
    result.requested = {5}
    with pytest.raises(AppError, check=says(NOTHING_TO_SAVE)):
        save_result(result, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_reports_of_every_phase_name_no_ends_of_one_model(tmp_path) -> None:
    result = make_result(CINE, known_phases=CardiacPhases(1, 2), phases_from=FOUND_BY_VOLUME)
    for phase in range(1, 6):
        assert result.known_ends == (CardiacPhases(1, 2), FOUND_BY_VOLUME)
        grow(result, tmp_path, phase=phase)
        result.finish(phase, {}, made_posterior(VOLUME.shape))
    save_result(result, tmp_path / "out")
    report = json.loads((tmp_path / "out" / "heart_frame01.json").read_text())
    assert not {"ED", "ES", "phases_from"} & report.keys()
