"""Every change of one entry of an ensemble's JSON files is accepted or refused in a sentence.

The changed files are read as `inspect` and `predict` do, up to the network. What they hold is
checked when it is read, so nothing that follows can fail because of it.
"""

from __future__ import annotations

import json

import pytest

from napari_bayes_nnunet.app.segmentation.calibration import chosen_temperature
from napari_bayes_nnunet.app.segmentation.inspection import inspection_json, inspection_text
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.io.ensemble.ensemble_folder import EnsembleFolder, find_ensemble
from napari_bayes_nnunet.io.ensemble.fingerprint import CALIBRATION_FILE
from napari_bayes_nnunet.io.ensemble.run_folder import (
    RunFolder,
    TrainingRecord,
    add_member,
    write_record,
)

from ...helpers.checks.fuzzing import unexpected
from ...helpers.data.models import LABELS, made_image, make_model


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of one member with everything that its JSON files may hold."""
    model = make_model(tmp_path_factory.mktemp("fuzzed"), members=1)
    run = RunFolder(model)
    run.members("0").mkdir()
    next(model.glob("fold_0/*.pth")).rename(run.member("0", 9))
    plans = json.loads(run.plans.read_text())
    del plans["configurations"]["3d_fullres"]
    plans["checkpoint_ensemble"] = {"schedule": {"epochs": 10, "cycles": 1}, "seed": 1}
    run.plans.write_text(json.dumps(plans))
    record = TrainingRecord(
        name="hearts",
        schedule=RestartSchedule(epochs=10, cycles=1),
        selection=MemberSelection(per_cycle=1, step=1),
        labels=LABELS,
        channels=["cine0"],
        software={"torch": "2"},
        dataset={"name": "a", "cases": {"p1": {"image_bytes": [1], "label_sha256": "0"}}},
        folds={
            "0": {
                "training_cases": ["p1"],
                "validation_cases": ["p2"],
                "added_cycles": [{"training_cases": ["p1"], "dataset": {"name": "b", "cases": {}}}],
            }
        },
        validation={"0": {"method": "multi", "members": 1, "dice": {"LV": 0.9}}},
    )
    write_record(run.record, record)
    add_member(run, "0", 9)
    row = {"temperature": 1.5, "method": "multi", "members": ["fold 0 epoch 9"], "cases": ["p2"]}
    rows = [{**row, "mirroring": mirroring} for mirroring in ("full", "none")]
    content = {"format": 1, "one_component": False, "calibrations": rows}
    (model / CALIBRATION_FILE).write_text(json.dumps(content))
    return run


def read_and_describe(run: RunFolder) -> EnsembleFolder:
    """Read the ensemble and everything in it that `inspect` and `predict` use."""
    folder = find_ensemble(run.path)
    inspection_text(folder)
    json.dumps(inspection_json(folder))
    chosen_temperature(folder, SegmentationSettings(temperature="fitted", window="whole"))
    if folder.record is not None:
        for fold in folder.record.folds:
            folder.record.training_cases(fold)
            folder.record.validation_cases(fold)
            folder.record.trained_on(fold)
            folder.record.is_complete(fold)
    return folder


EVERY = [5, pytest.param(1, marks=pytest.mark.slow)]
"""Steps that meet all places, and in turn all values, or all changes."""


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("name", ["ensemble.json", CALIBRATION_FILE, "dataset.json"])
def test_changed_file_is_read_or_refused(run: RunFolder, name: str, every: int) -> None:
    failed, accepted, refused = unexpected(
        run.path / name, lambda: read_and_describe(run), every=every
    )
    assert failed == []
    assert accepted > 0
    assert refused > 0


@pytest.mark.filterwarnings("ignore:Detected old nnU-Net plans format")
@pytest.mark.parametrize("every", EVERY)
def test_changed_plans_are_read_or_refused(run: RunFolder, every: int) -> None:
    import torch

    from napari_bayes_nnunet.nnunet.inference import Predictor
    from napari_bayes_nnunet.nnunet.weights import expected_shapes

    image = made_image((2, 30, 20))[None]

    def read() -> None:
        folder = find_ensemble(run.path)
        parts = folder.plans, folder.dataset_json, folder.configuration
        expected_shapes(*parts)
        predictor = Predictor(*parts, device=torch.device("cpu"))
        weights = predictor.network.module.state_dict()
        prepared = predictor.prepare(image, (6.0, 1.5, 1.2))
        predictor.probabilities([prepared], weights, mirrors=[()])

    failed, accepted, refused = unexpected(run.plans, read, every=every)
    assert failed == []
    assert accepted > 0
    assert refused > 0
