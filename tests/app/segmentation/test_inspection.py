"""Output of ``bayes-nnunet inspect``, with and without reading the weights."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import napari_bayes_nnunet
from napari_bayes_nnunet.app.segmentation.calibration import (
    LACKS_RULES,
    TEMPERATURE_APPLIED,
    UNCALIBRATED,
    Calibration,
    calibration_key,
    read_calibrations,
    uncalibrated_notes,
    write_calibration,
)
from napari_bayes_nnunet.app.segmentation.inspection import (
    inspect_ensemble,
    inspection_json,
    inspection_text,
)
from napari_bayes_nnunet.app.segmentation.methods import METHODS
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.core.metrics.conformal import IntervalRule
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.ensemble.ensemble_folder import POINTERS, find_ensemble
from napari_bayes_nnunet.io.ensemble.fingerprint import CALIBRATION_FILE as FILE
from napari_bayes_nnunet.io.ensemble.run_folder import (
    RunFolder,
    TrainingRecord,
    add_member,
    write_record,
)
from napari_bayes_nnunet.io.files.limits import LFS_START
from napari_bayes_nnunet.nnunet.weights import expected_shapes, write_member

from ...helpers.data.models import LABELS, plans

DEMO = Path(napari_bayes_nnunet.__file__).parent / "demo_ensemble"
DATASET = {"labels": LABELS, "channel_names": {"0": "cineMRI"}, "file_ending": ".nii.gz"}


def make_model(path: Path) -> Path:
    """Make a model folder; its configuration 2d is in the record or comes first."""
    path.mkdir(parents=True)
    (path / "plans.json").write_text(json.dumps(plans()))
    (path / "dataset.json").write_text(json.dumps(DATASET))
    return path


def make_weights(path: Path) -> Path:
    """Make a file that is complete unless its weights are read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    return path


def make_run(path: Path, epochs: Iterable[int] = (8, 9, 18, 19)) -> RunFolder:
    """Make a run whose members have the weights of its small network."""
    run = RunFolder(make_model(path))
    record = TrainingRecord(
        name="hearts",
        schedule=RestartSchedule(epochs=20, cycles=2),
        selection=MemberSelection(per_cycle=2, step=1),
        labels=LABELS,
        channels=["cineMRI"],
        licence="CC-BY-NC-SA-4.0",
    )
    write_record(run.record, record)
    shapes = expected_shapes(plans(), DATASET, "2d")
    weights = {name: torch.zeros(shape) for name, shape in shapes.items()}
    for epoch in epochs:
        write_member(run.member("0", epoch), weights, configuration="2d", mirroring_axes=(0, 1))
        add_member(run, "0", epoch)
    return run


def methods_in(text: str) -> dict[str, str]:
    """Return method → the rest of its line, without repeated spaces."""
    lines = [line.split() for line in text.splitlines()]
    return {line[0]: " ".join(line[1:]) for line in lines if line and line[0] in METHODS}


def test_text_of_a_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    text = inspection_text(inspect_ensemble(run.path))
    lines = text.splitlines()
    assert lines[0] == "hearts"
    for part in (
        f"Folder         {run.path}",
        "Kind           checkpoint ensemble",
        "Configuration  2d",
        "Structures     RV 1, MYO 2, LV 3",
        "Channels       cineMRI",
        "Members        4 of 4 usable",
        "Licence        CC-BY-NC-SA-4.0",
        "fold  cycle  epoch  learning rate  size",
    ):
        assert part in text
    assert methods_in(text)["multi"] == "(All cycles) 4 members: 2 of cycle 0, 2 of cycle 1"
    assert methods_in(text)["single"] == "(Last cycle) 2 members: 2 of cycle 1"
    assert methods_in(text)["vanilla"] == "(One network) 1 member: 1 of cycle 1"
    row = next(line for line in lines if "epoch_0019.pth" in line)
    assert row.split()[:3] == ["0", "1", "19"]
    assert row.endswith("usable")
    assert "Left out" not in text
    assert "training" not in text.partition("multi (")[0]


