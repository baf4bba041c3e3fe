"""Output files of ``bayes-nnunet predict``, also if some images fail."""

import gzip
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from click.testing import CliRunner

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.prediction.output_files import (
    FOUND_BY_VOLUME,
    INFO_CFG,
    IS_IMAGE,
    LOCKS,
    OUTPUT_IN_USE,
    SAVED_MAPS,
    locked_case,
)
from napari_bayes_nnunet.app.prediction.predict import (
    NAME_TAKEN,
    NO_MAP_OF_SINGLE,
    finished_phases,
    predict,
)
from napari_bayes_nnunet.app.prediction.request import CaseOutcome, PredictionRequest, parse_phases
from napari_bayes_nnunet.app.report.number_warnings import NO_STROKE
from napari_bayes_nnunet.app.report.output_folder import OUTPUT_IS_INPUT
from napari_bayes_nnunet.app.segmentation.calibration import (
    UNCALIBRATED,
    Calibration,
    calibration_key,
    write_calibration,
)
from napari_bayes_nnunet.app.segmentation.ensemble import FEWER_MEMBERS, NO_CYCLES, Ensemble
from napari_bayes_nnunet.app.segmentation.image_check import BLANK_PHASES
from napari_bayes_nnunet.app.segmentation.result import WEAK_STRUCTURE
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.core.metrics.conformal import IntervalRule
from napari_bayes_nnunet.core.metrics.expected_dice import DiceRule
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dicom.headers import tolerant_reading
from napari_bayes_nnunet.io.dicom.reader import NO_DICOM, read_dicom
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.ensemble.fingerprint import CALIBRATION_FILE
from napari_bayes_nnunet.io.images.nifti import (
    BLANK_IMAGE,
    NO_NIFTI,
    TRUNCATED,
    WRONG_INFO_CFG,
    read_labels,
    read_volume,
    write_labels,
)
from napari_bayes_nnunet.io.search import case_image
from napari_bayes_nnunet.io.study.info import find_image
from napari_bayes_nnunet.io.study.patient import PATIENT_FILE
from napari_bayes_nnunet.io.study.study import read_study
from tests.helpers.data import dicoms
from tests.helpers.data.models import made_image, make_model

AFFINE = np.array([[-1.2, 0.1, 0, 5], [0.1, 1.9, 0.5, -7], [0, 0.3, 7.9, 11], [0, 0, 0, 1]])


def write_image(path: Path, voxels: np.ndarray, *, zooms=(1.2, 1.9, 8.0)) -> Path:
    """A NIfTI file of (x, y, z[, t]) voxels whose qform is oblique."""
    image = nib.Nifti1Image(voxels, None)
    image.header.set_qform(AFFINE, code=1)
    image.header.set_zooms((*zooms, *([45.0] if voxels.ndim == 4 else [])))
    image.header.set_xyzt_units("mm", "msec")
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


@pytest.fixture
def image(tmp_path) -> Path:
    return write_image(tmp_path / "in" / "patient7_frame01_0000.nii.gz", made_image((20, 24, 4)))


@pytest.fixture
def images(tmp_path) -> list[Path]:
    """Return the images of ED and ES of a patient."""
    return [
        write_image(tmp_path / "in" / f"p_{end}.nii.gz", made_image((20, 24, 4), seed=seed))
        for seed, end in enumerate(("ED", "ES"))
    ]


@pytest.fixture
def cine(tmp_path) -> Path:
    return write_image(tmp_path / "in" / "patient8_4d.nii.gz", made_image((20, 24, 4, 3)))


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


def run(*arguments) -> tuple[int, str]:
    """Exit code and output of ``bayes-nnunet predict``."""
    outcome = CliRunner().invoke(main, ["predict", *map(str, arguments)])
    if outcome.exception and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome.exit_code, outcome.output


def test_full_precision_is_float32_not_reused_half_precision(model, image, tmp_path):
    out = tmp_path / "out"
    assert run(model, image, "-o", out, "--precision", "full")[0] == 0
    report = json.loads((out / "patient7_frame01.json").read_text())
    assert report["precision"] == "float32"
    again = (model, image, "-o", out, "--precision", "full", "--continue")
    assert run(*again) == (0, "patient7_frame01: finished before\n")
    report["precision"] = "bfloat16"
    (out / "patient7_frame01.json").write_text(json.dumps(report))
    code, said = run(*again)
    assert code == 1
    assert "(bfloat16)" in said
    assert run(model, image, "-o", out, "--continue")[0] == 0


def test_case_that_another_run_writes_is_not_touched(model, image, tmp_path):
    out = tmp_path / "out"
    with locked_case(out, "patient7_frame01"):
        code, said = run(model, image, "-o", out, "--device", "cpu")
        assert code == 1
        assert OUTPUT_IN_USE.format(folder=out) in said
        assert [file.name for file in out.iterdir()] == [LOCKS]
    assert run(model, image, "-o", out, "--device", "cpu")[0] == 0


