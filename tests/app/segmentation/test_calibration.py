"""Calibrations fitted on the validation cases of a training, and their use."""

from __future__ import annotations

import json
import math
import os
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.prediction.function_entry import read_pairs
from napari_bayes_nnunet.app.segmentation import calibrate as calibrate_module
from napari_bayes_nnunet.app.segmentation.calibrate import (
    ARRAYS,
    NOTHING_HELD_BACK,
    OTHER_LABELS,
    TOO_FEW,
    CalibrationCase,
    calibrate,
    fit_calibration,
    fit_kind_of_images,
    measure_training_labels,
)
from napari_bayes_nnunet.app.segmentation.calibration import (
    OTHER_WEIGHTS,
    Calibration,
    calibration_key,
    calibration_notes,
    chosen_temperature,
    find_calibration,
    find_image_rule,
    fitted_temperature,
    read_calibrations,
    usual_window,
    write_calibration,
)
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.core.heart.measurements import Spread
from napari_bayes_nnunet.core.heart.plausibility import MassRange
from napari_bayes_nnunet.core.metrics import cine_rule
from napari_bayes_nnunet.core.metrics.calibration import fit_temperature, foreground_box
from napari_bayes_nnunet.core.metrics.conformal import IntervalRule, RemainingChange
from napari_bayes_nnunet.core.metrics.expected_dice import DiceRule
from napari_bayes_nnunet.core.problems import Action, Remedy, Statement
from napari_bayes_nnunet.core.review.stop_rule import ReferencedVolume
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset.patients import DEFAULT_PATIENT
from napari_bayes_nnunet.io.dataset.raw_dataset import RawDataset, read_dataset
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.ensemble.fingerprint import CALIBRATION_FILE as FILE
from napari_bayes_nnunet.io.ensemble.run_folder import read_record
from napari_bayes_nnunet.io.ensemble.unfinished_calibration import KEPT_CASES, UnfinishedCalibration
from napari_bayes_nnunet.io.files.json_files import NEWER_JSON
from napari_bayes_nnunet.io.images.nifti import (
    NO_NIFTI,
    read_channels,
    read_labels,
    read_volume,
    write_image,
    write_labels,
)
from napari_bayes_nnunet.io.study.case_report import interval_rules, mass_range
from tests.helpers.checks.problems import says, says_only
from tests.helpers.data.models import make_model
from tests.helpers.processes.kills import killed_anywhere

ASKED = ("--mirroring", "none", "--window", "whole", "--device", "cpu")


def run(command: str, *arguments: object) -> tuple[int, str]:
    outcome = CliRunner().invoke(main, [command, *map(str, arguments)])
    if outcome.exception and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome.exit_code, outcome.output


