"""Students that the real command trains, also when it is stopped or killed."""

import json
import os
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.distillation.job import (
    CHANGED_MEMBERS,
    NO_PREPROCESSED_IMAGES,
    NO_TEACHER,
    PART_OF_ENSEMBLE,
    DistillationRequest,
    prepare_distillation,
)
from napari_bayes_nnunet.app.distillation.run import (
    COMPUTING_TARGETS,
    FINISHED_STUDENT,
    FOREIGN_TARGETS,
    TARGETS_NEED_SPACE,
    _compute_targets,
    distill,
)
from napari_bayes_nnunet.app.messages import from_line
from napari_bayes_nnunet.app.report.output_folder import OUTPUT_IS_INPUT
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.inspection import inspection_json, inspection_text
from napari_bayes_nnunet.app.signals import StopRequest
from napari_bayes_nnunet.app.training.job import (
    RUN_IS_BUSY,
    RUN_IS_DATASET,
    locked_run,
    prepare_job,
)
from napari_bayes_nnunet.app.training.request import (
    IS_STUDENT,
    OTHER_STUDENT,
    STARTED_WITH,
    TrainingRequest,
)
from napari_bayes_nnunet.app.training.run_state import read_process_record, read_run_state
from napari_bayes_nnunet.core.problems import Action, Problem, change
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.ensemble.fingerprint import CALIBRATION_FILE
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record, write_record
from napari_bayes_nnunet.io.ensemble.student_folder import find_student
from napari_bayes_nnunet.io.images.nifti import read_channels
from napari_bayes_nnunet.nnunet.distillation.student import HEAD
from napari_bayes_nnunet.nnunet.distillation.targets import STEPS, read_image_array
from napari_bayes_nnunet.nnunet.inference import Predictor
from napari_bayes_nnunet.nnunet.weights import read_checkpoint

from ...helpers.processes.full_card import FullCard

FLAGS = ("--epochs", 4, "--iterations-per-epoch", 2, "--members", 5, "--seed", 3)
CASES = 6
FIRST_CASES = COMPUTING_TARGETS.format(members=5, done=2, total=CASES)


@pytest.fixture
def run(trained_run, tmp_path):
    """A copy of a finished ensemble."""
    return RunFolder(shutil.copytree(trained_run, tmp_path / "run"))


@pytest.fixture
def student(run):
    return RunFolder(run.path / "student")


@pytest.fixture(scope="module")
def taught(trained_run, warm_command, tmp_path_factory):
    """A finished student of a copy of the ensemble, trained without interruption. Read only."""
    folder = tmp_path_factory.mktemp("taught")
    run = shutil.copytree(trained_run, folder / "run")
    done = warm_command.run("distill", run, *FLAGS, "--jsonl", folder=folder)
    assert done.code == 0, done.errors
    assert [json.loads(line)["epoch"] for line in done.output.splitlines()] == list(range(4))
    student = RunFolder(run / "student")
    assert done.errors == FINISHED_STUDENT.format(folder=student.path) + "\n"
    return student


@pytest.fixture
def copied(taught, tmp_path):
    """A copy of the finished student with its ensemble."""
    return RunFolder(shutil.copytree(taught.path.parent, tmp_path / "copy") / "student")


def refusal(run, **options):
    """Return the error for a request, which must not change the folder of the student."""
    with (
        pytest.raises(Problem) as error,
        prepare_distillation(DistillationRequest(run=run.path, **options)),
    ):
        pass
    return error.value.statement


def messages(run):
    return [from_line(line) for line in run.progress.read_text().splitlines()]


# A finished student


def test_the_record_names_the_ensemble(taught):
    record, ensemble = read_record(taught.record), find_ensemble(taught.path.parent)
    chosen = {m.path.relative_to(ensemble.path).as_posix(): m.sha256 for m in ensemble.members[-5:]}
    assert record.teacher.members == chosen
    assert record.teacher.mirroring == "spread"
    assert record.teacher.plans_sha256 == ensemble.plans_sha256
    assert record.folds["0"]["training_cases"] == ensemble.record.training_cases("0")
    assert record.folds["0"]["validation_cases"] == ensemble.record.validation_cases("0")
    for folder in (taught.path, taught.path.parent):
        assert json.loads((folder / CALIBRATION_FILE).read_text())["one_component"] is True
    rates = [m.learning_rate for m in messages(taught) if m.kind == "epoch"]
    assert rates == [record.schedule.learning_rate(epoch) for epoch in range(4)]
    assert record.schedule.shape == "poly"


