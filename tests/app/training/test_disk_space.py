"""Estimate of the disk space, compared with files of a real training."""

from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from napari_bayes_nnunet.app.training import disk_space
from napari_bayes_nnunet.app.training.disk_space import (
    DiskNeed,
    estimate_disk_need,
    free_bytes,
    member_bytes,
    preprocessed_bytes,
)
from napari_bayes_nnunet.app.training.request import TrainingRequest
from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.io.dataset.check import CaseCheck, check_case
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record

MB = 1_000_000
VOXELS = 4.1 * 1_000_000 + 32 * (30_000 + 10_000)
"""Bytes of 1 000 000 voxels with three structures."""


def a_check(spacing=(10.0, 1.5, 1.5), *, shape=(10, 250, 400), voxels=MB):
    return CaseCheck("case", shape, spacing, (0, 1, 2, 3), voxels, ())


def needed(request, hearts, *, settled=None):
    dataset = read_dataset(hearts)
    checks = [check_case(dataset, case) for case in dataset.cases]
    return estimate_disk_need(
        request, dataset, checks, fold="0", settled=settled, free_bytes=10**12
    )


def folder_bytes(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


# Parts


def test_a_paper_training(hearts, tmp_path):
    need = needed(TrainingRequest(dataset=hearts, output=tmp_path), hearts)
    # 30 members of each of 3 cycles, and 3 saved states as large as 4 members each.
    assert need.parts["members"] == 90 * 67 * MB
    assert need.parts["saved states"] == 12 * 67 * MB
    assert need.needed_bytes == sum(need.parts.values())
    assert need.free_bytes == 10**12


def test_the_schedule_tells_the_number_of_members(hearts, tmp_path):
    request = TrainingRequest(
        dataset=hearts,
        output=tmp_path,
        preset="demo",
        schedule=RestartSchedule(epochs=40, cycles=2),
        selection=MemberSelection(per_cycle=3),
    )
    # The plateau of a cycle of 20 epochs has 4, of which every second is kept.
    assert needed(request, hearts).parts["members"] == 2 * 2 * 2 * MB


def test_the_size_of_a_member():
    flat = [a_check(), a_check(), a_check(shape=(10, 512, 512))]
    large = [a_check(shape=(10, 512, 400))]
    assert member_bytes(flat, configuration="2d", small=False) == 67 * MB
    assert member_bytes(large, configuration="2d", small=False) == 93 * MB
    assert member_bytes([], configuration="2d", small=False) == 67 * MB
    assert member_bytes(large, configuration="3d_fullres", small=False) == 63 * MB
    assert member_bytes(large, configuration="2d", small=True) == 2 * MB
    assert member_bytes(large, configuration="3d_fullres", small=True) == 5 * MB


@pytest.mark.parametrize(
    ("spacings", "configuration", "voxels"),
    [
        ([(10, 1.5, 1.5)] * 2, "2d", 2),
        # The finer image keeps its size at the coarser median of three; slices stay apart in 2D.
        ([(10, 1, 1), (10, 2, 2), (5, 2, 2)], "2d", 1 / 4 + 2),
        # Slices are thick: resampled to thin ones among them, here 5 mm.
        ([(5, 2, 2), *[(10, 2, 2)] * 9], "3d_fullres", 10 / 9.5 * 9 + 5 / 9.5),
        # Not thick: to the median.
        ([(2, 2, 2), (4, 2, 2), (4, 2, 2)], "3d_fullres", 2.5),
    ],
)
def test_images_are_resampled_to_one_spacing(spacings, configuration, voxels, hearts):
    checks = [a_check(tuple(map(float, spacing))) for spacing in spacings]
    size = preprocessed_bytes(read_dataset(hearts), checks, configuration=configuration)
    listed = 32 * (0.01 * voxels * MB + 30_000 * len(checks))
    assert size == pytest.approx(4.1 * voxels * MB + listed, rel=1e-6)


def test_channels_count_and_unread_cases_do_not(hearts):
    dataset = read_dataset(hearts)
    unread = replace(a_check(), shape=(), spacing=None, voxels=0)
    one = preprocessed_bytes(dataset, [a_check(), unread], configuration="2d")
    assert one == pytest.approx(VOXELS)
    assert preprocessed_bytes(dataset, [unread], configuration="2d") == 0
    two = replace(dataset, json={**dataset.json, "channel_names": {"0": "T1", "1": "T2"}})
    assert preprocessed_bytes(two, [a_check()], configuration="2d") == pytest.approx(one + 4 * MB)


# A real run


def test_the_estimate_exceeds_a_real_training(hearts, trained_run, tmp_path):
    run = RunFolder(trained_run)
    record = read_record(run.record)
    request = TrainingRequest(
        dataset=hearts,
        output=tmp_path / "new",
        preset="demo",
        schedule=record.schedule,
        selection=record.selection,
    )
    parts = needed(request, hearts).parts
    members = folder_bytes(run.members("0"))
    assert members <= parts["members"] <= 3 * members  # of fewer stages than ACDC gets
    assert folder_bytes(run.fold("0")) - members <= parts["saved states"]
    preprocessed = folder_bytes(run.workspace / "preprocessed")
    assert preprocessed <= parts["preprocessed images"] <= 6 * preprocessed


# Sentences


def test_too_little_space_blocks():
    parts = {"preprocessed images": 480 * MB, "members": 6030 * MB, "saved states": 804 * MB}
    need = DiskNeed(needed_bytes=7314 * MB, free_bytes=2000 * MB, parts=parts)
    problem = need.problem(Path("run"))
    assert problem.text.template == disk_space.TOO_LITTLE_SPACE
    assert problem.text.values == {
        "needed": "7.3 GB",
        "free": "2.0 GB",
        "output": Path("run"),
        "parts": "preprocessed images 480 MB, members 6.0 GB, saved states 804 MB",
    }
    assert (problem.file, problem.blocks) == (Path("run"), True)


def test_hardly_enough_space_is_a_warning():
    need = DiskNeed(needed_bytes=1000 * MB, free_bytes=1199 * MB, parts={})
    problem = need.problem(Path("run"))
    assert problem.text.template == disk_space.LITTLE_SPACE
    expected = {"needed": "1.0 GB", "free": "1.2 GB", "output": Path("run")}
    assert problem.text.values.items() >= expected.items()
    assert not problem.blocks
    assert replace(need, free_bytes=1200 * MB).problem(Path("run")) is None


# The disk


def test_free_space_is_that_of_the_nearest_folder(tmp_path, monkeypatch):
    folders = []
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(
        disk_space.shutil, "disk_usage", lambda folder: folders.append(folder) or usage(42)
    )
    assert free_bytes(tmp_path / "not" / "there") == 42
    assert folders == [tmp_path]


def test_a_missing_disk_has_no_space(tmp_path, monkeypatch):
    def fail(folder):
        raise FileNotFoundError

    monkeypatch.setattr(disk_space.shutil, "disk_usage", fail)
    assert free_bytes(tmp_path) == 0
