"""Tests that runs, studies and cohorts written by version 0.2.0 open and can be continued.

fixtures/written_by_0_2_0/README.md says how they were made, expected.json has their content.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record
from napari_bayes_nnunet.io.study.info import find_image
from napari_bayes_nnunet.io.study.study import open_study_lock, read_study, save_work
from napari_bayes_nnunet.io.study.usage_log import USE_LOG, read_use

WRITTEN = Path(__file__).parent / "fixtures" / "written_by_0_2_0"
EXPECTED: dict[str, Any] = json.loads((WRITTEN / "expected.json").read_text(encoding="utf-8"))
ASKED = EXPECTED["asked"]
MOST_DIFFERING_VOXELS = 0.001
"""Share of voxels whose label may differ, because machines round differently."""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the fixtures in a folder with another name and new modification times."""
    return shutil.copytree(WRITTEN, tmp_path / "Kopie ü", copy_function=shutil.copyfile)


@pytest.fixture
def study(copy: Path) -> Path:
    return copy / "study" / "output" / "cine"


def command(*arguments: object) -> str:
    done = CliRunner().invoke(main, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done.stdout


def sha256_of(voxels: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(voxels, np.uint8).tobytes()).hexdigest()


def members_of(run: Path) -> dict[int, str]:
    """Return the checksum of each member by its epoch."""
    members = read_record(RunFolder(run).record).members("0")
    return {member.epoch: member.sha256 for member in members}


def epochs_reported_in(run: Path) -> list[int]:
    lines = (run / "progress.jsonl").read_text(encoding="utf-8").splitlines()
    return [line["epoch"] for line in map(json.loads, lines) if line["kind"] == "epoch"]


def test_study_opens_with_its_review(copy, study) -> None:
    found, expected = read_study(study), EXPECTED["study"]
    session = ReviewSession(found)
    state = session.state
    assert list(found.problems) == expected["problems"] == []
    assert find_image(found.info, study).resolve() == copy / "study" / "image" / "cine.nii.gz"
    assert list(found.info.shape) == expected["shape"]
    assert {str(p): s.count for p, s in found.posteriors.items()} == expected["members"]
    assert [
        {"phase": p, "z": z, "state": d.state, "comment": d.comment, "edited": d.edited}
        for (p, z), d in sorted(state.decisions.items())
    ] == expected["decisions"]
    for name in ("ed", "es", "structure"):
        assert getattr(state, name) == expected[name], name
    assert list(state.protected) == expected["protected"]
    assert list(state.current) == expected["current"]
    assert vars(state.patient) == {"sex": None, "age": None, **expected["patient"]}
    assert session.score == expected["score"]


def test_study_has_the_same_arrays_and_numbers(study) -> None:
    found, expected = read_study(study), EXPECTED["study"]
    session = ReviewSession(found)
    assert sha256_of(found.edited) == expected["edited_sha256"]
    assert sha256_of(found.prediction) == expected["prediction_sha256"]
    assert found.entropy.sum(dtype=np.float64) == expected["entropy_sum_bit"]
    assert found.maps.keys() == {"entropy", "mutual-information"}
    assert found.mutual_information.sum(dtype=np.float64) == expected["mutual_information_sum_bit"]
    assert [list(place) for place in session.edited_places()] == expected["edited_places"]
    queue = session.queue(session.scores())
    assert [[item.phase, item.z] for item in queue] == expected["queue"]
    for numbers, key in ((session.measured(), "measured"), (session.predicted(), "predicted")):
        values = {name: number.value for name, number in numbers.items()}
        assert values == pytest.approx(expected[key]), key
    rows = [[r.phase, r.z, r.tool, r.inside, r.outside, r.state] for r in read_use(study / USE_LOG)]
    assert rows == expected["use_log"]


def test_review_is_continued_and_saved(study) -> None:
    session = ReviewSession(read_study(study))
    with open_study_lock(study):
        session.decide((1, 0), "accepted")
        geometry = session.study.info.geometry
        save_work(study, session.labels_to_save(), geometry, session.state)
    again = ReviewSession(read_study(study))
    assert again.state == session.state
    assert again.state.count("accepted") == EXPECTED["study"]["accepted"] + 1
    assert sha256_of(again.labels_to_save()) == EXPECTED["study"]["edited_sha256"]


@pytest.mark.parametrize("run", ["run", "finished_run"])
def test_inspect_lists_the_members(copy, run) -> None:
    content = json.loads(command("inspect", copy / run, "--json"))
    listed = [(member["epoch"], member["cycle"]) for member in content["members"]]
    assert listed == [(m["epoch"], m["cycle"]) for m in EXPECTED[run]["members"]]
    assert content["usable_members"] == len(listed)


def test_predict_gives_the_labels_of_the_study(copy, study, tmp_path) -> None:
    image = copy / "study" / "image" / "cine.nii.gz"
    command(
        *("predict", copy / "finished_run", image, "-o", tmp_path / "again", "--save", "study"),
        *ASKED,
    )
    before, again = read_study(study), read_study(tmp_path / "again" / "cine")
    assert (again.prediction != before.prediction).mean() <= MOST_DIFFERING_VOXELS
    assert abs(again.entropy - before.entropy).max() < 0.01


def test_continued_cohort_leaves_finished_studies_alone(copy, warm_command, tmp_path) -> None:
    output, expected = copy / "cohort" / "output", EXPECTED["cohort"]
    asked = (copy / "finished_run", copy / "cohort" / "images", "-o", output, *ASKED)
    done = warm_command.run("predict", *asked, "--continue", "--jsonl", folder=tmp_path)
    assert done.code == 0, done.errors
    with (output / "cohort.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["study"]: row for row in csv.DictReader(file)}
    assert rows["third"]["outcome"] == "done"
    assert {name for name, row in rows.items() if row["outcome"] == "finished before"} == {
        *expected["done"]
    }
    for row in expected["rows"]:
        renamed = {name.replace("_sd", "_members_sd"): value for name, value in row.items()}
        differing = {name for name in renamed if rows[row["study"]][name] != renamed[name]}
        assert differing <= {"outcome", "notes"}
    for name, checksum in expected["files_that_stay"].items():
        assert hashlib.sha256((output / name).read_bytes()).hexdigest() == checksum, name


@pytest.mark.parametrize(
    ("run", "flag", "members"),
    [
        ("run", "--resume", EXPECTED["run"]["members_when_finished"]),
        ("finished_run", "--add-cycle", EXPECTED["finished_run"]["members_after_one_more_cycle"]),
    ],
)
def test_training_is_continued(run, flag, members, copy, warm_command, tmp_path) -> None:
    folder = copy / run
    record = json.loads((folder / "ensemble.json").read_text(encoding="utf-8"))
    record["iterations_per_epoch"] = 4  # of 40
    (folder / "ensemble.json").write_text(json.dumps(record), encoding="utf-8")
    before = members_of(folder)
    asked = ("train", copy / "dataset", "--output", folder, flag, "--device", "cpu", "--jsonl")
    done = warm_command.run(*asked, folder=tmp_path)
    assert done.code == 0, done.errors
    after = members_of(folder)
    assert list(after) == members
    assert before.items() <= after.items()
    assert epochs_reported_in(folder) == list(range(members[-1] + 1))
    assert (folder / "fold_0" / "checkpoint_final.pth").is_file()