def test_the_student_is_a_usable_ensemble_of_one(taught):
    folder = Ensemble(taught.path).folder
    (member,) = folder.usable_members
    assert (member.epoch, folder.plans_sha256) == (
        3,
        read_record(taught.record).teacher.plans_sha256,
    )
    assert folder.name in inspection_text(folder)
    assert inspection_json(folder)["teacher"]["ensemble"] == find_ensemble(taught.path.parent).name
    assert HEAD in read_checkpoint(member.path)


def test_the_ensemble_finds_its_student(taught, copied):
    ensemble = find_ensemble(copied.path.parent)
    assert find_student(ensemble).path == copied.fold("0") / "members" / "epoch_0003.pth"
    ensemble.usable_members[-1].path.unlink()
    assert find_student(find_ensemble(copied.path.parent)) is None


def test_targets_are_the_answers_of_the_ensemble(taught, hearts):
    record = read_record(taught.record)
    names = {file.stem for file in (taught.path / "targets").glob("*.b2nd")}
    assert names == set(record.training_cases("0"))
    assert len(names) == CASES
    case = next(case for case in read_dataset(hearts).cases if case.name in names)
    (image,) = read_channels(case.images[0])
    result = Ensemble(taught.path.parent, precision="auto").segment(
        image.voxels, image.spacing, members=5, mirroring="spread", window="whole", temperature=1
    )
    targets = read_image_array(taught.path / "targets" / f"{case.name}.b2nd") / STEPS
    assert np.abs(targets[:-1] - result.probabilities[1:]).max() < 0.01  # not resampled
    assert np.abs(2 * targets[-1] - result.mutual_information).max() < 0.02


def test_other_targets_are_kept_for_a_new_start_only_of_the_same_ensemble(copied, hearts):
    shutil.rmtree(copied.fold("0"))
    files = sorted((copied.path / "targets").glob("*.b2nd"))
    files[0].write_bytes(b"damaged")
    untouched = files[1].stat().st_mtime_ns
    options = {"run": copied.path.parent, "epochs": 1, "iterations_per_epoch": 1}
    found = []
    with prepare_distillation(DistillationRequest(**options, members=5)) as job:
        copied.stop.unlink(missing_ok=True)
        stop = StopRequest(copied.stop)

        def send(message):
            found.append(message)
            if message.kind == "stage" and message.done == message.total:
                copied.stop.touch()

        assert not distill(job, send, stop)
    assert files[1].stat().st_mtime_ns == untouched
    assert files[0].stat().st_size > 1000
    assert [m.done for m in found if m.kind == "stage"] == [CASES - 1, CASES]

    with prepare_distillation(DistillationRequest(**options, members=4)) as job:
        stop = StopRequest(copied.stop)
        copied.stop.touch()
        assert not distill(job, found.append, stop)
    assert [file.name for file in (copied.path / "targets").iterdir()] == ["targets.json"]


# Stopped and killed


