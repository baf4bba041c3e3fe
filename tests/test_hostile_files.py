"""No file that a command reads can run code: every kind of file with every command that reads it.

The pairs are those of `helpers.checked_files`. Every payload would touch the same file. Commands
run in this process, except trainings, which are forks of a warm one.
"""

from __future__ import annotations

import csv
import json
import os
import pickle
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from napari_bayes_nnunet.app.cluster.worker_call import EnsembleCache
from napari_bayes_nnunet.app.messages import FAILED, EnsembleLoaded, JobEnded, LoadEnsemble, Message
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.app.worker import Worker
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.core.problems import Problem
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record
from napari_bayes_nnunet.io.study.study import read_study
from napari_bayes_nnunet.nnunet.planning import (
    plan_and_preprocess,
    read_plans,
    workspace_environment,
)

from .helpers.checks.checked_files import (
    LEFT_OUT,
    OPENED_WITHOUT,
    PHASE_LEFT_OUT,
    REFUSED,
    Check,
    pairs,
)
from .helpers.checks.hostile import Toucher, forge_codec
from .helpers.data.cohorts import run_here, write_dicom_study
from .helpers.data.evaluations import answer, heart, write_answer, write_reference
from .helpers.data.releases import make_acdc, make_mnms, mnms_row, write_table
from .helpers.processes.warm_command import WarmCommand

WRITTEN = Path(__file__).parent / "fixtures" / "written_by_0_2_0"
TRAINED = ("run", "finished_run")
ON_CPU = ("--device", "cpu")
ONE_PASS = (*ON_CPU, "--members", 1, "--mirroring", "none", "--phases", 1)


@dataclass(frozen=True)
class Place:
    """A folder with everything that a command reads, and the file that no payload may touch."""

    path: Path

    @property
    def touched(self) -> Path:
        return self.path / "touched"

    @property
    def shell(self) -> str:
        """A text that touches the file when a shell reads it, and a path when a program does."""
        return f"../$(touch '{self.touched}')`touch '{self.touched}'`; touch '{self.touched}'"

    @property
    def call(self) -> dict[str, Any]:
        return {"command": f"touch '{self.touched}'"}

    def runs(self, file: str) -> list[Path]:
        return [self.path / run / file for run in TRAINED]

    def edit_plans(self, change: Callable[[Any, Any], object]) -> None:
        for file in self.runs("plans.json"):
            edit(file, lambda plans: change(plans, plans["configurations"]["2d"]))