def test_json_of_a_run_is_plain_and_complete(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    content = inspection_json(inspect_ensemble(run.path))
    assert json.loads(json.dumps(content)) == content
    assert (content["name"], content["kind"]) == ("hearts", "checkpoint ensemble")
    assert (content["labels"], content["channels"]) == (LABELS, ["cineMRI"])
    assert (content["usable_members"], content["problems"]) == (4, [])
    assert content["schedule"]["epochs"] == 20
    member = content["members"][-1]
    file = run.member("0", 19)
    assert member == {
        "file": str(file),
        "training": "run",
        "fold": "0",
        "cycle": 1,
        "epoch": 19,
        "learning_rate": pytest.approx(RestartSchedule(epochs=20, cycles=2).learning_rate(19)),
        "bytes": file.stat().st_size,
        "usable": True,
        "reason": "",
    }
    assert content["methods"]["single"] == {"available": True, "reason": "", "members": 2}


def test_calibrations_are_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    folder = find_ensemble(run.path)
    assert UNCALIBRATED in inspection_text(folder)
    settings = SegmentationSettings()
    assert uncalibrated_notes(folder, settings) == (UNCALIBRATED,)
    assert inspection_json(folder)["calibrations"] == []
    rule = IntervalRule(bias=-1.0, half_width_80=2.0, half_width_90=3.5, patients=16)
    short = replace(rule, half_width_90=None, patients=5)
    of_settings = calibration_key(folder, settings)
    write_calibration(folder, Calibration(temperature=1.25, cases=("a", "b"), **of_settings))
    applied = TEMPERATURE_APPLIED.format(temperature=1.25)
    missing = "prediction intervals or failure scores"
    assert uncalibrated_notes(folder, settings) == (LACKS_RULES.format(missing=missing), applied)
    assert uncalibrated_notes(folder, replace(settings, method="single")) == (UNCALIBRATED,)
    calibration = Calibration(
        temperature=1.25,
        cases=("a", "b"),
        volumes={"LV": rule, "\x1b[2J": rule},
        function={"LV EF": short},
        **of_settings,
    )
    write_calibration(folder, calibration)
    text = inspection_text(folder)
    assert UNCALIBRATED not in text
    lacks = LACKS_RULES.format(missing="failure scores")
    assert uncalibrated_notes(folder, settings) == (lacks, applied)
    assert str(calibration.settings) in text
    assert "-1.0 ± 3.5, 16 patients" in text
    assert "80 %: -1.0 ± 2.0" in text
    assert "\x1b" not in text
    (found,) = inspection_json(folder)["calibrations"]
    assert found["function"]["LV EF"]["half_width_90"] is None
    (folder.path / FILE).write_text("damaged")
    assert uncalibrated_notes(folder, settings) == ()


def test_second_look_refuses_weights_that_do_not_fit(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    wrong = {"encoder.weight": torch.zeros(3)}
    write_member(run.member("0", 18), wrong, configuration="2d", mirroring_axes=None)
    add_member(run, "0", 18)
    assert len(find_ensemble(run.path).usable_members) == 4
    folder = inspect_ensemble(run.path)
    assert [m.epoch for m in folder.usable_members] == [8, 9, 19]
    row = inspection_json(folder)["members"][2]
    assert not row["usable"]
    assert "encoder." in row["reason"]
    assert f"refused: {row['reason']}" in inspection_text(folder)


def test_second_look_compares_checksums(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", epochs=[9])
    file = run.member("0", 9)
    content = bytearray(file.read_bytes())
    place = content.index(b"\0" * 64)  # inside a tensor of zeros
    content[place + 9] = 1
    file.write_bytes(content)
    assert find_ensemble(run.path).members[0].usable
    assert not inspect_ensemble(run.path).members[0].usable


def test_folder_without_cycles(tmp_path: Path) -> None:
    model = make_model(tmp_path / "plain")
    for fold in "01":
        make_weights(model / f"fold_{fold}" / "checkpoint_final.pth")
    folder = find_ensemble(model)
    text = inspection_text(folder)
    assert "cross-validation ensemble" in text
    assert methods_in(text)["multi"] == "(All cycles) 2 members"
    assert "cycle  epoch" not in text
    assert "Licence" not in text
    content = inspection_json(folder)
    reason = content["methods"]["single"]["reason"]
    assert folder.kind in reason
    assert methods_in(text)["single"] == f"(Last cycle) {reason}"
    assert content["schedule"] is content["licence"] is None
    assert not content["methods"]["single"]["available"]
    assert content["methods"]["single"]["members"] == 0


def test_calibrations_of_a_resumed_training_are_replaced_and_those_of_other_folds_stay(
    tmp_path: Path,
) -> None:
    folder = find_ensemble(make_run(tmp_path / "run").path)
    key = calibration_key(folder, SegmentationSettings(mirroring="none"))
    last = [("multi", 0, 3), ("vanilla", 0, 3), ("multi", 1, 3), ("vanilla", 1, 3), ("multi", 0, 7)]
    for method, fold, epoch in last:
        key |= {"method": method, "members": (f"fold {fold} epoch {epoch}",)}
        write_calibration(folder, Calibration(temperature=1, cases=(), **key))
    kept = read_calibrations(folder.path)
    epochs = [member for calibration in kept for member in calibration.members]
    assert epochs == ["fold 1 epoch 3", "fold 1 epoch 3", "fold 0 epoch 7"]


def test_several_trainings_and_what_was_left_out(tmp_path: Path) -> None:
    for seed in ("seed1", "seed2", "seed3"):
        make_weights(make_model(tmp_path / seed) / "fold_0" / "checkpoint_final.pth")
    (tmp_path / "seed2" / "plans.json").unlink()
    text = inspection_text(find_ensemble(tmp_path))
    assert "2 of 2 usable" in text
    assert "seed2" in text.partition("Left out\n")[2]
    assert "  seed3     0 " in text


def test_folder_with_nothing_usable_is_still_shown(tmp_path: Path) -> None:
    model = make_model(tmp_path / "plain")
    make_weights(model / "fold_0" / "checkpoint_final.pth").write_bytes(b"")
    folder = inspect_ensemble(model)
    (member,) = folder.members
    assert f"refused: {member.refused}" in inspection_text(folder)
    for method in inspection_json(folder)["methods"].values():
        assert not method["available"]
        assert f"checkpoint_final.pth: {member.refused}" in method["reason"]


def test_folder_without_ensemble_raises(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        inspect_ensemble(tmp_path)
    assert tmp_path.name in str(caught.value)


def test_inspection_of_nothing_usable_exits_with_1(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", epochs=[9])
    assert CliRunner().invoke(main, ["inspect", str(run.path)]).exit_code == 0
    run.member("0", 9).write_bytes(LFS_START)
    done = CliRunner().invoke(main, ["inspect", str(run.path)])
    assert done.exit_code == 1
    assert POINTERS.format(count=1, members=1, folder=run.path) in done.output
    asked = ["predict", str(run.path), str(run.plans), "-o", str(tmp_path / "out")]
    assert CliRunner().invoke(main, asked).exit_code == 1
