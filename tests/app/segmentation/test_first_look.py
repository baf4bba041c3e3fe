"""A first look at every phase of a cine, and the order after it."""

import json
import shutil
import threading
from dataclasses import replace
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from napari_bayes_nnunet.app.messages import SegmentImage
from napari_bayes_nnunet.app.remote.store import BUILT_IN_FOLDER
from napari_bayes_nnunet.app.segmentation.calibration import read_calibrations
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.member_predictions import PreparedImages
from napari_bayes_nnunet.app.segmentation.methods import ForwardPass
from napari_bayes_nnunet.app.segmentation.result import FirstLook, order_after
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.app.worker import Worker
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.core.heart.measurements import volumes_ml
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.ensemble.ensemble_files import ensemble_files
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.ensemble.fingerprint import fingerprint
from napari_bayes_nnunet.nnunet import Stopped
from napari_bayes_nnunet.nnunet.inference import PreparedImage
from napari_bayes_nnunet.sample_data import CINE

from ...helpers.data.models import made_image, make_model

SPACING = (8.0, 1.29, 1.29)
PHASES = (19, 3, 6)


@pytest.fixture(scope="module")
def cine() -> np.ndarray:
    """One slice of the sample at some phases, in a wide field of view that is dark around it."""
    voxels = np.asarray(nibabel.load(CINE).dataobj)[:, :, 5:6, PHASES].T.astype(np.float32)
    wide = ((0, 0), (0, 0), (60, 68), (98, 30))
    return np.pad(voxels, wide, "constant", constant_values=3)[None]


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return Ensemble(BUILT_IN_FOLDER, device="cpu", precision="full")


def test_only_the_first_phase_is_seen_whole(ensemble, cine, monkeypatch) -> None:
    patches = []
    logits = ensemble._predictor.network.logits
    monkeypatch.setattr(
        ensemble._predictor.network,
        "logits",
        lambda batch, *a, **k: patches.append(len(batch)) or logits(batch, *a, **k),
    )
    looks, seen = [], []
    for look in ensemble.first_looks(cine, SPACING):
        looks.append(look)
        seen.append(sum(patches))
        patches.clear()
    assert seen[0] > 1
    assert sum(seen[1:]) == 2  # one patch for each of the others
    member = ensemble.last_member()
    for phase, look in enumerate(looks):
        (whole,) = ensemble.pass_probabilities(
            cine[:, phase], SPACING, [ForwardPass((member,))], mirroring="none"
        )
        expected = volumes_ml(np.asarray(whole).argmax(axis=0), SPACING, ensemble.structures)
        assert look.volumes["LV"] == look.cavity == pytest.approx(expected["LV"], rel=0.05)
        assert look.volumes == volumes_ml(look.labels, SPACING, ensemble.structures)
        assert look.entropy.shape == look.labels.shape == cine.shape[2:]
        assert not look.entropy[:, :30].any() or phase == 0  # outside of the window


def test_ends_are_those_of_the_looks_at_usable_phases(ensemble, cine) -> None:
    lv = [look.cavity for look in ensemble.first_looks(cine, SPACING)]
    ed, es = ensemble.find_phases(cine, SPACING)
    assert (ed, es) == (np.argmax(lv) + 1, np.argmin(lv) + 1)
    assert len(ensemble._members.kept._kept) == 2  # which are segmented next
    zero, unknown = (np.full_like(cine[:, :1], value) for value in (0, np.nan))
    among = np.concatenate([zero, cine, unknown], axis=1)
    assert ensemble.find_phases(among, SPACING) == (ed + 1, es + 1)


@pytest.fixture(scope="module")
def pieces(cine) -> np.ndarray:
    """Two phases: two hearts side by side, and one that is larger than each of them."""
    large, left, right = np.moveaxis(cine[..., 60:-68, 98:-30], 1, 0)
    pairs = (left, right), (large, np.full_like(large, 3))
    return np.stack([np.concatenate(pair, axis=-1) for pair in pairs], axis=1)


