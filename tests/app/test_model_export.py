"""Zip files of models: nnU-Net's own, those made to harm, and those that nnU-Net installs."""

from __future__ import annotations

import stat
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.model_sharing.model_export import export_pretrained_model
from nnunetv2.model_sharing.model_import import install_model_from_zip_file

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.model_export import SEVERAL_TRAININGS, WRONG_NAME, export_model
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.ensemble import model_zip
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.ensemble.model_zip import (
    DAMAGED_ZIP,
    IS_LINK,
    IS_PACKED_OTHERWISE,
    IS_TOO_LARGE,
    IS_TWICE,
    LEADS_OUT,
    NO_ROOM_TO_UNPACK,
    UNSAFE_ZIP,
)

from ..helpers.checks.problems import says
from ..helpers.data.models import made_image, make_model

MODEL = "Dataset001_made/nnUNetTrainer__nnUNetPlans__2d"


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a zip file that nnU-Net has exported, with the folder it comes from next to it."""
    fold = make_model(tmp_path / "results/Dataset001_made", members=1) / "fold_0"
    (fold / "checkpoint_epoch_1.pth").rename(fold / "checkpoint_final.pth")
    (fold / "validation").mkdir()
    for name in ("progress.png", "validation/summary.json", "../dataset_fingerprint.json"):
        (fold / name).write_text("{}")
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "results"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "model.zip"
    export_pretrained_model("Dataset001_made", str(file), ("2d",), folds=(0,))
    return file


def test_zip_file_of_nnunet_segments_as_its_folder(exported) -> None:
    image = made_image((3, 40, 36))
    of_zip, of_folder = (
        Ensemble(path, device="cpu").segment(image, (6.0, 1.5, 1.5), mirroring="none")
        for path in (exported, exported.parent / "results" / MODEL)
    )
    np.testing.assert_array_equal(of_zip.probabilities, of_folder.probabilities)
    unpacked = find_ensemble(exported).path
    assert unpacked.is_relative_to(exported.parent / "cache")
    assert not (unpacked / "fold_0/progress.png").exists()
    weights = unpacked / "fold_0/checkpoint_final.pth"
    assert find_ensemble(exported).members[0].path == weights
    answer = CliRunner().invoke(main, ["inspect", str(exported)])
    assert answer.exit_code == 0
    assert weights.name in answer.output


def test_processes_that_unpack_at_once_share_one_folder(exported) -> None:
    with ThreadPoolExecutor(4) as workers:
        found = [*workers.map(lambda _: find_ensemble(exported).members[0].path, range(8))]
    assert len({*found}) == 1


def entry(
    name: str, *, kind: int = stat.S_IFREG, packing: int = zipfile.ZIP_DEFLATED
) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr = (kind | 0o644) << 16
    made.compress_type = packing
    return made


@pytest.mark.parametrize(
    ("made", "content", "reason"),
    [
        (entry("../plans.json"), b"{}", LEADS_OUT),
        (entry("/tmp/plans.json"), b"{}", LEADS_OUT),
        (entry("C:/plans.json"), b"{}", LEADS_OUT),
        (entry("a\\..\\..\\plans.json"), b"{}", LEADS_OUT),
        (entry("link.pth", kind=stat.S_IFLNK), b"/etc/passwd", IS_LINK),
        (entry("folder", kind=stat.S_IFLNK), b"/etc", IS_LINK),
        (entry(f"{MODEL}/PLANS.json"), b"{}", IS_TWICE),
        (entry("packed.pth", packing=zipfile.ZIP_LZMA), b"weights", IS_PACKED_OTHERWISE),
        (entry("large.pth"), bytes(2**20), IS_TOO_LARGE),
        (entry("large.json"), bytes(2**26 + 1), IS_TOO_LARGE),
    ],
)
def test_harmful_entries_are_refused(exported, made, content, reason) -> None:
    with zipfile.ZipFile(exported, "a") as archive:
        archive.writestr(made, content)
    before = {*exported.parent.rglob("*")}
    with pytest.raises(DataError, check=says(UNSAFE_ZIP, reason=reason)):
        find_ensemble(exported)
    assert {*exported.parent.rglob("*")} == before


def test_damaged_zip_files_are_refused(exported) -> None:
    whole = exported.read_bytes()
    middle = whole.index(b"PK\x03\x04", 1) // 2
    for damaged in (b"", whole[:-30], whole[:middle] + b"damaged" + whole[middle + 7 :]):
        exported.write_bytes(damaged)
        with pytest.raises(DataError, check=says(DAMAGED_ZIP, file=exported)):
            find_ensemble(exported)
    assert not [*exported.parent.glob("cache/**/*.pth")]


def test_zip_file_without_a_training_is_named(exported) -> None:
    with zipfile.ZipFile(exported, "w") as archive:
        archive.writestr("notes.txt", "no model")
    with pytest.raises(DataError, check=lambda problem: problem.values["folder"] == exported):
        find_ensemble(exported)


def test_zip_file_larger_than_the_disk_is_refused(exported, monkeypatch) -> None:
    monkeypatch.setattr(model_zip, "RESERVE", 2**60)
    with pytest.raises(DataError, check=says(NO_ROOM_TO_UNPACK, file=exported)):
        find_ensemble(exported)


def test_nnunet_installs_an_exported_run_and_predicts_alike(
    trained_run, tmp_path, monkeypatch
) -> None:
    file = tmp_path / "run.zip"
    arguments = ["export-model", str(trained_run), "-o", str(file), "--dataset", "Dataset120_heart"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "results"))
    install_model_from_zip_file(str(file))
    (model,) = (tmp_path / "results").glob("Dataset120_heart/nnUNetTrainer__nnUNetPlans__2d")
    stock = nnUNetPredictor(
        use_mirroring=False, device=torch.device("cpu"), perform_everything_on_device=False
    )
    stock.initialize_from_trained_model_folder(str(model), (0,), "checkpoint_final.pth")
    image, spacing = made_image((4, 48, 40)), (10.0, 1.4, 1.4)
    expected = stock.predict_single_npy_array(
        image[None], {"spacing": [*spacing]}, save_or_return_probabilities=True
    )[1]
    result = Ensemble(file, device="cpu", precision="full").segment(
        image, spacing, method="vanilla", mirroring="none", temperature=1, window="whole"
    )
    # Stock nnU-Net adds its logits in float16: steps of 0.008 from 8 to 16, a quarter after softmax
    np.testing.assert_allclose(result.probabilities, expected, atol=4e-3)
    assert len(find_ensemble(file).members) == len(find_ensemble(trained_run).members)


def test_only_one_training_is_exported_under_a_name_of_nnunet(tmp_path) -> None:
    for seed in ("a", "b"):
        make_model(tmp_path / seed, members=1)
    output = tmp_path / "out.zip"
    with pytest.raises(AppError, check=says(SEVERAL_TRAININGS, folder=tmp_path)):
        export_model(tmp_path, output)
    with pytest.raises(AppError, check=says(WRONG_NAME, name="../heart")):
        export_model(tmp_path / "a", output, "../heart")
    assert not output.exists()