@pytest.mark.parametrize("name", [".nii.gz", "_0000.nii.gz", "...nii.gz"])
def test_case_without_a_name_stays_in_its_folder(model, image, tmp_path, name):
    out = tmp_path / "results" / "out"
    odd = shutil.copy(image, tmp_path / name)
    assert run(model, odd, "-o", out, "--device", "cpu", "--save", "study")[0] == 0
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    (study,) = out.glob("*/study.json")
    assert (out / f"{study.parent.name}.nii.gz").is_file()


def test_case_has_labels_on_the_image_grid(model, image, tmp_path):
    out = tmp_path / "out"
    code, _ = run(model, image, "-o", out, "--device", "cpu")
    assert code == 0
    assert sorted(p.name for p in out.iterdir()) == [
        "patient7_frame01.json",
        "patient7_frame01.nii.gz",
    ]
    source, labels = nib.load(image), nib.load(out / "patient7_frame01.nii.gz")
    assert labels.shape == source.shape
    np.testing.assert_array_equal(labels.affine, source.affine)
    for field in ("pixdim", "qform_code", "sform_code", "xyzt_units", "quatern_b", "qoffset_x"):
        np.testing.assert_array_equal(labels.header[field], source.header[field])
    report = json.loads((out / "patient7_frame01.json").read_text())
    assert report["method"] == "multi"
    assert report["member_epochs"] == [1, 2, 3]
    assert report["ensemble_kind"] == "checkpoints"
    assert report["mirroring"] == "full"
    assert report["device"] == "cpu"
    assert report["seconds"] >= 0
    assert set(report["pairwise_dice"]) == set(report["volumes_ml"]) == {"RV", "MYO", "LV"}
    voxels = np.asarray(labels.dataobj)
    assert report["volumes_ml"]["LV"]["ensemble"] == pytest.approx(
        (voxels == 3).sum() * 1.2 * 1.9 * 8.0 / 1000, rel=1e-5
    )
    assert {"mean", "standard_deviation", "minimum", "maximum"} < set(report["volumes_ml"]["LV"])
    assert all("Not checked" in warning for warning in report["warnings"])


def test_maps_on_request(model, image, tmp_path):
    out = tmp_path / "out"
    maps = "entropy,mutual-information,probabilities,variance"
    assert run(model, image, "-o", out, "--save", maps)[0] == 0
    variance = nib.load(out / "patient7_frame01_variance.nii.gz").get_fdata()
    assert 0 < variance.max() <= 0.75
    entropy = nib.load(out / "patient7_frame01_entropy.nii.gz")
    information = nib.load(out / "patient7_frame01_mutual_information.nii.gz")
    with np.load(out / "patient7_frame01_probabilities.npz") as file:
        assert list(file) == ["probabilities"]
        stored = dict(file)
    assert stored["probabilities"].dtype == np.float32
    assert stored["probabilities"].shape == (4, 4, 24, 20)
    assert entropy.get_data_dtype() == information.get_data_dtype() == np.float32
    p = stored["probabilities"].astype(float)
    expected = -(p * np.log2(np.clip(p, 1e-30, None))).sum(axis=0)
    np.testing.assert_allclose(entropy.get_fdata().T, expected, atol=1e-4)
    assert (information.get_fdata() <= entropy.get_fdata() + 1e-6).all()
    labels = np.asarray(nib.load(out / "patient7_frame01.nii.gz").dataobj).T
    np.testing.assert_array_equal(labels, stored["probabilities"].argmax(axis=0))


def test_an_unknown_map_is_refused(model, image, tmp_path):
    code, said = run(model, image, "-o", tmp_path / "out", "--save", "spread")
    assert code == 1
    assert "--save" in said
    for name in (*SAVED_MAPS, "study", "spread"):
        assert name in said


def test_further_channels_belong_to_the_first(tmp_path):
    two = make_model(tmp_path / "model", channels=2, members=1)
    first = write_image(tmp_path / "a_0000.nii.gz", made_image((20, 24, 4)))
    second = write_image(tmp_path / "a_0001.nii.gz", made_image((20, 24, 4), seed=3))
    out = tmp_path / "out"
    assert run(two, first, second, "-o", out)[0] == 0
    assert sorted(p.name for p in out.iterdir()) == ["a.json", "a.nii.gz"]


def test_sentence_on_the_settings_is_said_once_a_run(model, images, tmp_path):
    code, said = run(model, *images, "-o", tmp_path / "out")
    assert code == 0
    sentence = FEWER_MEMBERS.format(used=3)
    assert said.count(sentence) == said.count(UNCALIBRATED) == 1
    for image in images:  # each report stands for itself
        assert (
            sentence in json.loads((tmp_path / f"out/{image.name[:4]}.json").read_text())["notes"]
        )


@pytest.mark.parametrize("flags", [("--method", "vanilla"), ("--method", "temperature")])
def test_single_model_writes_no_map_of_zeros(model, images, tmp_path, flags):
    start = (model, *images, "-o", tmp_path / "out", *flags)
    code, said = run(*start, "--save", "entropy,mutual-information,variance")
    assert code == 0
    for title in ("mutual information", "variance"):
        assert said.count(NO_MAP_OF_SINGLE.format(method=flags[1], map=title)) == 1
    maps = sorted(file.name for file in (tmp_path / "out").glob("*_*_*"))
    assert maps == ["p_ED_entropy.nii.gz", "p_ES_entropy.nii.gz"]
    code, said = run(*start, "--save", "entropy,mutual-information", "--continue")
    assert (code, said) == (0, "p_ED: finished before\np_ES: finished before\n")