def edit(file: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folders of version 0.2.0, with the preprocessed images of ``run``."""
    folder = tmp_path_factory.mktemp("made") / "all"
    shutil.copytree(WRITTEN, folder, copy_function=shutil.copyfile)
    for record in (folder / name / "ensemble.json" for name in TRAINED):
        edit(record, lambda content: content.update(iterations_per_epoch=1))
    run = RunFolder(folder / "run")
    name = read_record(run.record).dataset["name"]
    read = read_dataset(folder / "dataset")
    dataset = type(read)(read.path, read.json, read.cases, read.corrections, known_as=name)
    plans = read_plans(run.plans, dataset, configuration="2d")
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in workspace_environment(run.workspace).items():
            patch.setenv(variable, value)
        plan_and_preprocess(dataset, run.workspace, configuration="2d", plans=plans)
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Place:
    return Place(shutil.copytree(made, tmp_path / "place"))


# Files that would touch the file


def name_a_function_as_layer(place: Place) -> None:
    def change(plans: Any, settings: Any) -> None:
        parts = settings["architecture"]["arch_kwargs"]
        parts.update(nonlin="os.system", nonlin_kwargs=place.call)

    place.edit_plans(change)


def name_functions_elsewhere(place: Place) -> None:
    def change(plans: Any, settings: Any) -> None:
        settings.update(resampling_fn_data="join", resampling_fn_data_kwargs=place.call)
        settings.update(preprocessor_name="shutil", normalization_schemes=["np"])
        plans.update(image_reader_writer="os", label_manager="join")

    place.edit_plans(change)


def name_a_folder_to_delete(place: Place) -> None:
    victim = place.path / "victim"
    victim.mkdir()
    (victim / "file").touch()
    place.edit_plans(lambda plans, settings: settings.update(data_identifier=str(victim)))
    shutil.rmtree(place.path / "run" / "nnunet_data")


def name_a_reader(place: Place) -> None:
    for file in (*place.runs("dataset.json"), place.path / "dataset" / "dataset.json"):
        edit(file, lambda content: content.update(overwrite_image_reader_writer="os"))


def name_a_dataset_elsewhere(place: Place) -> None:
    for file in place.runs("ensemble.json"):
        edit(file, lambda record: record["dataset"].update(name="Dataset001_/../../victim"))


def pickle_a_member(place: Place) -> None:
    add_to_checkpoints("members/epoch_0003.pth", place)


def pickle_the_latest_state(place: Place) -> None:
    add_to_checkpoints("checkpoint_latest.pth", place)


def pickle_the_final_state(place: Place) -> None:
    shutil.copy(*place.runs("fold_0/checkpoint_final.pth")[::-1])
    add_to_checkpoints("checkpoint_final.pth", place)


def add_to_checkpoints(name: str, place: Place) -> None:
    for file in filter(Path.exists, place.runs(f"fold_0/{name}")):
        content = torch.load(file, weights_only=False)
        torch.save({**content, "more": Toucher(place.touched)}, file)


def preprocessed(place: Place, ending: str) -> list[Path]:
    files = sorted((place.path / "run" / "nnunet_data" / "preprocessed").rglob(f"*{ending}"))
    assert files
    return files


def pickle_properties(place: Place) -> None:
    for file in preprocessed(place, ".pkl"):
        content = {**pickle.loads(file.read_bytes()), "more": Toucher(place.touched)}
        file.write_bytes(pickle.dumps(content))


def forge_codecs(place: Place) -> None:
    for file in preprocessed(place, ".b2nd"):
        file.write_bytes(forge_codec(file.read_bytes()))


def pickled(place: Place) -> np.ndarray:
    return np.array([Toucher(place.touched)], object)


def replace_arrays(place: Place) -> None:
    for file in preprocessed(place, ".b2nd"):
        np.savez(file.with_suffix(".npz"), data=pickled(place), seg=pickled(place))
        file.unlink()


def link_logs(place: Place) -> None:
    for file in (*place.runs("train.log"), *place.runs("progress.jsonl")):
        file.unlink()
        file.symlink_to(place.touched)


def write_commands(place: Place) -> None:
    for run in map(RunFolder, place.runs("")):
        splits = json.loads(run.splits.read_text(encoding="utf-8"))
        run.splits.write_text(json.dumps([*splits, splits[0] | {"more": place.shell}]))
        run.job.write_text(json.dumps({"pid": 1, "arguments": [place.shell]}))
        run.progress.write_text(json.dumps({"kind": "notice", "text": place.shell}) + "\n")
        edit(run.path / "dataset_fingerprint.json", lambda c: c.update(more=place.shell))


def pickle_layers(place: Place) -> None:
    for folder in place.runs("fold_0/trajectory"):
        folder.mkdir()
        np.savez(folder / "epoch_0000.npz", layer=pickled(place))


def pickle_posteriors(place: Place) -> None:
    names = ("probabilities", "members", "box", "shape")
    for file in (place.path / "cohort" / "output").rglob("*.npz"):
        np.savez(file, **dict.fromkeys(names, pickled(place)))


def write_commands_into_studies(place: Place) -> None:
    def change(study: Any) -> None:
        study["image"] = {**study["image"], "path": place.shell}
        for report in study["reports"].values():
            report["ensemble"] = place.shell

    for file in (place.path / "cohort" / "output").rglob("study.json"):
        edit(file, change)


def write_commands_into_a_cohort(place: Place) -> None:
    file = place.path / "cohort" / "output" / "cohort.csv"
    with file.open(newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    texts = ("outcome", "ed_phase", "device", "warnings", "notes", "failure")
    rows = [row | dict.fromkeys(texts, place.shell) for row in rows]
    with file.open("w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows([*rows, rows[0] | {"study": place.shell}])


def write_commands_next_to_the_image(place: Place) -> None:
    text = f"ED: 1\nES: 1\nGroup: {place.shell}\n"
    (place.path / "study" / "image" / "Info.cfg").write_text(text)


def pickle_probabilities(place: Place) -> None:
    write_answer(place.path / "predictions", "p1_frame01", answer(1))
    write_reference(place.path / "labels", "p1_frame01", heart())
    (file,) = (place.path / "predictions").glob("*.npz")
    np.savez(file, probabilities=pickled(place))


def write_commands_into_acdc(place: Place) -> None:
    for file in make_acdc(place.path / "acdc").rglob("Info.cfg"):
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("DCM", place.shell).replace("HCM", place.shell))


def write_commands_into_mnms(place: Place) -> None:
    root = make_mnms(place.path / "mnms")
    codes = ("A0S9V9", "B1D0Q7", "C2U4V1", "A5C2D2", "D1K2P5", place.shell)
    changes = {"Pathology": place.shell, "VendorName": place.shell}
    write_table(root, [mnms_row(code, **changes) for code in codes])


def write_commands_into_dicom(place: Place) -> None:
    texts = ("PatientName", "PatientID", "SeriesDescription", "StudyDescription")
    uids = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
    given = dict.fromkeys(texts, place.shell) | dict.fromkeys(uids, f"../{place.touched.name}")
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # of invalid UIDs
        write_dicom_study(place.path / "dicom", name="heart", **given)


PAYLOADS: dict[str, Callable[[Place], None]] = {
    payload.__name__: payload
    for payload in (
        *(name_a_function_as_layer, name_functions_elsewhere, name_a_folder_to_delete),
        *(name_a_reader, name_a_dataset_elsewhere, pickle_a_member, pickle_the_latest_state),
        *(pickle_the_final_state, pickle_properties, forge_codecs, replace_arrays, link_logs),
        *(write_commands, pickle_layers, pickle_posteriors, write_commands_into_studies),
        *(write_commands_into_a_cohort, write_commands_next_to_the_image),
        *(pickle_probabilities, write_commands_into_acdc, write_commands_into_mnms),
        write_commands_into_dicom,
    )
}


# Commands


def arguments(command: str, place: Place) -> list[object]:
    """Return the arguments of a command."""
    run, finished, output = place.path / "run", place.path / "finished_run", place.path / "new"
    image = place.path / "study" / "image" / "cine.nii.gz"
    cohort = place.path / "cohort" / "output"
    dataset = place.path / "dataset"
    return {
        "inspect": ["inspect", run],
        "predict": ["predict", run, image, "-o", output, *ONE_PASS],
        "calibrate": ["calibrate", finished, dataset, *ON_CPU],
        "trajectory": ["trajectory", finished, "-o", output],
        "train": ["train", dataset, "--output", output, "--preset", "tiny", *ON_CPU],
        "train --resume": ["train", dataset, "--output", run, "--resume", *ON_CPU],
        "train --add-cycle": ["train", dataset, "--output", finished, "--add-cycle", *ON_CPU],
        "evaluate": ["evaluate", place.path / "predictions", place.path / "labels", "-o", output],
        "evaluate-queue": ["evaluate-queue", cohort, cohort, "-o", output],
        "evaluate-reader": ["evaluate-reader", cohort, cohort, "-o", output],
        "prepare acdc": ["prepare", "acdc", place.path / "acdc", "-o", output],
        "prepare mnms": ["prepare", "mnms", place.path / "mnms", "-o", output],
    }[command]


def run_command(command: str, check: Check, place: Place, warm: WarmCommand) -> tuple[bool, str]:
    """Return whether a command succeeds, and what it prints."""
    if command == "Segment (dock)":
        return load_in_worker(place)
    if command == "cluster worker":
        return load_in_cache(place)
    if command == "Review (dock)":
        return open_studies(place)
    if command == "predict --continue":
        return continue_cohort(place)
    if check.file == "DICOM":
        return segment_and_export(place, command)
    given = list(map(str, arguments(command, place)))
    if given[0] == "train":
        done = warm.run(*given, folder=place.path)
        return done.code == 0, done.errors
    result = CliRunner().invoke(main, given)
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result.exit_code == 0, result.output


def load_in_worker(place: Place) -> tuple[bool, str]:
    told: list[Message] = []
    worker = Worker(place.path, told.append)
    worker.handle(LoadEnsemble(folder=str(place.path / "run"), device="cpu"))
    last = told[-1]
    if isinstance(last, JobEnded):
        assert last.outcome == FAILED
        return False, f"Error: {last.text}"
    assert isinstance(last, EnsembleLoaded)
    return True, str(last.refused)


def load_in_cache(place: Place) -> tuple[bool, str]:
    try:
        with EnsembleCache().ensemble(place.path / "run", device="cpu") as ensemble:
            return True, str([member.refused for member in ensemble.folder.members])
    except Problem as problem:
        return False, f"Error: {problem}"


def open_studies(place: Place) -> tuple[bool, str]:
    files = sorted((place.path / "cohort" / "output").rglob("study.json"))
    sessions = [ReviewSession(read_study(file.parent)) for file in files]
    assert sessions
    for session in sessions:
        session.queue(session.scores())
    return True, str([session.study.problems for session in sessions])


def continue_cohort(place: Place) -> tuple[bool, str]:
    """Continue the cohort without the workers of ``predict``."""
    ensemble = Ensemble(place.path / "finished_run", device="cpu")
    cohort = place.path / "cohort"
    asked = {"settings": SegmentationSettings(device="cpu"), "skip_finished": True}
    done = run_here(ensemble, [cohort / "images"], cohort / "output", **asked)
    return FAILED not in [study.outcome for study in done], str(done)


def segment_and_export(place: Place, command: str) -> tuple[bool, str]:
    """Segment a DICOM study without the workers of ``predict``, and export the result."""
    output = place.path / "new"
    (done,) = run_here(Ensemble(place.path / "run", device="cpu"), [place.path / "dicom"], output)
    failed = done.outcome == FAILED
    if command == "predict" or failed:
        return not failed, str(done)
    (study,) = output.rglob("study.json")
    export = map(str, ("export-dicom", study.parent, place.path / "dicom", "-o", output / "dicom"))
    result = CliRunner().invoke(main, list(export))
    return result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("check", "command"),
    list(pairs()),
    ids=lambda value: value if isinstance(value, str) else f"{value.file}-{value.threat}"[:60],
)
def test_no_file_runs_code(check, command, place, warm_command) -> None:
    PAYLOADS[check.proof](place)
    before = set(os.listdir(place.path))
    succeeded, text = run_command(command, check, place, warm_command)
    assert not place.touched.exists()
    stops = check.outcome in (REFUSED, PHASE_LEFT_OUT)  # the study has one phase
    assert succeeded != stops, text
    if stops:
        assert text.startswith("Error: ")
        assert "Traceback" not in text
    if check.outcome == OPENED_WITHOUT:
        assert "posterior" in text
    if check.outcome == LEFT_OUT and command in ("inspect", "Segment (dock)"):
        assert "Toucher" not in text
        assert "epoch_0003.pth" in text
    if "delete" in check.threat:
        assert (place.path / "victim" / "file").exists()
    tables = {f"new{part}.csv" for part in ("", "_tools", "_stop", "_intervals")}
    ours = {"new", *tables, "new.png", "stdout", "stderr"}
    assert set(os.listdir(place.path)) - before <= ours


@pytest.mark.parametrize("kind", ["pickle", "array", "checkpoint"])
def test_the_payload_of_a_pickle_works(kind, tmp_path) -> None:
    """A payload that touches nothing would prove nothing."""
    place = Place(tmp_path)
    file = tmp_path / "file"
    if kind == "pickle":
        pickle.loads(pickle.dumps(Toucher(place.touched)))
    elif kind == "array":
        np.save(file.with_suffix(".npy"), pickled(place))
        np.load(file.with_suffix(".npy"), allow_pickle=True)
    else:
        torch.save({"more": Toucher(place.touched)}, file)
        torch.load(file, weights_only=False)
    assert place.touched.exists()
