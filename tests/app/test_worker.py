"""The inference child as a real process that speaks JSON lines."""

import queue
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from napari_bayes_nnunet.app import AppError, worker
from napari_bayes_nnunet.app.messages import (
    ChildReady,
    EnsembleLoaded,
    FirstLookReady,
    JobEnded,
    LoadEnsemble,
    Message,
    Notice,
    PhaseDone,
    PhasesFound,
    SegmentImage,
    SnapshotReady,
    StageStarted,
    StopJob,
    from_line,
    text_fields,
)
from napari_bayes_nnunet.app.remote.device import WRONG_ADDRESS
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.image_check import BLANK_PHASES
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.app.worker import LATER_THAN_THE_WINDOW, NO_REVIEW, Worker
from napari_bayes_nnunet.core.ensemble.stability import Stability
from napari_bayes_nnunet.core.metrics.overlap import pairwise_dice
from napari_bayes_nnunet.core.problems import statement
from napari_bayes_nnunet.io.study.arrays import read_posterior
from napari_bayes_nnunet.nnunet import Stopped
from tests.helpers.data.models import made_image, make_model

SPACING = (8.0, 1.2, 1.9)
ON_CPU = SegmentationSettings(device="cpu")


class Child:
    """A running inference child."""

    def __init__(self, scratch: Path) -> None:
        scratch.mkdir()
        self.scratch = scratch
        command = [sys.executable, "-m", "napari_bayes_nnunet.app.worker", "--scratch", scratch]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self.ready = self.receive()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def send(self, message: Message) -> None:
        self.process.stdin.write(message.to_line() + "\n")
        self.process.stdin.flush()

    def receive(self) -> Message:
        line = self.process.stdout.readline()
        assert line, f"the child ended with {self.process.wait()}"
        return from_line(line)

    def until(self, kind: type[Message]) -> list[Message]:
        """All messages up to the first of a kind."""
        messages = [self.receive()]
        while not isinstance(messages[-1], kind):
            messages.append(self.receive())
        return messages

    def image(self, voxels: np.ndarray) -> str:
        path = self.scratch / "image.npy"
        np.save(path, voxels)
        return str(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def child(tmp_path_factory):
    """Return the child that serves one test after the other, as it serves one job after another."""
    with closing(Child(tmp_path_factory.mktemp("child") / "scratch")) as running:
        yield running


def request(child: Child, model: Path, voxels: np.ndarray, **changes) -> SegmentImage:
    given = {"job": 1, "spacing": SPACING, "folder": str(model), "settings": ON_CPU} | changes
    return SegmentImage(image=child.image(voxels), **given)


def told_here(scratch: Path, model: Path, voxels: np.ndarray, **changes) -> list[Message]:
    """Return what a worker in this process tells of a segmentation."""
    told: list[Message] = []
    np.save(scratch / "image.npy", voxels)
    given = {"image": str(scratch / "image.npy"), "folder": str(model), "settings": ON_CPU}
    asked = SegmentImage(job=1, spacing=SPACING, **(given | changes))
    Worker(scratch, told.append).handle(asked)
    return told


@pytest.mark.skipif(sys.platform == "win32", reason="has classes of priority instead")
def test_the_window_goes_first(child):
    later = min(psutil.Process().nice() + LATER_THAN_THE_WINDOW, 19)
    assert psutil.Process(child.process.pid).nice() == later


def test_a_segmentation_arrives_member_by_member(child, model):
    assert isinstance(child.ready, ChildReady)
    assert child.ready.devices["cpu"].startswith("CPU")
    image = made_image((4, 20, 24))
    child.send(request(child, model, image[None]))
    messages = child.until(JobEnded)
    snapshots = [m for m in messages if isinstance(m, SnapshotReady)]
    assert snapshots[0].done == 1
    before = messages[: messages.index(snapshots[0])]
    assert sum(isinstance(m, StageStarted) for m in before) == 2  # loading has an end
    assert snapshots[-1].done == snapshots[-1].total == 3
    assert snapshots[-1].eta_seconds == 0
    expected = Ensemble(model, device="cpu").segment(image, SPACING)
    np.testing.assert_array_equal(np.load(snapshots[-1].labels), expected.labels)
    np.testing.assert_allclose(np.load(snapshots[-1].maps["entropy"]), expected.entropy, atol=1e-5)
    (done,) = [m for m in messages if isinstance(m, PhaseDone)]
    assert done.report["member_epochs"] == [1, 2, 3]
    said = read_posterior(Path(done.posterior), prediction=expected.labels, maps=expected.maps)
    assert (said.count, said.classes) == (3, 4)
    for z in range(4):
        mean = expected.probabilities[:, z]
        np.testing.assert_allclose(said.slice_at(z).probabilities, mean, atol=1 / 255)
    agreement = pairwise_dice(said.members, {"RV": 1, "MYO": 2, "LV": 3})
    assert agreement == pytest.approx(expected.pairwise_dice)
    assert messages[-1] == JobEnded(outcome="finished", job=1)


def test_second_segmentation_uses_the_cache(child, model):
    image = made_image((4, 20, 24), seed=7)
    answers = child.scratch / "answers"
    of_other_images = set(answers.iterdir())
    for method, members in (("vanilla", 1), ("multi", 3)):
        child.send(request(child, model, image[None], settings=replace(ON_CPU, method=method)))
        assert child.until(JobEnded)[-1].outcome == "finished"
        files = set(answers.iterdir()) - of_other_images
        assert len(files) == members
    for file in files:  # such as nobody would compute
        background = np.zeros_like(np.load(file))
        background[0] = 1
        np.save(file, background)
    child.send(request(child, model, image[None]))
    *_, done, ended = child.until(JobEnded)
    assert ended.outcome == "finished"
    assert {volumes["ensemble"] for volumes in done.report["volumes_ml"].values()} == {0}


@pytest.mark.parametrize("doubt", ["its tags differ", ""])
def test_tags_speak_for_or_against_a_cine(child, model, doubt):
    image = made_image((4, 20, 24))[None]
    child.send(request(child, model, image, doubt=doubt))
    *_, done, _ = child.until(JobEnded)
    assert done.report["no_cine"] is bool(doubt)
    assert any(doubt in warning for warning in done.report["warnings"])


def test_phases_of_a_cine(child, model):
    cine = np.stack([made_image((4, 20, 24), seed=s) for s in range(3)])[None]
    vanilla = replace(ON_CPU, method="vanilla")
    child.send(request(child, model, cine, phases=[2, 3], settings=vanilla))
    messages = child.until(JobEnded)
    assert [m.phase for m in messages if isinstance(m, PhaseDone)] == [2, 3]
    child.send(request(child, model, cine, job=2, phases=None, settings=vanilla))
    messages = child.until(JobEnded)
    (found,) = [m for m in messages if isinstance(m, PhasesFound)]
    done = [m.phase for m in messages if isinstance(m, PhaseDone)]
    assert done == [found.end_diastole, found.end_systole]
    assert [m.phase for m in messages if isinstance(m, FirstLookReady)] == [1, 2, 3]


def test_a_cine_gets_a_look_at_every_phase_before_any_is_segmented(child, model):
    cine = np.stack([made_image((2, 20, 24), seed=s) for s in range(8)])[None]
    asked = [2, 3, 4, 5, 6, 8]
    vanilla = replace(ON_CPU, method="vanilla")
    child.send(request(child, model, cine, phases=asked, settings=vanilla))
    messages = child.until(JobEnded)
    looks = [m for m in messages if isinstance(m, FirstLookReady)]
    first = next(n for n, m in enumerate(messages) if isinstance(m, SnapshotReady))
    assert [m.phase for m in messages[:first] if isinstance(m, FirstLookReady)] == [*range(1, 9)]
    lv = {m.phase: m.volumes["LV"] for m in looks}
    done = [m.phase for m in messages if isinstance(m, PhaseDone)]
    assert done[:2] == [max(asked, key=lv.__getitem__), min(asked, key=lv.__getitem__)]
    assert sorted(done) == asked
    doubt = {}
    for m in looks:
        assert np.load(m.labels).shape == (2, 20, 24)
        doubt[m.phase] = np.load(m.maps["entropy"]).sum() / sum(m.volumes.values())
    assert done[2:] == sorted(done[2:], key=doubt.__getitem__, reverse=True)


@pytest.mark.parametrize("blank", [[], [3]])
def test_a_cine_is_copied_only_to_leave_out_blank_phases(tmp_path, blank):
    cine = np.stack([made_image((2, 20, 24), seed=s) for s in range(8)])[None]
    cine[:, blank] = 0
    seen = []

    def first_looks(chosen, spacing, **options):
        seen.append(chosen)
        raise Stopped

    asked = SegmentImage(job=1, image="", spacing=SPACING, folder="", settings=ON_CPU)
    ensemble = SimpleNamespace(first_looks=first_looks)
    with pytest.raises(Stopped):
        Worker(tmp_path, lambda message: None)._in_order(asked, ensemble, cine, [2, 1])
    np.testing.assert_array_equal(seen[0], np.delete(cine, blank, axis=1))
    assert np.shares_memory(seen[0], cine) is not bool(blank)


@pytest.mark.parametrize("value", [0, np.nan])
def test_a_phase_without_an_image_fails_after_the_others(child, model, value):
    cine = np.stack([made_image((2, 20, 24), seed=s) for s in range(8)])[None]
    cine[:, 0] = value
    vanilla = replace(ON_CPU, method="vanilla")
    child.send(request(child, model, cine, phases=[], settings=vanilla))
    *messages, ended = child.until(JobEnded)
    assert ended.outcome == "failed"
    for kind in (FirstLookReady, PhaseDone):
        assert sorted(m.phase for m in messages if isinstance(m, kind)) == [*range(2, 9)]


def test_ed_and_es_are_found_next_to_a_blank_phase(child, model):
    cine = np.stack([made_image((4, 20, 24), seed=s) for s in range(4)])[None]
    cine[:, 1] = 0
    vanilla = replace(ON_CPU, method="vanilla")
    child.send(request(child, model, cine, phases=None, settings=vanilla))
    *messages, ended = child.until(JobEnded)
    assert ended.outcome == "finished"
    assert [m.text for m in messages if isinstance(m, Notice)] == [
        BLANK_PHASES.format(phases="phase 2")
    ]
    (found,) = [m for m in messages if isinstance(m, PhasesFound)]
    assert 2 not in (found.end_diastole, found.end_systole)


def test_a_stop_during_the_looks_keeps_them(child, model):
    cine = np.stack([made_image((6, 150, 150), seed=s) for s in range(8)])[None]
    child.send(request(child, model, cine, phases=[], job=7))
    child.until(FirstLookReady)
    child.send(StopJob(job=7))
    *later, ended = child.until(JobEnded)
    assert ended == JobEnded(outcome="stopped", job=7)
    assert not any(isinstance(m, PhaseDone) for m in later)
    assert len(later) <= 1, "the look that was being made"


def test_phases_asked_together_arrive_member_by_member(model, tmp_path, monkeypatch):
    monkeypatch.setattr(Ensemble, "phases_at_once", lambda self, image, mirroring: 2)
    cine = np.stack([made_image((4, 20, 24), seed=s) for s in range(3)])[None]
    told = told_here(tmp_path, model, cine)
    snapshots = [m for m in told if isinstance(m, SnapshotReady)]
    together = [(phase, done) for done in (1, 2, 3) for phase in (1, 2)]
    assert [(m.phase, m.done) for m in snapshots] == [*together, *((3, n) for n in (1, 2, 3))]
    assert snapshots[5].eta_seconds > 0
    assert snapshots[-1].eta_seconds == 0
    assert [m.phase for m in told if isinstance(m, PhaseDone)] == [1, 2, 3]
    alone = Ensemble(model, device="cpu").segment(cine[:, 1], SPACING)
    np.testing.assert_array_equal(np.load(snapshots[5].labels), alone.labels)


def test_snapshots_come_after_powers_of_two_and_when_a_phase_is_stable(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "napari_bayes_nnunet.app.segmentation.result.SECONDS_BETWEEN_SNAPSHOTS", 1e9
    )
    model = make_model(tmp_path / "model", members=11)
    told = told_here(tmp_path, model, made_image((3, 20, 24))[None])
    assert [m.done for m in told if isinstance(m, SnapshotReady)] == [1, 2, 4, 8, 11]
    monkeypatch.setattr(Ensemble, "phases_at_once", lambda self, image, mirroring: 2)
    checks: dict[Stability, int] = {}

    def update(self, labels, entropy):
        """The first phase rests after the second check, after six members."""
        checks[self] = checks.get(self, 0) + 1
        is_first = self is next(iter(checks))
        return np.full(len(labels), is_first and checks[self] == 2)

    monkeypatch.setattr(Stability, "update", update)
    cine = np.stack([made_image((3, 20, 24), seed=s) for s in range(2)])[None]
    settings = replace(ON_CPU, until_stable=True, members=11)
    told = told_here(tmp_path, model, cine, settings=settings, phases=[1, 2])
    shown = {p: [m for m in told if isinstance(m, SnapshotReady) and m.phase == p] for p in (1, 2)}
    assert [(m.done, m.total) for m in shown[1]] == [(1, 11), (2, 11), (4, 11), (6, 6)]
    assert [(m.done, m.total) for m in shown[2]] == [(n, 11) for n in (1, 2, 4, 6, 8, 11)]
    for done in [m for m in told if isinstance(m, PhaseDone)]:
        labels = np.load(shown[done.phase][-1].labels)
        for name, value in {"RV": 1, "MYO": 2, "LV": 3}.items():
            ml = np.count_nonzero(labels == value) * np.prod(SPACING) / 1000
            assert done.report["volumes_ml"][name]["ensemble"] == pytest.approx(ml)


def test_missing_phase_fails_with_its_number(child, model):
    cine = np.stack([made_image((4, 20, 24), seed=s) for s in range(3)])[None]
    child.send(request(child, model, cine, phases=[9]))
    end = child.until(JobEnded)[-1]
    assert end.outcome == "failed"
    assert end.sentence.values == {"phase": 9, "phases": 3}


def test_a_stop_overtakes_and_the_child_serves_on(child, model):
    child.send(request(child, model, made_image((8, 100, 100))[None]))
    child.until(SnapshotReady)
    child.send(StopJob(job=1))
    *before, end = child.until(JobEnded)
    assert end == JobEnded(outcome="stopped", job=1)
    assert len(before) <= 1, "the member that was being asked"
    child.send(request(child, model, made_image((3, 20, 24))[None], job=2))
    assert child.until(JobEnded)[-1] == JobEnded(outcome="finished", job=2)


def test_members_that_do_not_fit_are_reported(child, model, tmp_path):
    broken = make_model(tmp_path / "other", members=2)
    (broken / "fold_0" / "checkpoint_epoch_2.pth").write_bytes(b"no checkpoint")
    child.send(LoadEnsemble(folder=str(broken), device="cpu"))
    loaded = child.until(EnsembleLoaded)[-1]
    assert [Path(path).name for path in loaded.refused] == ["checkpoint_epoch_2.pth"]


def test_a_folder_without_ensemble_fails_in_one_sentence(child, tmp_path):
    child.send(LoadEnsemble(folder=str(tmp_path), device="cpu"))
    end = child.until(JobEnded)[-1]
    assert end.outcome == "failed"
    assert "plans.json" in end.text


def test_line_without_message_is_skipped(child, model):
    child.process.stdin.write("hello\n")
    child.send(request(child, model, made_image((3, 20, 24))[None], job=3))
    assert child.until(JobEnded)[-1] == JobEnded(outcome="finished", job=3)


def test_the_child_ends_when_its_window_is_gone(model, tmp_path):
    with closing(Child(tmp_path / "scratch")) as child:
        child.send(request(child, model, made_image((8, 100, 100))[None]))
        child.process.stdin.close()
        assert child.process.wait(timeout=5) == 0


def test_full_disk_prevents_only_the_review(model, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_bayes_nnunet.app.worker.write_posterior", full)
    told = told_here(tmp_path, model, made_image((4, 20, 24))[None])
    (notice,) = [m for m in told if isinstance(m, Notice)]
    assert notice.sentence == statement(NO_REVIEW, reason="No space left on device")
    (done,) = [m for m in told if isinstance(m, PhaseDone)]
    assert done.posterior == ""
    assert told[-1] == JobEnded(outcome="finished", job=1)


def test_broken_cuda_ends_the_child_after_its_report(model, tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nPass a flag.")

    monkeypatch.setattr(Ensemble, "phase_steps", fail)
    monkeypatch.setattr("torch.cuda.synchronize", lambda device: None)
    told: list[object] = []
    monkeypatch.setattr("os._exit", told.append)
    np.save(tmp_path / "image.npy", made_image((4, 20, 24))[None])
    image = str(tmp_path / "image.npy")
    asked = SegmentImage(job=1, image=image, spacing=SPACING, folder=str(model), settings=ON_CPU)
    made = Worker(tmp_path, told.append)
    made.handle(asked)
    assert told[-1].outcome == "failed"
    monkeypatch.setattr("torch.cuda.synchronize", fail)
    made.handle(asked)
    assert told[-2].outcome == "failed"
    assert told[-1] == 1
    assert capsys.readouterr().err.endswith(
        "\nCUDA error: an illegal memory access was encountered\n"
    )


@pytest.mark.parametrize("is_listed", [True, False])
def test_gpus_are_described_by_another_process(monkeypatch, is_listed):
    def find_devices():
        if is_listed:
            return {"cuda:0": "Card", "cpu": "CPU"}
        raise AppError("Nothing was listed.")

    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda index: "Own card")
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda index: (2**30, 2**31))
    monkeypatch.setattr(worker, "find_devices", find_devices)
    told: queue.Queue[Message] = queue.Queue()
    worker._report_devices(told.put)
    ready = told.get(timeout=60)
    assert isinstance(ready, ChildReady)
    assert ready.devices["cuda:0"].startswith("Card" if is_listed else "Own card, 1.0 of 2.0 GiB")


def test_a_message_survives_the_line():
    settings = SegmentationSettings(members=3, temperature=1.5, device="cuda:1", precision="full")
    image = {"image": "a.npy", "spacing": (8.0, 1.2, 1.9), "folder": "f", "phases": [1]}
    message = SegmentImage(job=3, settings=settings, **image)
    assert asdict(from_line(message.to_line())) == asdict(message)
    assert from_line('{"kind":"stop","job":4,"of_a_newer_version":true}') == StopJob(job=4)
    assert from_line('{"kind":"phase_done","job":1,"phase":2,"report":{}}').posterior == ""


def test_invalid_address_is_reported_in_one_sentence(tmp_path, model):
    told: list[Message] = []
    Worker(tmp_path, told.append).handle(LoadEnsemble(folder=str(model), device="ssh://"))
    words = text_fields(statement(WRONG_ADDRESS, address="ssh://"))
    assert told[-1] == JobEnded(outcome="failed", **words)