@pytest.mark.parametrize(
    ("least", "warned"), [({}, True), ({"least_dice": 0.83}, False)], ids=["0.2.0", "fitted"]
)
def test_structure_with_a_low_expected_dice_warns(model, image, tmp_path, least, warned):
    copy = Path(shutil.copytree(model, tmp_path / "model"))
    folder, settings = find_ensemble(copy), SegmentationSettings(members=3)
    interval = IntervalRule(bias=0.0, half_width_80=0.1, half_width_90=0.2, patients=16)
    dice = {"any": {"RV": DiceRule(intercept=0.84, slope=0.0, interval=interval)}}
    key = calibration_key(folder, settings)
    write_calibration(folder, Calibration(temperature=1.2, cases=("a",), dice=dice, **key))
    file = copy / CALIBRATION_FILE
    content = json.loads(file.read_text())
    (entry,) = content["calibrations"]
    del entry["least_dice"]  # as in a file of version 0.2.0
    entry.update(least)
    file.write_text(json.dumps(content))
    code, said = run(copy, image, "-o", tmp_path / "out", "--members", 3)
    assert code == 0
    sentence = WEAK_STRUCTURE.format(name="RV", dice=0.84)
    report = json.loads((tmp_path / "out/patient7_frame01.json").read_text())
    assert (sentence in report["warnings"], sentence in said) == (warned, warned)


def test_phases_that_are_swapped_warn(model, cine, tmp_path):
    out = tmp_path / "out"
    assert run(model, cine, "-o", out)[0] == 0
    volumes = {}
    for phase in (1, 2, 3):
        report = json.loads((out / f"patient8_4d_frame{phase:02d}.json").read_text())
        volumes[phase] = report["volumes_ml"]["LV"]["ensemble"]
    small, large = min(volumes, key=volumes.get), max(volumes, key=volumes.get)
    (cine.parent / "Info.cfg").write_text(f"ED: {small}\nES: {large}\n")
    code, said = run(model, cine, "-o", tmp_path / "again", "--phases", "ED,ES")
    assert code == 0
    sentence = NO_STROKE.format(side="LV", edv=volumes[small], esv=volumes[large])
    assert said.count(sentence) == 1
    for phase in (small, large):
        report = json.loads((tmp_path / f"again/patient8_4d_frame{phase:02d}.json").read_text())
        assert sentence in report["warnings"]


def test_images_of_one_run_that_are_swapped_warn(model, images, tmp_path):
    out = tmp_path / "out"
    said = run(model, *images, "-o", out)[1]
    reports = [json.loads((out / f"p_{end}.json").read_text()) for end in ("ED", "ES")]
    edv, esv = (report["volumes_ml"]["LV"]["ensemble"] for report in reports)
    assert (NO_STROKE.format(side="LV", edv=edv, esv=esv) in said) == (edv < esv)
    for name, image in zip(("q_ES", "q_ED"), images, strict=True):
        shutil.copyfile(image, image.with_name(f"{name}.nii.gz"))
    swapped = [image.with_name(f"q_{end}.nii.gz") for end in ("ED", "ES")]
    said = run(model, *swapped, "-o", out)[1]
    assert (NO_STROKE.format(side="LV", edv=esv, esv=edv) in said) == (edv > esv)
    assert edv != esv
    assert not any("function" in json.loads(file.read_text()) for file in out.glob("*.json"))
    assert "which no heart has" not in run(model, swapped[0], "-o", out, "--overwrite")[1]


def test_more_members_than_asked_are_used_and_said(model, image, tmp_path):
    code, said = run(model, image, "-o", tmp_path / "out", "--members", 1)
    assert code == 0
    assert NO_CYCLES.format(used=3) in said


def test_single_is_refused_where_there_are_no_cycles(model, image, tmp_path):
    code, said = run(model, image, "-o", tmp_path / "out", "--method", "single")
    assert code == 1
    assert "(checkpoints)" in said