@pytest.mark.parametrize(("kept", "ed"), [("auto", 2), ("off", 1)])
def test_looks_have_the_pieces_that_are_kept(ensemble, pieces, tmp_path, kept, ed) -> None:
    assert ensemble.find_phases(pieces, SPACING, largest_component=kept) == (ed, 3 - ed)
    file = tmp_path / "cine.nii.gz"
    affine = np.diag([*SPACING[::-1], 1])
    nibabel.save(nibabel.Nifti1Image(np.moveaxis(pieces[0], 0, -1).swapaxes(0, 2), affine), file)
    words = ["predict", str(BUILT_IN_FOLDER), str(file), "--phases", "ED,ES"]
    words += ["-o", str(tmp_path / "out"), "--device", "cpu"]
    words += ["--method", "vanilla", "--mirroring", "none", "--largest-component", kept]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "out" / "cine_frame01.json").read_text())
    assert (report["ED"], report["ES"]) == (ed, 3 - ed)


@pytest.mark.parametrize("phases", [None, [], [*range(1, 9)]])
def test_looks_for_the_window_get_what_is_kept(tmp_path, phases) -> None:
    asked = []

    def look(cine, spacing, *, largest_component, **options):
        asked.append(largest_component)
        raise Stopped

    settings = SegmentationSettings(largest_component="off")
    given = {"spacing": SPACING, "folder": "", "settings": settings, "phases": phases}
    request = SegmentImage(job=1, image="", **given)
    here = SimpleNamespace(first_looks=look, find_phases=look)
    cine = np.random.default_rng(1).random((1, 8, 2, 9, 9))
    with pytest.raises(Stopped):
        Worker(tmp_path, lambda message: None)._phases(request, here, cine)
    assert asked == ["off"]


def test_a_stop_ends_the_looks(ensemble, cine) -> None:
    seen = []
    looks = ensemble.first_looks(cine, SPACING, should_stop=lambda: bool(seen))
    seen.append(next(looks))
    with pytest.raises(Stopped):
        next(looks)