@pytest.fixture(scope="module")
def calibrated(trained_run: Path, hearts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run with the temperatures of two methods."""
    copy = tmp_path_factory.mktemp("calibrated") / "run"
    shutil.copytree(trained_run, copy, ignore=shutil.ignore_patterns("nnunet_data"))
    for method in ("temperature", "multi"):
        code, text = run("calibrate", copy, hearts, "--method", method, *ASKED)
        assert code == 0, text
        assert "Temperature " in text
        assert TOO_FEW in text
    return copy


def rows_of(model: Path) -> list[dict[str, Any]]:
    return json.loads((model / FILE).read_text())["calibrations"]


def settings_of(method: str, **others: Any) -> SegmentationSettings:
    return SegmentationSettings(method=method, mirroring="none", window="whole", **others)


def test_temperature_is_fitted_on_validation_cases(calibrated, hearts) -> None:
    ensemble = Ensemble(calibrated, device="cpu")
    held_back = read_record(calibrated / "ensemble.json").folds["0"]["validation_cases"]
    probabilities, labels = [], []
    for case in read_dataset(hearts).cases:
        if case.name in held_back:
            (volume,) = read_channels(case.images[0])
            result = ensemble.segment(
                *(volume.voxels, volume.spacing),
                method="vanilla",
                mirroring="none",
                temperature=1,
            )
            reference = read_labels(case.label).voxels
            box = foreground_box(reference)
            probabilities.append(result.probabilities[(slice(None), *box)].reshape(4, -1))
            labels.append(reference[box].ravel())
    expected = fit_temperature(np.hstack(probabilities), np.hstack(labels))
    found = fitted_temperature(ensemble.folder, settings_of("temperature"))
    assert found == pytest.approx(expected, abs=1e-3)
    same = fitted_temperature(ensemble.folder, settings_of("vanilla", members=1))
    assert same == found
    rows = rows_of(calibrated)
    assert [(row["method"], row["mirroring"]) for row in rows] == [
        *((method, "full") for method in ("multi", "single", "vanilla")),  # of the training
        ("vanilla", "none"),
        ("multi", "none"),
    ]
    assert all(row["cases"] == held_back for row in rows)


def test_interrupted_calibration_until_stable_is_resumed(
    calibrated, hearts, tmp_path, monkeypatch
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(calibrated, copy)
    settings = settings_of("multi", until_stable=True)
    ensemble = Ensemble(copy, device="cpu")
    first = next(calibrate(ensemble, hearts, settings))  # and here it is killed
    assert find_ensemble(copy).usable_members == ensemble.folder.usable_members
    computed: list[object] = []
    steps = Ensemble.steps
    monkeypatch.setattr(Ensemble, "steps", lambda *a, **k: computed.append(a) or steps(*a, **k))
    code, text = run("calibrate", copy, hearts, *ASKED, "--until-stable")
    assert code == 0, text
    cases = rows_of(copy)[-1]["cases"]
    assert (first.name, len(computed)) == (cases[0], len(cases) - 1)
    assert not (copy / KEPT_CASES).exists()
    assert rows_of(copy)[-1]["until_stable"] is True
    whole = list(calibrate(ensemble, hearts, settings))[-1]
    assert whole == find_calibration(Ensemble(copy, device="cpu").folder, settings)
    assert len(computed) == 2 * len(cases) - 1


def test_case_that_cannot_be_segmented_is_left_out(calibrated, hearts, tmp_path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(calibrated, copy)
    data = tmp_path / "data"
    shutil.copytree(hearts, data)
    names = read_record(copy / "ensemble.json").folds["0"]["validation_cases"]
    first, second = (case for case in read_dataset(data).cases if case.name in names)
    volume = read_volume(first.images[0])
    write_image(first.images[0], np.full_like(volume.voxels, 5), volume)
    code, text = run("calibrate", copy, data, "--method", "vanilla", *ASKED)
    assert code == 0, text
    assert first.name in text
    assert rows_of(copy)[-1]["cases"] == [second.name]
    ensemble = Ensemble(copy, device="cpu")
    first.label.write_bytes(b"")
    second.images[0].write_bytes(b"")
    steps = calibrate(ensemble, data, settings_of("vanilla"))
    assert [isinstance(next(steps), Statement) for _ in range(2)] == [True, True]
    with pytest.raises(DataError, check=says(NO_NIFTI, file=first.label)):
        next(steps)


def test_case_with_voxels_to_ignore_is_left_out(calibrated, hearts, tmp_path) -> None:
    data = tmp_path / "data"
    shutil.copytree(hearts, data)
    names = read_record(calibrated / "ensemble.json").folds["0"]["validation_cases"]
    first, second = (case for case in read_dataset(data).cases if case.name in names)
    content = json.loads((data / "dataset.json").read_text())
    content["labels"]["ignore"] = len(content["labels"])
    (data / "dataset.json").write_text(json.dumps(content))
    labels = read_labels(first.label)
    labels.voxels[0, :2, 0] = content["labels"]["ignore"]
    write_labels(first.label, labels.voxels, labels)
    steps = calibrate(Ensemble(calibrated, device="cpu"), data, settings_of("vanilla"))
    problem, compared = next(steps), next(steps)
    assert isinstance(problem, Statement)
    assert problem.values["case"] == first.name
    assert problem.values["reason"].values == {"case": first.name, "voxels": "2 voxels"}
    assert isinstance(compared, CalibrationCase)
    assert compared.name == second.name


def test_predict_uses_the_fitted_temperature(calibrated, hearts, tmp_path) -> None:
    image = read_dataset(hearts).cases[0].images[0]
    start = (calibrated, image, "-o", tmp_path)
    for given, expected, said in (
        ("fitted", 1, "bayes-nnunet calibrate"),
        ("warm", 2, "'warm'"),
        ("0", 1, "0.0"),
    ):
        code, text = run("predict", *start, "--method", "swa", "--temperature", given)
        assert code == expected
        assert said in text
        assert not any(tmp_path.iterdir())
    start = (*start, "--method", "multi", *ASKED)
    code, text = run("predict", *start, "--temperature", "fitted")
    assert code == 0, text
    (report,) = tmp_path.glob("*.json")
    assert json.loads(report.read_text())["temperature"] == rows_of(calibrated)[-1]["temperature"]
    code, text = run("predict", *start, "--temperature", "2.5", "--continue")
    assert code == 1
    assert "temperature 2.5" in text


def test_predict_takes_the_window_of_the_calibration(calibrated, hearts, tmp_path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(calibrated, copy)
    content = json.loads((copy / FILE).read_text())
    whole = [row for row in content["calibrations"] if row["window"] == "whole"]
    (copy / FILE).write_text(json.dumps({**content, "calibrations": whole}))
    image = read_dataset(hearts).cases[0].images[0]
    for window, option in (("whole", ()), ("heart", ("--window", "heart"))):
        start = (copy, image, "-o", tmp_path / window, "--mirroring", "none", *option)
        code, text = run("predict", *start)
        assert code == 0, text
        (report,) = (tmp_path / window).glob("*.json")
        assert json.loads(report.read_text())["window"] == window
    channels = read_channels(image)
    result = Ensemble(copy, device="cpu").segment(
        channels[0].voxels, channels[0].spacing, mirroring="none"
    )
    assert result.settings.window == "whole"


def test_temperature_that_was_not_fitted_raises(calibrated) -> None:
    folder = Ensemble(calibrated, device="cpu").folder
    with pytest.raises(AppError) as caught:
        fitted_temperature(folder, SegmentationSettings(method="swa"))
    assert caught.value.values == {
        "method": "swa",
        "members": 30,
        "mirroring": "full",
        "window": "heart",
        "largest_component": "on",
    }
    command = f"bayes-nnunet calibrate {calibrated} DATASET --method swa --members 30"
    _, remedy = caught.value.remedies
    options = "--mirroring full --window heart --largest-component on"
    assert remedy == Remedy(Action.RUN, {"command": f"{command} {options}"})
    with pytest.raises(AppError) as caught:
        fitted_temperature(folder, settings_of("multi", until_stable=True))
    command = caught.value.remedies[1].values["command"]
    assert command.endswith("--window whole --largest-component on --until-stable")


def test_members_of_several_folds_are_refused(tmp_path, hearts) -> None:
    model = make_model(tmp_path, members=1)
    shutil.copytree(model / "fold_0", model / "fold_1")
    ensemble = Ensemble(model, device="cpu")
    with pytest.raises(AppError, check=says_only(folds="0, 1")):
        list(calibrate(ensemble, hearts, settings_of("multi", members=3)))


def deep_ensemble(
    folder: Path, run: Path, *, second: dict[str, list[str]]
) -> tuple[Ensemble, SegmentationSettings]:
    """Copy a run twice, the second with another split, and return them as one ensemble."""
    for name in "ab":
        shutil.copytree(run, folder / name, ignore=shutil.ignore_patterns("nnunet_data"))
        (folder / name / FILE).unlink(missing_ok=True)
    record = folder / "b" / "ensemble.json"
    content = json.loads(record.read_text())
    content["folds"]["0"] |= second
    record.write_text(json.dumps(content))
    return Ensemble(folder, device="cpu"), settings_of("deep-ensemble", members=2)


def test_cases_that_another_training_has_seen_are_left_out(trained_run, hearts, tmp_path) -> None:
    fold = read_record(trained_run / "ensemble.json").folds["0"]
    (*kept, first), trained = fold["validation_cases"], fold["training_cases"]
    second = {"training_cases": [*trained[1:], first], "validation_cases": [*kept, trained[0]]}
    ensemble, settings = deep_ensemble(tmp_path / "two", trained_run, second=second)
    cases = [
        c.name for c in calibrate(ensemble, hearts, settings) if isinstance(c, CalibrationCase)
    ]
    assert sorted(cases) == sorted(kept)
    none = {"training_cases": fold["validation_cases"], "validation_cases": trained}
    ensemble, settings = deep_ensemble(tmp_path / "none", trained_run, second=none)
    with pytest.raises(AppError, check=says(NOTHING_HELD_BACK)):
        list(calibrate(ensemble, hearts, settings))


def test_temperature_of_another_training_or_fold_is_not_used(calibrated) -> None:
    folder = Ensemble(calibrated, device="cpu").folder
    assert fitted_temperature(folder, settings_of("multi"))
    for change in ({"sha256": "0" * 64}, {"fold": "1"}):
        other = replace(folder, members=tuple(replace(m, **change) for m in folder.members))
        with pytest.raises(AppError) as caught:
            fitted_temperature(other, settings_of("multi"))
        assert [remedy.action for remedy in caught.value.remedies] == [Action.SET, Action.RUN]
    with pytest.raises(AppError):
        fitted_temperature(replace(folder, plans_sha256="0" * 64), settings_of("multi"))
    unknown = replace(folder, members=tuple(replace(m, sha256="") for m in folder.members))
    assert fitted_temperature(unknown, settings_of("multi"))


def test_read_only_ensemble_is_refused_before_the_work(calibrated, hearts, monkeypatch) -> None:
    ensemble = Ensemble(calibrated, device="cpu")
    monkeypatch.setattr(os, "access", lambda path, mode: path != calibrated)
    with pytest.raises(AppError, check=says_only(folder=calibrated)):
        next(calibrate(ensemble, hearts, settings_of("multi")))


def test_dataset_without_validation_cases_raises(tmp_path, hearts) -> None:
    ensemble = Ensemble(make_model(tmp_path), device="cpu")
    with pytest.raises(AppError, check=says_only(dataset=hearts, training=ensemble.folder.name)):
        list(calibrate(ensemble, hearts, settings_of("multi", members=3)))


def test_dataset_with_other_labels_is_refused(calibrated, hearts, tmp_path) -> None:
    swapped = tmp_path / "swapped"
    shutil.copytree(hearts, swapped)
    content = json.loads((swapped / "dataset.json").read_text())
    labels = content["labels"]
    labels["LV"], labels["RV"] = labels["RV"], labels["LV"]
    (swapped / "dataset.json").write_text(json.dumps(content))
    ensemble = Ensemble(calibrated, device="cpu")
    with pytest.raises(AppError, check=says(OTHER_LABELS)):
        next(calibrate(ensemble, swapped, settings_of("multi")))


@pytest.mark.parametrize(
    "change",
    [
        {"method": "\x1b[2J"},
        {"mirroring": "\x1b[2J"},
        *({"temperature": temperature} for temperature in (1e-300, 0.01, 100, 1e300)),
        None,
    ],
)
def test_damaged_file_is_named(with_rules, tmp_path, change) -> None:
    row = {} if change is None else {**rows_of(with_rules)[0], **change}
    (tmp_path / FILE).write_text(json.dumps({"format": 1, "calibrations": [row]}))
    with pytest.raises(DataError) as caught:
        read_calibrations(tmp_path)
    assert FILE in str(caught.value)


def test_newer_calibration_and_a_loop_of_links_are_refused(tmp_path) -> None:
    (tmp_path / FILE).write_text(json.dumps({"format": 2}))
    with pytest.raises(DataError) as caught:
        read_calibrations(tmp_path)
    assert str(caught.value) == NEWER_JSON.format(file=tmp_path / FILE)
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).symlink_to(tmp_path / FILE)
    with pytest.raises(DataError, check=says(file=tmp_path / FILE)):
        read_calibrations(tmp_path)


def test_kill_while_saving_keeps_earlier_temperatures(calibrated, tmp_path) -> None:
    run = shutil.copytree(calibrated, tmp_path / "run")
    before = (run / FILE).read_bytes()
    folder = find_ensemble(run)
    key = calibration_key(folder, settings_of("multi"))
    fitted = Calibration(temperature=1.5, cases=(), **key)
    save = partial(write_calibration, calibration=fitted)
    *killed, _ = killed_anywhere(lambda: save(folder), run, tmp_path / "killed")
    assert [(copy / FILE).read_bytes() for copy in killed] == [before] * len(killed)
    for copy in (run, *killed):
        save(find_ensemble(copy))
        assert read_calibrations(copy)[-1] == fitted
        assert len(read_calibrations(copy)) == len(rows_of(calibrated))


def test_temperature_of_the_calibration_is_the_default(calibrated) -> None:
    folder = Ensemble(calibrated, device="cpu").folder
    fitted = fitted_temperature(folder, settings_of("multi"))
    assert chosen_temperature(folder, settings_of("multi")) == fitted
    assert chosen_temperature(folder, settings_of("multi", calibrated=False)) == 1
    assert chosen_temperature(folder, settings_of("multi", temperature=2.0)) == 2
    # The method of the paper has a temperature of its own.
    assert chosen_temperature(folder, settings_of("temperature")) == 1.5
    assert chosen_temperature(folder, settings_of("single")) == 1


@pytest.mark.parametrize(
    ("windows", "usual"),
    [((), "heart"), (("heart",), "heart"), (("whole", "heart"), "heart"), (("whole",), "whole")],
)
def test_window_is_that_of_the_calibration(tmp_path, windows, usual) -> None:
    folder = find_ensemble(make_model(tmp_path, members=2))
    for window in windows:
        settings = replace(settings_of("multi"), window=window)
        key = calibration_key(folder, settings)
        write_calibration(folder, Calibration(temperature=2, cases=("a",), **key))
    assert usual_window(folder) == usual


RULE = IntervalRule(bias=1.0, half_width_80=2.0, half_width_90=3.0, patients=16)


SMALL = replace(RULE, bias=0.0, half_width_80=0.02, half_width_90=0.05)
DICE = {
    phase: DiceRule(intercept=intercept, slope=0.0, interval=SMALL)
    for phase, intercept in (("any", 0.9), ("ED", 0.94), ("ES", 0.86))
}


@pytest.fixture(scope="module")
def with_rules(calibrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with interval rules, for which the dataset has too few patients."""
    copy = tmp_path_factory.mktemp("rules") / "run"
    shutil.copytree(calibrated, copy)
    folder = Ensemble(copy, device="cpu").folder
    key = calibration_key(folder, settings_of("multi"))
    rules = {
        "volumes": {"LV": RULE},
        "function": {"LV EF": RULE, "LV EDV": RULE},
        "dice": {phase: {"LV": DICE[phase]} for phase in DICE},
    }
    write_calibration(folder, Calibration(temperature=1.2, cases=("a", "b"), **rules, **key))
    return copy


def case_of(patient: int, phase: str, *, error: float = 0.0) -> CalibrationCase:
    """Return a case with an LV of two slices; the first one in the queue is wrong by ``error``."""
    reference = np.array([60.0, 40.0]) * (1.0 if phase == "ED" else 0.5)
    predicted = {"LV": reference + np.array([0, error])}
    lv, true = {"LV": float(predicted["LV"].sum())}, {"LV": float(reference.sum())}
    return CalibrationCase(
        name=f"p{patient}_{phase}",
        patient=f"p{patient}",
        probabilities=np.array([[0.3, 0.8], [0.7, 0.2]], np.float32),
        labels=np.array([1, 0]),
        volumes=lv,
        spreads={"LV": Spread(mean=lv["LV"], standard_deviation=1, minimum=0, maximum=0)},
        member_volumes={"LV": [lv["LV"]] * 2},
        references=true,
        agreement={"LV": 0.9},
        dice={"LV": 0.9},
        slices=ReferencedVolume(
            predicted=predicted,
            members={"LV": np.array([predicted["LV"] - 1, predicted["LV"] + 1])},
            reference={"LV": reference},
            scores={"LV": np.array([1.0, 2.0])},
        ),
    )


@pytest.mark.parametrize(("patients", "known"), [(8, False), (9, True)])
def test_review_is_calibrated_on_patients_with_ed_and_es(calibrated, patients, known) -> None:
    folder = Ensemble(calibrated, device="cpu").folder
    cases = [case_of(n, "ED", error=float(n)) for n in range(patients)]
    cases += [case_of(n, "ES") for n in range(patients)]
    rules = fit_calibration(folder, settings_of("multi"), cases).review
    assert bool(rules) == known
    if known:
        rule = rules["LV EDV"]
        assert (rule.bound(3, 80), rule.bound(3), rule.bound(1.4)) == (7, 8, 0)
        assert rules["LV ESV"].bounds_90 == (0.0,)


RULE_OF_REVIEW = RemainingChange(
    spreads=(0.5, 2.0), bounds_80=(1.0, 4.0), bounds_90=(2.5, 6.0), patients=16
)


def test_review_rules_and_mass_range_are_written_and_read(calibrated, tmp_path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(calibrated, copy)
    folder = Ensemble(copy, device="cpu").folder
    key = calibration_key(folder, settings_of("multi"))
    fitted = Calibration(
        temperature=1.5,
        cases=(),
        review={"LV EF": RULE_OF_REVIEW},
        mass_range=MassRange(low=-0.04, high=0.3),
        **key,
    )
    write_calibration(folder, fitted)
    assert read_calibrations(copy)[-1] == fitted
    reports = [{"calibration": json.loads(json.dumps(fitted.to_report()))}] * 2
    assert interval_rules(reports) == fitted.review
    assert mass_range(reports) == fitted.mass_range
    assert interval_rules([*reports, {"calibration": None}]) == {}
    rows = rows_of(copy)
    for row in rows:
        del row["review"], row["mass_range"]  # as written before there were any
    (copy / FILE).write_text(json.dumps({"format": 1, "calibrations": rows}))
    assert read_calibrations(copy)[-1] == replace(fitted, review={}, mass_range=None)


def test_kind_of_images_is_fitted_for_any_ensemble(
    calibrated, made_dataset, tmp_path, monkeypatch
) -> None:
    for module in (calibrate_module, cine_rule):
        monkeypatch.setattr(module, "FEWEST_CINES", 10)
    data = read_dataset(made_dataset(tmp_path / "data", patients=9))
    copy = shutil.copytree(calibrated, tmp_path / "run")
    record = json.loads((copy / "ensemble.json").read_text())
    names = [case.name for case in data.cases]
    record["folds"]["0"] |= {"training_cases": names[:10], "validation_cases": names[10:]}
    (copy / "ensemble.json").write_text(json.dumps(record))
    ensemble = Ensemble(copy, device="cpu")
    read: list[str] = []
    rule = drain(fit_kind_of_images(ensemble, data, DEFAULT_PATIENT), read.append)
    assert rule is not None
    assert set(read) == set(names)
    assert rule.cine is not None
    assert rule.features is not None
    assert (rule.cine.cines, rule.features.patients) == (10, 4)
    calibration = read_calibrations(copy)[0]
    write_calibration(ensemble.folder, calibration, image=rule)
    write_calibration(ensemble.folder, calibration)  # of other settings, which keeps it
    assert find_image_rule(ensemble.folder) == (rule, ensemble.last_member())
    result = ensemble.segment(
        *_image_of(data, names[0]), members=1, mirroring="none", method="vanilla"
    )
    assert result.signs["cine_score"] <= rule.cine.limit


def _image_of(data: RawDataset, name: str) -> tuple[np.ndarray, tuple[float, float, float]]:
    (case,) = (case for case in data.cases if case.name == name)
    (volume,) = read_channels(case.images[0])
    return volume.voxels, volume.spacing


def test_case_is_the_same_after_it_was_kept(tmp_path) -> None:
    case = replace(case_of(3, "ED"), dice={"LV": math.nan}, signs={"fragments": 0.1})
    image = tmp_path / "image.nii.gz"
    image.write_bytes(b"image")
    unfinished = UnfinishedCalibration(tmp_path, "9")
    unfinished.write([image], *case.to_parts())
    kept = CalibrationCase.from_parts(*unfinished.read([image], ARRAYS))
    for one, other in ((case, kept), (case.slices, kept.slices)):
        for name, value in vars(one).items():
            if name != "slices":
                np.testing.assert_equal(getattr(other, name), value)
    assert UnfinishedCalibration(tmp_path, "8").read([image], ARRAYS) is None
    (file,) = (tmp_path / KEPT_CASES).iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    assert unfinished.read([image], ARRAYS) is None
    file.write_bytes(whole)
    image.write_bytes(b"another image")
    assert unfinished.read([image], ARRAYS) is None
    UnfinishedCalibration(tmp_path, "8").remove()
    assert any((tmp_path / KEPT_CASES).iterdir())
    unfinished.remove()
    assert not (tmp_path / KEPT_CASES).exists()


def test_usual_mass_needs_many_training_patients_with_myocardium(calibrated, hearts) -> None:
    folder = Ensemble(calibrated, device="cpu").folder
    other = replace(folder, labels={"background": 0, "RV": 1, "liver": 2, "LV": 3})
    for one in (folder, other):
        assert measure_training_labels(one, read_dataset(hearts), folder.members)[1] is None


def reports_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]


def test_reports_of_a_calibrated_ensemble_have_intervals(with_rules, hearts, tmp_path) -> None:
    images = [case.images[0] for case in read_dataset(hearts).cases[:2]]  # of one patient
    start = ("predict", with_rules, *images, "-o", tmp_path, "--method", "multi", *ASKED)
    code, text = run(*start)
    assert code == 0, text
    reports = reports_of(tmp_path)
    for report in reports:
        lv, rv = report["volumes_ml"]["LV"], report["volumes_ml"]["RV"]
        assert lv["interval_90"] == [max(lv["ensemble"] - 2, 0), lv["ensemble"] + 4]
        assert lv["interval_80"] == [max(lv["ensemble"] - 1, 0), lv["ensemble"] + 3]
        assert "interval_90" not in rv
        assert report["temperature"] == 1.2
        assert report["calibration"]["cases"] == 2
    cases = [report["case"] for report in reports]
    pair = read_pairs(tmp_path, cases)[cases[0]]
    end_diastole = max(report["volumes_ml"]["LV"]["ensemble"] for report in reports)
    assert pair.measured["LV EDV"].value == end_diastole
    assert pair.measured["LV EDV"].intervals[90] == (max(end_diastole - 2, 0), end_diastole + 4)
    assert 90 in pair.measured["LV EF"].intervals
    assert pair.measured["LV SV"].intervals == {}
    larger, smaller = (pair.reports[case]["expected_dice"] for case in (pair.ed, pair.es))
    assert (larger["LV"]["value"], smaller["LV"]["value"]) == (0.94, 0.86)
    assert larger["LV"]["interval_90"] == pytest.approx([0.89, 0.99])
    assert "RV" not in larger
    # Nothing is computed or written again.
    before = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    code, text = run(*start, "--continue")
    assert code == 0, text
    assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before


def test_uncalibrated_results_have_no_intervals(with_rules, hearts, tmp_path) -> None:
    image = read_dataset(hearts).cases[0].images[0]
    start = ("predict", with_rules, image, "-o", tmp_path, "--method", "multi", *ASKED)
    code, text = run(*start, "--uncalibrated")
    assert code == 0, text
    (report,) = reports_of(tmp_path)
    assert report["calibration"] is None
    assert report["expected_dice"] == {}
    assert report["temperature"] == 1
    assert "interval_90" not in report["volumes_ml"]["LV"]


def test_other_settings_or_weights_are_said_to_be_uncalibrated(with_rules) -> None:
    folder = Ensemble(with_rules, device="cpu").folder
    assert calibration_notes(folder, settings_of("multi")) == ()
    (note,) = calibration_notes(folder, settings_of("single"))
    assert "calibrated for other settings" in note
    assert calibration_notes(folder, settings_of("single", calibrated=False)) == ()
    assert find_calibration(folder, settings_of("multi", until_stable=True)) is None
    members = tuple(replace(m, sha256="0" * 64) for m in folder.members)
    for changed in (replace(folder, members=members), replace(folder, plans_sha256="0" * 64)):
        assert calibration_notes(changed, settings_of("multi")) == (OTHER_WEIGHTS,)


def test_sentence_on_other_settings_is_short(with_rules, tmp_path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(with_rules, copy)
    content = json.loads((copy / FILE).read_text())
    row = next(row for row in content["calibrations"] if row["volumes"])
    rows = [row | {"members": [f"epoch {i}" for i in range(n)]} for n in range(3, 300)]
    (copy / FILE).write_text(json.dumps(content | {"calibrations": rows}))
    (note,) = calibration_notes(Ensemble(copy, device="cpu").folder, settings_of("single"))
    assert "299 members" in note
    assert len(note) < 300