class TestExistingOutput:
    def test_is_kept_continued_or_overwritten_as_asked(self, model, image, tmp_path):
        out = tmp_path / "out"
        labels, report = (out / f"patient7_frame01.{ending}" for ending in ("nii.gz", "json"))
        run(model, image, "-o", out)
        before = [file.stat().st_mtime_ns for file in (labels, report)]
        code, said = run(model, image, "-o", out)
        assert code == 1
        assert "patient7_frame01.nii.gz" in said
        assert "--overwrite" in said
        again = (model, image, "-o", out, "--continue")
        assert run(*again) == (0, "patient7_frame01: finished before\n")
        assert [file.stat().st_mtime_ns for file in (labels, report)] == before
        for damaged in (None, "", "[]", "[" * 10**5):
            report.unlink() if damaged is None else report.write_text(damaged)
            assert "patient7_frame01: done" in run(*again)[1]
            assert json.loads(report.read_text())["method"] == "multi"
        labels.write_text("mine")
        assert run(model, image, "-o", out, "--overwrite", "--method", "vanilla")[0] == 0
        assert nib.load(labels).shape == (20, 24, 4)
        made = report.read_bytes()
        code, said = run(*again)
        assert code == 1
        assert "vanilla, 1 member" in said
        assert report.read_bytes() == made

    def test_continue_repeats_a_case_with_truncated_file(self, model, image, tmp_path):
        out = tmp_path / "out"
        wanted = (model, image, "-o", out, "--save", "entropy")
        run(*wanted)
        for file in ("", "_entropy"):
            damaged = out / f"patient7_frame01{file}.nii.gz"
            before = damaged.read_bytes()
            damaged.write_bytes(before[: len(before) // 2])
            assert "patient7_frame01: done" in run(*wanted, "--continue")[1]
            assert len(damaged.read_bytes()) == len(before)

    @pytest.mark.parametrize(
        "text", ['{"ED": Infinity, "ES": 1}', "[" * 10**5], ids=["inf", "nested"]
    )
    def test_a_damaged_report_names_no_phases(self, tmp_path, text):
        (tmp_path / "heart_frame01.json").write_text(text)
        assert finished_phases(tmp_path, "heart", "ED,ES") == ()

    @pytest.mark.parametrize("phases", ["all", "1,3", "ED,ES"])
    def test_continue_does_not_read_a_finished_cine(
        self, model, cine, tmp_path, phases, monkeypatch
    ):
        wanted = (model, cine, "-o", tmp_path / "out", "--phases", phases, "--save", "study")
        assert run(*wanted)[0] == 0
        monkeypatch.setattr(case_image, "read_channels", lambda path: pytest.fail("It was read."))
        assert run(*wanted, "--continue") == (0, "patient8_4d: finished before\n")

    def test_continue_refuses_the_results_of_another_image(self, model, image, tmp_path):
        out = tmp_path / "out"
        run(model, image, "-o", out)
        write_image(image, made_image((20, 24, 4), seed=7))
        code, said = run(model, image, "-o", out, "--continue")
        assert code == 1
        assert f"patient7_frame01.json in {out}" in said
        assert "--overwrite" in said
        assert run(model, image, "-o", out, "--overwrite")[0] == 0
        assert "finished before" in run(model, image, "-o", out, "--continue")[1]

    def test_new_ed_and_es_remove_the_old(self, model, cine, tmp_path):
        out = tmp_path / "out"
        for phases in ("ED: 1\nES: 2\n", "ED: 2\nES: 3\n"):
            (cine.parent / "Info.cfg").write_text(phases)
            assert run(model, cine, "-o", out, "--phases", "ED,ES", "--overwrite")[0] == 0
        names = sorted(file.name for file in out.glob("*.json"))
        assert names == ["patient8_4d_frame02.json", "patient8_4d_frame03.json"]

    def test_reports_of_ed_and_es_have_the_function(self, model, cine, tmp_path):
        out = tmp_path / "out"
        (cine.parent / "Info.cfg").write_text("ED: 1\nES: 3\n")
        code, said = run(model, cine, "-o", out, "--phases", "ED,ES")
        assert code == 0
        assert f"ED is phase 1, ES is phase 3 ({INFO_CFG})." in said
        files = [out / f"patient8_4d_frame0{phase}.json" for phase in (1, 3)]
        reports = [json.loads(file.read_text()) for file in files]
        assert {(report["ED"], report["ES"]) for report in reports} == {(1, 3)}
        first, second = (report.pop("function", None) for report in reports)
        volumes = [report["volumes_ml"]["LV"]["ensemble"] for report in reports]
        assert first == second
        assert first["LV SV"]["value"] == pytest.approx(volumes[0] - volumes[1])
        # A run that was killed before it wrote them is completed.
        files[1].write_text(json.dumps(reports[1]))
        again = (model, cine, "-o", out, "--phases", "ED,ES", "--continue")
        assert run(*again) == (0, "patient8_4d: finished before\n")
        assert json.loads(files[1].read_text())["function"] == first

    def test_ed_and_es_of_two_runs_have_the_function(self, model, cine, tmp_path):
        out = tmp_path / "out"
        (cine.parent / "Info.cfg").write_text("ED: 1\nES: 3\n")
        files = [out / f"patient8_4d_frame0{phase}.json" for phase in (1, 3)]
        functions = []
        for phase, options in (("1", ()), ("3", ()), ("1", ("--overwrite", "--method", "vanilla"))):
            assert run(model, cine, "-o", out, "--phases", phase, *options)[0] == 0
            reports = [json.loads(file.read_text()) for file in files if file.is_file()]
            functions.append([report.get("function") for report in reports])
        assert functions[0] == functions[2][:1] == functions[2][1:] == [None]
        assert functions[1][0] == functions[1][1] is not None

    def test_killed_replacement_leaves_no_function_of_the_old(
        self, model, cine, tmp_path, monkeypatch
    ):
        out = tmp_path / "out"
        (cine.parent / "Info.cfg").write_text("ED: 1\nES: 3\n")
        assert run(model, cine, "-o", out, "--phases", "ED,ES")[0] == 0

        class Killed(BaseException):
            pass

        def killed(*_, **__):
            raise Killed

        monkeypatch.setattr("napari_bayes_nnunet.app.prediction.predict.write_case", killed)
        with pytest.raises(Killed):
            run(model, cine, "-o", out, "--phases", "1", "--overwrite")
        assert "function" not in json.loads((out / "patient8_4d_frame03.json").read_text())

    def test_parts_of_an_incomplete_study_are_repeated(self, model, cine, tmp_path):
        out = tmp_path / "out"
        run(model, cine, "-o", out, "--method", "vanilla", "--save", "study")
        shutil.rmtree(out / "patient8_4d")
        (out / "patient8_4d.nii.gz").unlink()
        (out / "patient8_4d_frame03.json").unlink()
        assert run(model, cine, "-o", out, "--save", "study", "--continue")[0] == 0
        report = json.loads((out / "patient8_4d_frame01.json").read_text())
        assert report["method"] == "multi"

    @pytest.mark.parametrize("flags", [(), ("--overwrite",), ("--continue",), ("--jsonl",)])
    def test_an_image_is_never_replaced(self, model, cine, flags):
        other = write_image(cine.with_name("patient8_4d_frame02.nii.gz"), made_image((20, 24, 4)))
        before = other.read_bytes()
        code, said = run(model, cine, "-o", cine.parent, "--phases", "2", *flags)
        assert code == 1
        assert str(cine.parent) in said
        assert other.read_bytes() == before

    def test_results_never_lie_inside_a_study(self, model, image, cine, tmp_path):
        run(model, cine, "-o", tmp_path / "out", "--phases", "2", "--save", "study")
        study = tmp_path / "out" / "patient8_4d"
        before = sorted(study.rglob("*"))
        code, said = run(model, image, "-o", study, "--continue")
        assert code == 1
        assert str(study) in said
        assert sorted(study.rglob("*")) == before

    def test_continue_repeats_a_study_with_truncated_posterior(self, model, cine, tmp_path):
        wanted = (model, cine, "-o", tmp_path / "out", "--phases", "1", "--save", "study")
        run(*wanted)
        damaged = tmp_path / "out" / "patient8_4d" / "posterior" / "phase01.npz"
        damaged.write_bytes(damaged.read_bytes()[:-9])
        assert "patient8_4d: done" in run(*wanted, "--continue")[1]
        assert read_study(tmp_path / "out" / "patient8_4d").problems == ()

    def test_continue_refuses_another_training_of_the_name(self, model, image, tmp_path):
        out, other = tmp_path / "out", shutil.copytree(model, tmp_path / model.name)
        first, second = (other / "fold_0" / f"checkpoint_epoch_{n}.pth" for n in (1, 2))
        shutil.copyfile(first, second)
        study = ("-o", out, "--save", "study")
        assert run(model, image, *study)[0] == 0
        before = {f: f.read_bytes() for f in out.rglob("*") if f.is_file()}
        code, said = run(other, image, *study, "--continue")
        assert code == 1
        assert f"{model.name} fold 0 epoch 2" in said
        assert before == {f: f.read_bytes() for f in out.rglob("*") if f.is_file()}
        (out / "patient7_frame01.json").unlink()
        code, said = run(other, image, *study, "--continue")
        assert code == 1
        assert "study.json" in said
        assert not (out / "patient7_frame01.json").exists()

    def test_continue_asks_how_many_members_were_wanted(self, model, image, tmp_path):
        out = tmp_path / "out"
        wanted = ("-o", out, "--until-stable", "--continue")
        run(model, image, "-o", out, "--until-stable")
        code, said = run(model, image, *wanted)
        assert (code, "finished before" in said) == (0, True)
        code, said = run(model, image, "-o", out, "--continue")
        assert code == 1
        assert "members, until stable, mirroring full" in said  # as it was made

    def test_references_of_a_dataset_are_never_replaced(self, model, tmp_path):
        image = write_image(tmp_path / "heart.nii.gz", made_image((20, 24, 4)))
        folder = tmp_path / "Dataset001_heart" / "labelsTr"
        reference = folder / "heart.nii.gz"
        write_labels(reference, np.ones((4, 24, 20), np.uint8), read_volume(image))
        (folder.parent / "dataset.json").write_text("{}")
        before = reference.read_bytes()
        for flag in ("--continue", "--overwrite"):
            code, said = run(model, image, "-o", folder, flag)
            assert code == 1
            values = {"folder": folder, "contents": "cases of a dataset"}
            assert OUTPUT_IS_INPUT.format(**values) in said
        assert reference.read_bytes() == before

    def test_the_image_itself_is_never_replaced(self, model, tmp_path):
        image = write_image(tmp_path / "heart.nii.gz", made_image((20, 24, 4)))
        before = image.read_bytes()
        code, said = run(model, image, "-o", tmp_path, "--overwrite")
        assert code == 1
        assert IS_IMAGE.format(image=image) in said
        assert image.read_bytes() == before


def broken(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that cannot be segmented: name → (file, a part of the sentence)."""
    good = made_image((20, 24, 4))
    holes = good.copy()
    holes[3, 4, 2] = np.nan
    infinite = good.copy()
    infinite[3, 4, 2] = np.inf
    whole = write_image(folder / "whole.nii.gz", good).read_bytes()
    cut = folder / "cut.nii.gz"
    cut.write_bytes(whole[: len(whole) // 2])
    text = folder / "text.nii.gz"
    text.write_text("this is no image")
    flat = write_image(folder / "zoom.nii", good)
    content = bytearray(flat.read_bytes())
    content[80:84] = np.float32(0).tobytes()  # pixdim[1]
    flat.write_bytes(content)
    blank = write_image(folder / "empty.nii.gz", np.zeros_like(good))
    return {
        "nan": (write_image(folder / "nan.nii.gz", holes), "NaN"),
        "inf": (write_image(folder / "inf.nii.gz", infinite), "infinity"),
        "empty": (blank, BLANK_IMAGE.format(file=blank)),
        "2d": (write_image(folder / "flat.nii.gz", good[..., 0], zooms=(1.2, 1.9)), "[20, 24]"),
        "cut": (cut, TRUNCATED.format(file=cut)),
        "no nifti": (text, NO_NIFTI.format(file=text)),
        "zero spacing": (flat, "pacing"),
        "missing": (folder / "missing.nii.gz", "not exist"),
    }


def test_bad_images_are_named_and_others_segmented(model, image, tmp_path):
    files = broken(tmp_path)
    out = tmp_path / "out"
    request = PredictionRequest(images=(*(f for f, _ in files.values()), image), output=out)
    outcomes = list(predict(Ensemble(model, device="cpu"), request))
    for outcome, (file, words) in zip(outcomes, files.values(), strict=False):
        assert file.name in outcome.failure
        assert words.lower() in outcome.failure.lower()
        assert "\n" not in outcome.failure
    assert outcomes[-1].failure == ""
    assert sorted(p.name for p in out.iterdir()) == [
        "patient7_frame01.json",
        "patient7_frame01.nii.gz",
    ]


def test_wrong_number_of_channels_is_named(image, tmp_path):
    two = make_model(tmp_path / "model", channels=2, members=1)
    code, said = run(two, image, "-o", tmp_path / "out")
    assert code == 1
    assert all(value in said for value in ("2 channels", "cine0, cine1", "1."))
    assert not (tmp_path / "out").exists()


def test_images_with_one_name_raise(model, image, tmp_path):
    voxels = made_image((20, 24, 4), seed=5)
    upper = image.name.replace("patient", "PATIENT")  # the same file on some systems
    for twin in (image.with_name(upper), tmp_path / "other" / image.name):
        write_image(twin, voxels)
        out = tmp_path / f"out {twin.parent.name}"
        code, said = run(model, image, twin, "-o", out)
        assert code == 1
        assert NAME_TAKEN.format(name=twin.name.removesuffix("_0000.nii.gz")) in said
        assert (out / "patient7_frame01.json").exists()


class TestCine:
    def test_all_phases_give_3d_files_and_4d_file(self, model, cine, tmp_path):
        out = tmp_path / "out"
        assert run(model, cine, "-o", out)[0] == 0
        names = [f"patient8_4d_frame{p:02d}" for p in (1, 2, 3)]
        expected = [f"{n}{e}" for n in names for e in (".json", ".nii.gz")]
        assert sorted(p.name for p in out.iterdir()) == sorted([*expected, "patient8_4d.nii.gz"])
        whole, source = nib.load(out / "patient8_4d.nii.gz"), nib.load(cine)
        assert whole.shape == source.shape
        np.testing.assert_array_equal(whole.header["pixdim"], source.header["pixdim"])
        for phase, name in enumerate(names):
            frame = nib.load(out / f"{name}.nii.gz")
            assert frame.shape == source.shape[:3]
            np.testing.assert_array_equal(frame.affine, source.affine)
            np.testing.assert_array_equal(
                np.asarray(frame.dataobj), np.asarray(whole.dataobj)[..., phase]
            )
            assert json.loads((out / f"{name}.json").read_text())["phase"] == phase + 1

    def test_numbers_from_1(self, model, cine, tmp_path):
        out = tmp_path / "out"
        assert run(model, cine, "-o", out, "--phases", "1,3")[0] == 0
        assert {p.name for p in out.glob("*.nii.gz")} == {
            "patient8_4d_frame01.nii.gz",
            "patient8_4d_frame03.nii.gz",
        }

    def test_phases_together_and_a_card_give_the_same_files(
        self, model, cine, tmp_path, monkeypatch
    ):
        def made(name: str) -> dict[Path, np.ndarray]:
            assert run(model, cine, "-o", tmp_path / name, "--save", "entropy,study")[0] == 0
            files = (tmp_path / name).rglob("*.nii.gz")
            return {
                file.relative_to(tmp_path / name): np.asarray(nib.load(file).dataobj)
                for file in files
            }

        alone = made("alone")
        assert len(alone) >= 3 * 2 + 1
        with monkeypatch.context() as patch:
            patch.setattr(Ensemble, "is_on_card", True)
            for name, voxels in made("card").items():
                np.testing.assert_array_equal(voxels, alone[name])
        monkeypatch.setattr(Ensemble, "phases_at_once", lambda self, image, mirroring: 2)
        for name, voxels in made("together").items():
            np.testing.assert_allclose(voxels, alone[name], atol=1e-5)

    def test_repeated_phase_removes_the_4d_labels(self, model, cine, tmp_path):
        out = tmp_path / "out"
        run(model, cine, "-o", out)
        assert (out / "patient8_4d.nii.gz").exists()
        assert run(model, cine, "-o", out, "--phases", "2", "--overwrite")[0] == 0
        assert not (out / "patient8_4d.nii.gz").exists()
        assert (out / "patient8_4d_frame01.nii.gz").exists()

    @pytest.mark.parametrize("cine_first", [True, False])
    def test_a_frame_and_an_image_of_one_name(self, model, cine, tmp_path, cine_first):
        twin = write_image(tmp_path / "in" / "patient8_4d_frame02.nii.gz", made_image((20, 24, 4)))
        images = (cine, twin) if cine_first else (twin, cine)
        code, said = run(model, *images, "-o", tmp_path / "out", "--phases", "2", "--overwrite")
        assert code == 1
        assert NAME_TAKEN.format(name="patient8_4d_frame02") in said

    def test_a_phase_that_is_not_there(self, model, cine, tmp_path):
        code, said = run(model, cine, "-o", tmp_path / "out", "--phases", "4")
        assert code == 1
        assert "phase 4" in said
        assert "1 to 3" in said

    @pytest.mark.parametrize(("ed", "es"), [(1, 9), (2, 2)])
    def test_wrong_info_cfg_is_said(self, model, cine, tmp_path, ed, es):
        file = cine.parent / "Info.cfg"
        file.write_text(f"ED: {ed}\nES: {es}\n")
        sentence = str(DataError(WRONG_INFO_CFG, file=file, ed=ed, es=es))
        code, said = run(model, cine, "-o", tmp_path / "a", "--phases", "ED,ES")
        assert code == 1
        assert sentence in said
        code, said = run(model, cine, "-o", tmp_path / "b", "--phases", "2")
        assert code == 0
        assert sentence in said
        report = json.loads((tmp_path / "b" / "patient8_4d_frame02.json").read_text())
        assert sentence in report["notes"]
        assert "ED" not in report

    def test_ed_and_es_found_by_the_lv_volume(self, model, cine, tmp_path):
        ensemble = Ensemble(model, device="cpu")
        request = PredictionRequest(images=(cine,), output=tmp_path / "out", phases="ED,ES")
        (outcome,) = predict(ensemble, request)
        stack = np.asarray(nib.load(cine).dataobj).T[None]
        ed, es = ensemble.find_phases(stack, (8.0, 1.9, 1.2))
        assert outcome.notes[0] == f"ED is phase {ed}, ES is phase {es} ({FOUND_BY_VOLUME})."
        assert BLANK_PHASES.format(phases="phase 2") not in outcome.notes

    def test_ed_and_es_are_found_next_to_a_blank_phase(self, model, cine, tmp_path):
        image = nib.load(cine)
        voxels = np.asarray(image.dataobj).copy()
        voxels[..., 1] = 0
        file = tmp_path / "blank_4d.nii.gz"
        nib.save(nib.Nifti1Image(voxels, image.affine, image.header), file)
        request = PredictionRequest(images=(file,), output=tmp_path / "out", phases="ED,ES")
        (outcome,) = predict(Ensemble(model, device="cpu"), request)
        assert outcome.notes[1] == BLANK_PHASES.format(phases="phase 2")
        assert set(outcome.phases) <= {1, 3}
        for phase in outcome.phases:
            report = json.loads((tmp_path / "out" / f"blank_4d_frame{phase:02d}.json").read_text())
            assert report["notes"][:2] == list(outcome.notes[:2])


@pytest.mark.parametrize("text", ["", "0", "ED", "1,x", "-2", "8,8", "ED,ED"])
def test_invalid_phases_raise(text):
    with pytest.raises(AppError) as caught:
        parse_phases(text)
    assert caught.value.values == {"text": text}


def test_valid_phases_are_parsed():
    assert parse_phases("all") == "all"
    assert parse_phases("ed, es") == "ED,ES"
    assert parse_phases("8,1") == [1, 8]


def test_as_a_command_without_any_nnunet_variable(model, image, tmp_path):
    clean = {k: v for k, v in os.environ.items() if not k.lower().startswith("nnunet")}
    command = [sys.executable, "-m", "napari_bayes_nnunet", "predict"]
    done = subprocess.run(
        [*command, model, image, "-o", tmp_path / "out"], env=clean, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "patient7_frame01: done" in done.stdout
    assert "Traceback" not in done.stderr


class TestDicom:
    @pytest.fixture
    def folder(self, tmp_path) -> Path:
        """A cine of three phases, in a folder with the patient's name, a long axis beside it."""
        voxels = made_image((20, 24, 4, 3)).T
        voxels = (100 * (voxels - voxels.min())).astype(np.int16)
        dicoms.write_cine(tmp_path / "Doe_Jane" / "a", voxels, series_per_slice=True)
        for t in range(3):
            file = tmp_path / "Doe_Jane" / f"lax{t}"
            across = [*dicoms.ROW, *dicoms.TO_APEX]
            about = {"description": "4ch", "ImageOrientationPatient": across}
            dicoms.slice_file(file, voxels[t, 0], t=t, series=30, **about)
        return tmp_path / "Doe_Jane"

    def segment(self, model, folder, out, **asked) -> list[CaseOutcome]:
        """What the folder itself comes to; the command searches it for studies instead."""
        request = PredictionRequest(images=(folder,), output=out, **asked)
        return list(predict(Ensemble(model, device="cpu"), request))

    def test_folder_is_a_case_with_a_pseudonym(self, model, folder, tmp_path):
        out = tmp_path / "out"
        save = frozenset({"entropy", "study"})
        (outcome,) = self.segment(model, folder, out, phases="1,3", save=save)
        case = outcome.case
        assert re.fullmatch(r"dicom-\w{16}", case)
        assert outcome.phases == (1, 3)
        volume = read_dicom(folder)
        for phase in (1, 3):
            labels = read_labels(out / f"{case}_frame{phase:02d}.nii.gz")
            assert labels.geometry.same_grid(volume.geometry.frame())
        report = json.loads((out / f"{case}_frame01.json").read_text())
        assert (report["case"], report["image"]) == (f"{case}_frame01", case)
        study = read_study(out / case)
        assert study.info.image is None
        image = read_volume(find_image(study.info, study.folder))
        assert np.array_equal(image.voxels, volume.voxels)
        (again,) = self.segment(model, folder, out, phases="1,3", save=save, skip_finished=True)
        assert (again.skipped, again.failure, again.phases) == (True, "", (1, 3))

    def test_invalid_uids_are_a_note(self, model, folder, tmp_path):
        for file in (one for one in folder.rglob("*") if one.is_file()):
            with tolerant_reading():
                image = pydicom.dcmread(file)
                image.FrameOfReferenceUID = "1.2.03"
                image.save_as(file)
        (outcome,) = self.segment(model, folder, tmp_path / "out", phases="1")
        (note,) = map(str, read_dicom(folder).notes)
        assert note in outcome.notes
        report = json.loads((tmp_path / "out" / f"{outcome.case}_frame01.json").read_text())
        assert note in report["notes"]

    def test_patient_is_named_in_a_file_for_its_owner_only(self, model, folder, tmp_path):
        out = tmp_path / "out"
        (outcome,) = self.segment(model, folder, out, phases="1", save=frozenset({"study"}))
        assert outcome.failure == ""
        for file in (one for one in out.rglob("*") if one.is_file()):
            content = file.read_bytes()
            content = gzip.decompress(content) if file.suffix == ".gz" else content
            if file == out / outcome.case / PATIENT_FILE:
                assert stat.S_IMODE(file.stat().st_mode) == 0o600
                assert read_study(file.parent).patient.title.startswith("Doe, Jane (MRN-4711) · ")
                continue
            for word in (b"Doe", b"Jane", b"MRN-4711", b"1950"):
                assert word not in content, file
                assert word.decode() not in str(file.relative_to(out))
        assert (out / outcome.case / PATIENT_FILE).exists()

    def test_another_cine_in_folder_of_name_is_refused(self, model, folder, tmp_path):
        asked = {"phases": "1", "folder_names": True, "skip_finished": True}
        (outcome,) = self.segment(model, folder, tmp_path / "out", **asked)
        assert outcome.case == "Doe_Jane"
        assert (tmp_path / "out" / "Doe_Jane_frame01.nii.gz").exists()
        (folder / "notes").write_text("no image")
        (again,) = self.segment(model, folder, tmp_path / "out", **asked)
        assert (again.skipped, again.failure) == (True, "")
        voxels = made_image((40, 50, 4, 3), seed=5).T.astype(np.int16)
        dicoms.write_cine(folder / "a", voxels, series_per_slice=True)
        (again,) = self.segment(model, folder, tmp_path / "out", **asked)
        assert not again.skipped
        assert "Doe_Jane_frame01.json" in again.failure

    def test_two_cines_need_a_series(self, model, folder, tmp_path):
        dicoms.write_cine(folder / "b", made_image((20, 24, 4, 3)).T.astype(np.int16), series=50)
        out = tmp_path / "out"
        (outcome,) = self.segment(model, folder, out)
        assert "--series" in outcome.failure
        (outcome,) = self.segment(model, folder, out, phases="1", series=50)
        assert outcome.failure == ""

    def test_a_folder_without_dicom(self, model, tmp_path):
        (outcome,) = self.segment(model, tmp_path, tmp_path / "out")
        assert NO_DICOM.format(path=tmp_path) in outcome.failure
