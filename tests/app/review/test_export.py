"""Export of a review: files, and report contents."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from napari_bayes_nnunet.app.review import export as label_export
from napari_bayes_nnunet.app.review import export as module
from napari_bayes_nnunet.app.review.comparisons import describe_rules
from napari_bayes_nnunet.app.review.export import (
    collect_outcome,
    export_files,
    export_labels,
    export_review,
)
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.core.heart.patient_record import PatientRecord
from napari_bayes_nnunet.core.problems import Action, Remedy
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.images.geometry import Geometry, make_geometry
from napari_bayes_nnunet.io.images.nifti import Volume, read_labels, read_volume, write_labels
from napari_bayes_nnunet.io.study.patient import write_patient
from napari_bayes_nnunet.io.study.study import read_study
from napari_bayes_nnunet.io.study.usage_log import USE_LOG, append_use

from ...helpers.data.cines import ED, ES, LV, SHAPE, SPACING, WORST, accept, image_of, make_cine


@pytest.fixture
def image(folder) -> Volume:
    return read_volume(image_of(folder))


@pytest.mark.parametrize("asked", [False, True])
def test_only_the_report_names_the_patient_if_asked(tmp_path, folder, image, asked) -> None:
    write_patient(folder, PatientRecord(name="Quux^<Jo>", birth="1957-05-02"))
    session = ReviewSession(read_study(folder))
    *others, report = export_review(session, image, tmp_path / "out", queue=[], names_patient=asked)
    page = report.read_text()
    assert ("Quux, &lt;Jo&gt; · 1957" in page) is asked
    assert ("Quux" in page) is asked
    labels, numbers = others
    assert b"Quux" not in nibabel.load(labels).header.binaryblock
    assert "Quux" not in numbers.read_text()


def edit(session: ReviewSession, place: tuple) -> None:
    before = session.labels_in(place).copy()
    session.labels_in(place)[:4, :5] = LV
    session.note_change([place], tool="paint", before={place: before})


def exported(session: ReviewSession, image: Volume | None, folder: Path) -> list[Path]:
    return export_review(session, image, folder, queue=session.queue(session.scores()))


# Files


def test_labels_numbers_and_report_are_written(session, image, tmp_path) -> None:
    edit(session, WORST)
    files = exported(session, image, tmp_path / "out")
    assert files == export_files(session, tmp_path / "out")
    labels, numbers, report = files
    found = read_labels(labels)
    assert np.array_equal(found.voxels, session.labels)
    assert found.geometry.same_grid(image.geometry)
    assert found.geometry.frame_time == image.geometry.frame_time
    with numbers.open(encoding="utf-8", newline="") as stream:
        rows = {row["name"]: row for row in csv.DictReader(stream)}
    assert float(rows["LV EDV"]["value"]) > float(rows["LV EDV"]["prediction"])
    text = report.read_text(encoding="utf-8")
    assert "data:image/png;base64," in text
    assert "heart" in text


def test_numbers_have_the_open_slices_of_their_phases(session, image, tmp_path) -> None:
    accept(session, ED)
    session.decide((ES, 0), "accepted")
    _, numbers, _ = exported(session, image, tmp_path / "out")
    with numbers.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    found = {row["name"]: row["open_slices"] for row in rows}
    assert {row["state"] for row in rows} == {"DRAFT, 5 of 8 slices accepted"}
    assert [found[name] for name in ("LV EDV", "LV mass", "RV EDV")] == ["0", "0", "0"]
    assert [found[name] for name in ("LV ESV", "LV SV", "LV EF", "RV EF")] == ["3", "3", "3", "3"]
    accept(session, ES)
    _, numbers, report = exported(session, image, tmp_path / "out")
    with numbers.open(encoding="utf-8", newline="") as stream:
        states = {row["state"] for row in csv.DictReader(stream)}
    assert states == {"reviewed, 8 of 8 slices accepted"}
    assert "DRAFT" not in report.read_text(encoding="utf-8")


def test_report_without_image_has_no_slices(session, tmp_path) -> None:
    edit(session, WORST)
    assert collect_outcome(session, None, []).corrected is None
    files = exported(session, None, tmp_path / "out")
    assert all(file.is_file() for file in files)


def test_report_says_that_ed_and_es_are_among_some_phases(session) -> None:
    warning = module.FOUND_AMONG.format(count=2)
    assert warning in collect_outcome(session, None, []).warnings
    session.change(ed=ES, es=ED)  # by the reader
    assert warning not in collect_outcome(session, None, []).warnings


def test_labels_without_orientation_are_exported(tmp_path) -> None:
    folder = make_cine(tmp_path / "heart", geometry=make_geometry((4, *SHAPE), SPACING))
    session = ReviewSession(read_study(folder))
    edit(session, WORST)
    labels, *_ = exported(session, read_volume(image_of(folder)), tmp_path / "out")
    assert np.array_equal(read_labels(labels).voxels, session.labels)
    assert read_labels(labels).geometry.letters is None


def test_image_is_never_overwritten_by_export(session, image, tmp_path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    target = export_files(session, out)[0]
    target.hardlink_to(image.source)
    before = target.read_bytes()
    with pytest.raises(DataError) as caught:
        exported(session, image, out)
    assert caught.value.values == {"file": target.name}
    assert target.read_bytes() == before


def test_outcome_has_decisions_and_all_use(session, image, folder) -> None:
    edit(session, WORST)
    append_use(folder / USE_LOG, session.take_log()[0])
    session.decide(WORST, "accepted")
    review = collect_outcome(session, image, session.queue(session.scores()))
    assert review.state.decisions[WORST].state == "accepted"
    assert review.use is not None
    assert review.use.slices == 1
    assert [(part.phase, part.z) for part in review.corrected or ()] == [WORST]
    assert review.progress is not None
    assert review.progress.done == 1
    assert (review.state.ed, review.state.es) == (ED, ES)
    assert review.rules == describe_rules(session)
    assert np.array_equal(review.corrected[0].image, image.voxels[ED - 1, WORST[1]])
    assert review.after["LV EDV"].value > review.before["LV EDV"].value


def test_only_what_differs_now_counts_as_changed(session, image) -> None:
    changed, undone = WORST, (ES, 1)
    edit(session, changed)
    before = session.labels_in(undone).copy()
    edit(session, undone)
    session.labels_in(undone)[:] = before
    session.note_change([undone], tool="undo or redo")
    assert "20 voxels in 1 slice" in collect_outcome(session, image, []).changes
    session.entropy_in(changed)[:2, :5] = 0.9
    session.entropy_in(changed)[2:4, :5] = 0.1
    assert "50 %" in collect_outcome(session, image, []).changes


def test_untouched_review_has_no_use(session, image) -> None:
    assert collect_outcome(session, image, []).use is None


nib: Any = nibabel
OBLIQUE = np.array(
    [[-0.92, 0.4, -5.0, 14], [-0.9, -0.35, 5.3, 185], [-0.04, -1.2, -3.3, 110], [0, 0, 0, 1]]
)
LABELS = np.arange(60, dtype=np.uint8).reshape(3, 4, 5) % 4


@pytest.fixture
def geometry(tmp_path: Path) -> Geometry:
    """Return the geometry of an oblique image with different qform and sform, in m and s."""
    image = nib.Nifti1Image(np.ones((5, 4, 3), np.int16), OBLIQUE)
    image.set_qform(np.diag([-1.5, -1.5, 8, 1]), code="scanner")
    image.set_sform(OBLIQUE, code="mni")
    image.header.set_xyzt_units("meter", "sec")
    nib.save(image, tmp_path / "image.nii.gz")
    return read_volume(tmp_path / "image.nii.gz").geometry


def test_exported_labels_have_geometry_of_image(tmp_path: Path, geometry: Geometry) -> None:
    file = tmp_path / "new" / "labels.nii.gz"
    export_labels(file, LABELS, geometry)
    written, image = nib.load(file), nib.load(tmp_path / "image.nii.gz")
    np.testing.assert_array_equal(np.asarray(written.dataobj).T, LABELS)
    np.testing.assert_array_equal(written.affine, image.affine)
    for form in ("get_qform", "get_sform"):
        (affine, code), expected = (getattr(i, form)(coded=True) for i in (written, image))
        np.testing.assert_array_equal(affine, expected[0])
        assert code == expected[1]
    assert written.header.get_xyzt_units() == ("meter", "sec")
    assert [f.name for f in file.parent.iterdir()] == ["labels.nii.gz"]


def other_voxels(file: Path, labels: Any, like: Geometry) -> None:
    write_labels(file, np.where(labels == 3, 2, labels), like)


def other_geometry(file: Path, labels: Any, like: Geometry) -> None:
    write_labels(file, labels, make_geometry(labels.shape, like.spacing))


@pytest.mark.parametrize(
    ("damage", "found"), [(other_voxels, "voxels"), (other_geometry, "pixdim, xyzt_units")]
)
def test_export_that_reads_back_differently_is_refused(
    damage: Any,
    found: str,
    tmp_path: Path,
    geometry: Geometry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "labels.nii.gz"
    export_labels(file, LABELS, geometry)
    before = file.read_bytes()
    monkeypatch.setattr(label_export, "write_labels", damage)
    with pytest.raises(DataError) as caught:
        export_labels(file, LABELS, geometry)
    assert caught.value.values["file"] == file.name
    assert str(caught.value.values["fields"]).startswith(found)
    assert file.read_bytes() == before
    assert {f.name for f in tmp_path.iterdir()} == {"labels.nii.gz", "image.nii.gz"}


def test_labels_that_cannot_be_written_are_refused(tmp_path: Path, geometry: Geometry) -> None:
    file = tmp_path / "file" / "labels.nii.gz"
    file.parent.touch()
    with pytest.raises(DataError) as caught:
        export_labels(file, LABELS, geometry)
    assert caught.value.values["file"] == file
    assert caught.value.remedies == (Remedy(Action.OTHER_OUTPUT),)