def test_a_killed_student_resumes_to_the_same_weights(taught, run, student, warm_command, tmp_path):
    first = warm_command.start("distill", run.path, *FLAGS, folder=tmp_path)
    first.wait(lambda: student.progress.exists() and FIRST_CASES in student.progress.read_text())
    state = read_run_state(student)
    assert state.kind == "running"
    assert state.info.process(student).pid == first.pid
    assert state.info.arguments[:1] == (str(run.path),)
    first.kill()
    state = read_run_state(student)
    (remedy,) = state.text.remedies
    assert (state.kind, remedy.action) == ("died", Action.RUN)
    assert remedy.values["command"].endswith(f"--output {student.path} --resume")
    assert not list(student.path.glob("fold_*"))
    again = ("distill", run.path, "--resume", "--jsonl")
    second = warm_command.start(*again, folder=tmp_path)
    second.wait_for('"epoch": 1')
    student.stop.touch()
    second.wait()
    assert second.code == 0
    (remedy,) = messages(student)[-1].sentence.remedies
    assert remedy.action is Action.RUN
    assert remedy.values["command"].endswith(f"--output {student.path} --resume")
    third = warm_command.run(*again, folder=tmp_path)
    assert third.code == 0, third.errors
    members = [read_record(folder.record).members("0") for folder in (student, taught)]
    assert members[0] == members[1]
    assert [m.epoch for m in messages(student) if m.kind == "epoch"] == list(range(4))
    assert not student.stop.exists()
    assert list(student.path.rglob(".*")) == []


# Refusals


def test_a_finished_student_is_not_replaced(copied):
    run = RunFolder(copied.path.parent)
    assert refusal(run).remedies[0].action is Action.RESUME
    assert refusal(run, resume=True, epochs=5).template == STARTED_WITH
    with prepare_distillation(DistillationRequest(run=run.path, resume=True, epochs=4)) as job:
        assert job.is_trained


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"add_cycle": True}])
def test_a_student_is_not_trained_on_labels(copied, hearts, options):
    request = TrainingRequest(dataset=hearts, output=copied.path, **options)
    with pytest.raises(Problem) as error, prepare_job(request):
        pass
    assert error.value.statement.template == IS_STUDENT


def test_a_student_of_all_members_resumes_with_the_same_maximum(copied):
    run = RunFolder(copied.path.parent)
    request = DistillationRequest(run=run.path, resume=True, members=30)
    assert refusal(run, resume=True, members=30).template == STARTED_WITH
    find_ensemble(run.path).members[0].path.unlink()  # the only one that does not teach
    with prepare_distillation(request) as job:
        assert len(job.members) == 5


def test_changed_members_do_not_continue_a_student(copied):
    run = RunFolder(copied.path.parent)
    member = find_ensemble(run.path).members[-1].path
    member.write_bytes(member.read_bytes()[:-1] + b"x")
    error = refusal(run, resume=True)
    assert (error.template, error.values["count"]) == (CHANGED_MEMBERS, 1)


def test_nothing_is_left_by_a_refusal(run, student):
    assert refusal(run, resume=True).remedies[0].action is Action.START_NEW
    assert refusal(run, output=run.path).template == OUTPUT_IS_INPUT
    dataset = run.path.with_name("dataset")
    (dataset / "imagesTr").mkdir(parents=True)
    assert refusal(run, output=dataset).template == RUN_IS_DATASET
    for part in (run.fold("0"), run.fold("0") / "new", run.workspace):
        assert refusal(run, output=part).template == PART_OF_ENSEMBLE
        assert not RunFolder(part).lock.exists()
    for member in find_ensemble(run.path).members[1:]:
        member.path.unlink()
    assert refusal(run).template == NO_TEACHER
    assert not student.path.exists()


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_images_of_others_are_made_from_the_dataset(run, student, hearts, damage):
    case = read_record(run.record).training_cases("0")[0]
    (file,) = run.workspace.rglob(f"{case}.pkl")
    before = file.read_bytes()
    if damage == "changed":
        file.write_bytes(b"code")
    else:
        shutil.rmtree(run.workspace)
    assert read_process_record(run).dataset == str(hearts)
    with prepare_distillation(DistillationRequest(run=run.path, members=2)) as job:
        stop = StopRequest(student.stop)

        def send(message):
            if message.kind == "stage" and "members" in message.text:
                student.stop.touch()

        assert not distill(job, send, stop)
    assert file.read_bytes() == before
    with prepare_distillation(DistillationRequest(run=run.path, members=2)) as job:
        assert job.dataset is None


