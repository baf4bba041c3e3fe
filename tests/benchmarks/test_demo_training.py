"""Data and choice of the members of the built-in ensemble."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
from benchmarks.demo_ensemble import select
from benchmarks.demo_split import read_pathology_groups, stratified_holdout
from benchmarks.other_scanner import ENDING, halves, judging_cases
from benchmarks.sunnybrook_half import add_half

from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.ensemble.run_folder import read_record


def test_holdout_is_drawn_from_every_group_in_proportion() -> None:
    groups = {f"p{number:02d}": "ABCD"[number % 4] for number in range(40)}
    kept, drawn = stratified_holdout(groups, count=8, seed=1)
    assert sorted([*kept, *drawn]) == sorted(groups)
    assert [sum(groups[p] == g for p in drawn) for g in "ABCD"] == [2, 2, 2, 2]
    assert (kept, drawn) == stratified_holdout(groups, count=8, seed=1)
    assert drawn != stratified_holdout(groups, count=8, seed=2)[1]


def test_holdout_of_uneven_groups_has_requested_size() -> None:
    groups = {f"a{n}": "A" for n in range(7)} | {f"b{n}": "B" for n in range(2)} | {"c": "C"}
    drawn = stratified_holdout(groups, count=4, seed=0)[1]
    assert len(drawn) == 4
    assert sum(groups[patient] == "A" for patient in drawn) in (2, 3)


def test_pathology_groups_are_read_from_table(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text("patient,group,frames\np1,DCM,2\np2,NOR,2\n")
    assert read_pathology_groups(tmp_path / "cases.csv") == {"p1": "DCM", "p2": "NOR"}


def test_members_of_the_chosen_cycles_are_copied(trained_run: Path, tmp_path: Path) -> None:
    select(trained_run, tmp_path / "some", "2,3")
    whole, some = find_ensemble(trained_run), find_ensemble(tmp_path / "some")
    assert [member.epoch for member in some.usable_members] == [6, 7, 10, 11]
    assert {member.cycle for member in some.members} == {1, 2}
    (of_whole,), (of_some,) = (
        read_record(folder / "ensemble.json").folds.values()
        for folder in (trained_run, tmp_path / "some")
    )
    assert of_some == of_whole | {"members": of_whole["members"][2:]}
    assert len(whole.members) == 6


def test_patients_alternate_and_keep_their_phases_together() -> None:
    cases = [f"SC-{n}_{phase}" for n in "ABC" for phase in ("ED", "ES")]
    assert list(halves(cases).values()) == ["train"] * 2 + ["judge"] * 2 + ["train"] * 2


def test_the_judging_half_has_its_files(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for case in ("HF-1_ED", "HF-1_ES", "HF-2_ED", "HF-2_ES"):
        (tmp_path / "images" / f"{case}{ENDING}").touch()
    cases = list(judging_cases(tmp_path))
    assert [case.name for case in cases] == ["HF-2_ED", "HF-2_ES"]
    assert cases[0].images == (tmp_path / "images" / f"HF-2_ED{ENDING}",)
    assert cases[0].label == tmp_path / "labels" / "HF-2_ED.nii.gz"


def test_the_experts_lv_is_joined_with_the_predicted_rest(hearts: Path, tmp_path: Path) -> None:
    sunnybrook, predictions, out = (tmp_path / name for name in ("sb", "predicted", "out"))
    for folder in (sunnybrook / "images", sunnybrook / "labels", predictions):
        folder.mkdir(parents=True)
    predicted = np.zeros((8, 8, 4), np.uint8)
    predicted[:, :2, :3] = 1
    predicted[:, 2:4, :3] = 2
    predicted[:, 4:, :3] = 3
    expert = np.zeros((8, 8, 4), np.uint8)
    expert[:, 5:, 0] = 1  # smaller than predicted
    expert[:, 3:, 1] = 1  # larger
    expert[:, :1, 2] = 1  # elsewhere
    for case in ("SC-A_ED", "SC-B_ED"):
        for array, file in (
            (expert.astype(np.float32), sunnybrook / "images" / f"{case}_0000.nii.gz"),
            (expert, sunnybrook / "labels" / f"{case}.nii.gz"),
            (predicted, predictions / f"{case}.nii.gz"),
        ):
            nibabel.save(nibabel.Nifti1Image(array, np.diag([1.25, 1.25, 8, 1])), file)
    add_half(hearts, sunnybrook, predictions, out)
    before, after = read_dataset(hearts), read_dataset(out)
    assert {c.name for c in after.cases} - {c.name for c in before.cases} == {"SC-A_ED"}
    assert json.loads((out / "dataset.json").read_text())["numTraining"] == len(after.cases)
    image = nibabel.load(out / "labelsTr" / "SC-A_ED.nii.gz")
    labels = np.asarray(image.dataobj)
    assert (labels.shape, image.header.get_zooms()) == ((8, 8, 2), (1.25, 1.25, 8))
    assert labels[0, :, 0].tolist() == [1, 1, 2, 2, 2, 3, 3, 3]
    assert labels[0, :, 1].tolist() == [1, 1, 2, 3, 3, 3, 3, 3]
    assert nibabel.load(out / "imagesTr" / "SC-A_ED_0000.nii.gz").shape == (8, 8, 2)