def test_looks_and_results_preprocess_a_phase_once(tmp_path, monkeypatch) -> None:
    cine = np.stack([made_image((2, 40, 36), seed=n) for n in PHASES])[None]
    ensemble = Ensemble(make_model(tmp_path), device="cpu", precision="full")
    predictor, made = ensemble._predictor, []
    preprocess = predictor.preprocess
    monkeypatch.setattr(
        predictor, "preprocess", lambda *image: made.append(image) or preprocess(*image)
    )
    settings = SegmentationSettings(members=2, mirroring="none")
    apart = [drain(ensemble.steps(cine[:, n], SPACING, settings)) for n in range(len(PHASES))]
    made.clear()
    list(ensemble.first_looks(cine, SPACING))
    together = [drain(ensemble.steps(cine[:, n], SPACING, settings)) for n in range(len(PHASES))]
    assert len(made) == len(PHASES)
    for one, other in zip(apart, together, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
    assert not ensemble._members.kept._kept


def test_a_card_gets_the_next_phases_preprocessed(ensemble, cine, monkeypatch) -> None:
    monkeypatch.setattr(Ensemble, "is_on_card", True)
    preprocess, threads = ensemble._predictor.preprocess, []

    def noted(*image):
        threads.append(threading.current_thread().name)
        return preprocess(*image)

    monkeypatch.setattr(ensemble._predictor, "preprocess", noted)
    looks = list(ensemble.first_looks(cine, SPACING))
    assert sorted("ahead" in name for name in threads) == [False, *[True] * (len(PHASES) - 1)]
    monkeypatch.undo()
    for one, other in zip(looks, ensemble.first_looks(cine, SPACING), strict=True):
        np.testing.assert_array_equal(one.entropy, other.entropy)


def test_student_of_0_2_0_in_its_folder_is_ignored(ensemble, cine, tmp_path) -> None:
    """It was one more network, trained on the answers of the members, in a run of its own."""
    ours, copy = ensemble.folder, shutil.copytree(BUILT_IN_FOLDER, tmp_path / "ensemble")
    student = copy / "student"
    file = student / "fold_0" / "members" / "epoch_0099.pth"
    file.parent.mkdir(parents=True)
    shutil.copyfile(ours.members[0].path, file)
    for name in ("plans.json", "dataset.json"):
        shutil.copyfile(copy / name, student / name)
    record = json.loads((copy / "ensemble.json").read_text())
    fold, members = record["folds"]["0"], record["folds"]["0"]["members"]
    record["teacher"] = {
        "ensemble": ours.name,
        "plans_sha256": ours.plans_sha256,
        "mirroring": "spread",
        "members": {member["file"]: member["sha256"] for member in members},
    }
    record["schedule"] |= {"epochs": 100, "cycles": 1}
    fold["members"] = [members[0] | {"file": file.relative_to(student).as_posix(), "epoch": 99}]
    fold["added_cycles"] = []
    (student / "ensemble.json").write_text(json.dumps(record))
    other = Ensemble(copy, device="cpu", precision="full")
    folder = other.folder
    names = [member.path.name for member in ours.members]
    assert [member.path.name for member in folder.usable_members] == names
    assert (folder.problems, fingerprint(folder)) == ((), fingerprint(ours))
    assert len(ensemble_files(folder)) == len(ensemble_files(ours))
    assert read_calibrations(folder.path) == read_calibrations(ours.path)
    (look,) = other.first_looks(cine[:, :1], SPACING)
    (expected,) = ensemble.first_looks(cine[:, :1], SPACING)
    np.testing.assert_array_equal(look.entropy, expected.entropy)
    assert [member.epoch for member in find_ensemble(student).usable_members] == [99]


def test_every_look_is_reported_with_its_phase(ensemble, cine) -> None:
    told: list[tuple[int, FirstLook]] = []
    blank = np.zeros_like(cine[:, :1])
    padded = np.concatenate([blank, cine], axis=1)
    ensemble.find_phases(padded, SPACING, on_look=lambda *look: told.append(look))
    assert [phase for phase, _ in told] == [2, 3, 4]


def test_an_error_ahead_waits_for_its_image() -> None:
    kept = PreparedImages()
    kept.prepare_ahead("bad", lambda: 1 / 0)
    kept.prepare_ahead("good", lambda: "image")
    assert [kept.take(digest) for digest in ("bad", "good", "good")] == [None, "image", None]


def test_only_images_with_room_are_kept() -> None:
    images = [PreparedImage(torch.zeros(size), (), {}) for size in (3, 2, 4)]
    kept = PreparedImages(limit=20)
    for name, image in zip("abc", images, strict=True):
        kept.keep(name, image)
    assert [kept.take(name) is None for name in "abc"] == [False, False, True]


def look(lv: float, *, bits: float) -> FirstLook:
    entropy = np.full((2, 2, 2), bits / 8, np.float32)
    return FirstLook(
        labels=np.zeros((2, 2, 2), np.uint8),
        maps={"entropy": entropy},
        volumes={"LV": lv, "RV": 10.0},
    )


def test_ed_and_es_come_first_then_the_most_doubtful() -> None:
    looks = [look(90, bits=1), look(100, bits=2), look(60, bits=9), look(50, bits=3)]
    looks += [look(70, bits=16), look(0, bits=0)]
    assert order_after(looks) == [1, 3, 4, 2, 0, 5]
    assert order_after([look(0, bits=1), look(0, bits=2)]) == [1, 0]
    assert order_after([look(5, bits=1)]) == [0]
    without_lv = [replace(look(0, bits=8), volumes={"RV": ml}) for ml in (3.0, 5.0, 2.0)]
    assert order_after(without_lv) == [1, 2, 0]
    nothing = FirstLook(labels=np.zeros(1), maps={"entropy": np.zeros(1)}, volumes={"LV": 0.0})
    assert order_after([look(0, bits=1), nothing]) == [1, 0]