def test_missing_images_without_their_dataset_are_reported(run, student, tmp_path):
    case = read_record(run.record).training_cases("0")[0]
    (file,) = run.workspace.rglob(f"{case}.b2nd")
    file.unlink()
    process = json.loads(run.job.read_text())
    run.job.write_text(json.dumps({**process, "dataset": str(tmp_path / "moved")}))
    assert refusal(run).template == NO_PREPROCESSED_IMAGES
    moved = DistillationRequest(run=run.path, dataset=Path(process["dataset"]))
    with prepare_distillation(moved) as job:
        assert job.dataset.path == moved.dataset
    run.job.unlink()
    shutil.rmtree(run.workspace)
    run.lock.unlink()
    assert refusal(run).template == NO_PREPROCESSED_IMAGES
    assert not run.lock.exists()
    assert not student.path.exists()


def test_another_fold_must_be_chosen(run):
    record = read_record(run.record)
    write_record(run.record, replace(record, folds={**record.folds, "1": record.folds["0"]}))
    (remedy,) = refusal(run).remedies
    assert remedy == change("fold")


def test_an_ensemble_is_not_replaced_by_a_student(run, copied):
    assert refusal(run, output=copied.path.parent).template == OTHER_STUDENT


@pytest.mark.parametrize("busy", ["ensemble", "student"])
def test_a_folder_in_use_is_refused(busy, run, student):
    folder = run if busy == "ensemble" else student
    with locked_run(folder, {}):
        assert refusal(run).template == RUN_IS_BUSY


def test_a_read_only_ensemble_teaches(run, tmp_path, monkeypatch):
    run.lock.unlink()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != run.path and access(path, mode))
    request = DistillationRequest(run=run.path, output=tmp_path / "student", members=2)
    with prepare_distillation(request) as job:
        assert job.images.is_dir()
    assert not run.lock.exists()


def test_a_full_disk_is_reported_before_the_work(run, monkeypatch):
    usage = shutil.disk_usage(run.path)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with (
        pytest.raises(Problem) as error,
        prepare_distillation(DistillationRequest(run=run.path)) as job,
    ):
        distill(job, lambda message: None, StopRequest(job.run.stop))
    assert error.value.statement.template == TARGETS_NEED_SPACE


def test_a_full_card_leaves_the_sums_to_the_main_memory(run, student, monkeypatch):
    start_over, sizes = Predictor.start_over, []

    def noting(predictor):
        before = getattr(predictor, "batch_size", 0)
        start_over(predictor)
        sizes.append((before, predictor.batch_size))

    monkeypatch.setattr(Predictor, "start_over", noting)
    request = DistillationRequest(run=run.path, members=2, device="cpu")
    with prepare_distillation(request) as job:
        compute = partial(_compute_targets, job, lambda message: None, StopRequest(student.stop))
        compute()
        expected = {file: read_image_array(file) for file in job.targets.glob("*.b2nd")}
        for file in expected:
            file.unlink()
        with FullCard(room=0):
            compute()
    assert any(0 < before < after for before, after in sizes)  # the next case may be smaller
    for file, targets in expected.items():
        np.testing.assert_allclose(read_image_array(file), targets, atol=1)


def test_targets_of_others_are_neither_deleted_nor_used(run, student, tmp_path):
    def ending():
        with (
            pytest.raises(Problem) as error,
            prepare_distillation(DistillationRequest(run=run.path, members=2)) as job,
        ):
            student.stop.unlink(missing_ok=True)
            distill(job, stop_at_once, StopRequest(student.stop))
        return error.value.statement.template

    def stop_at_once(message):
        raise AppError(message.kind)

    foreign = student.path / "targets" / "article.docx"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("unique")
    assert ending() == FOREIGN_TARGETS
    assert foreign.read_text() == "unique"
    assert not student.record.exists()
    # on another disk, of other members
    shutil.rmtree(foreign.parent)
    (tmp_path / "disk").mkdir()
    foreign.parent.symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "targets.json").write_text("{}")
    (tmp_path / "disk" / "case.b2nd").write_text("of other members")
    assert ending() != FOREIGN_TARGETS
    assert [file.name for file in (tmp_path / "disk").iterdir()] == ["targets.json"]
