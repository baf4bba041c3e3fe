"""Tests that members are checked while the first one computes, and that none is used unchecked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.messages import (
    EnsembleLoaded,
    JobEnded,
    LoadEnsemble,
    Message,
    SegmentImage,
    SnapshotReady,
)
from napari_bayes_nnunet.app.segmentation import ensemble as ensemble_module
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.member_predictions import MemberChecks
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.app.worker import Worker
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.ensemble.ensemble_folder import EnsembleFolder, find_ensemble
from napari_bayes_nnunet.nnunet import weights
from tests.helpers.data.models import made_image, make_model

SPACING = (8.0, 1.5, 1.5)
SETTINGS = SegmentationSettings(mirroring="none", window="whole", device="cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def folder(model: Path) -> EnsembleFolder:
    """Return a folder whose checksums are known, as they are for a training of this package."""
    return find_ensemble(model).with_checksums()


class Gate:
    """Checks of members that wait until it opens, in the thread that makes them ahead."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.refused: set[str] = set()
        self.checked: list[str] = []

    def check(self, path: Path, expected: object, *, sha256: str = "") -> str:
        if threading.current_thread() is not threading.main_thread():
            assert self.opened.wait(60)
        self.checked.append(path.name)
        return "damaged" if path.name in self.refused else ""


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr(weights, "check_member", gate.check)
    yield gate
    gate.opened.set()


def steps(ensemble: Ensemble) -> Iterator[object]:
    return ensemble.steps(made_image((2, 40, 30)), SPACING, SETTINGS)


def test_first_member_does_not_wait_for_others(folder, gate) -> None:
    running = steps(Ensemble(folder, device="cpu"))
    assert next(running).done == 1
    assert len(gate.checked) == 1
    gate.opened.set()
    assert next(running).done == 2
    assert len(gate.checked) == 3


def test_no_member_is_used_unchecked(folder, gate) -> None:
    names = [member.path.name for member in folder.members]
    gate.refused = {names[0]}
    gate.opened.set()
    result = drain(steps(Ensemble(folder, device="cpu")))
    assert [member.path.name for member in result.members] == names[1:]
    assert any(names[0] in note for note in result.notes)
    expected = drain(steps(Ensemble(folder.with_refused({folder.members[0].path: "damaged"}))))
    np.testing.assert_array_equal(result.probabilities, expected.probabilities)


def test_member_refused_after_the_first_pass_is_left_out(folder, gate) -> None:
    running = steps(Ensemble(folder, device="cpu"))
    next(running)
    (first,) = gate.checked
    gate.refused = {next(m.path.name for m in folder.members if m.path.name != first)}
    gate.opened.set()
    result = drain(running)
    used = {member.path.name for member in result.members}
    assert used == {m.path.name for m in folder.members} - gate.refused


def test_refused_first_member_waits_for_the_checks(folder, gate) -> None:
    gate.refused = {folder.members[-1].path.name}
    gate.opened.set()
    result = drain(steps(Ensemble(folder, device="cpu")))
    assert [member.epoch for member in result.members] == [1, 2]


def test_folder_without_usable_members_segments_nothing(folder, gate) -> None:
    gate.refused = {member.path.name for member in folder.members}
    gate.opened.set()
    with pytest.raises(AppError):
        drain(steps(Ensemble(folder, device="cpu")))


def test_unknown_checksums_are_computed_at_once(model, gate) -> None:
    gate.opened.set()
    ensemble = Ensemble(model, device="cpu")
    assert ensemble.checks.are_done
    assert all(member.sha256 for member in ensemble.folder.members)


def test_checks_of_an_empty_folder_are_done(folder) -> None:
    checks = MemberChecks(folder.with_refused({m.path: "damaged" for m in folder.members}))
    assert checks.are_done
    assert checks.reason(folder.members[0]) == ""
    assert not checks.folder.usable


@pytest.fixture
def worker(tmp_path, folder, monkeypatch) -> tuple[Worker, list[Message]]:
    """Return a worker for which all ensembles are the folder, and what it sends."""
    monkeypatch.setattr(ensemble_module, "find_ensemble", lambda path: folder)
    sent: list[Message] = []
    return Worker(tmp_path, sent.append), sent


def kinds(sent: list[Message]) -> list[type[Message]]:
    return [type(message) for message in sent]


def test_worker_shows_the_first_member_before_the_checks(
    worker, gate, model, tmp_path, folder
) -> None:
    handler, sent = worker
    handler.is_awaited = lambda: True
    handler.handle(LoadEnsemble(folder=str(model), device="cpu"))
    assert EnsembleLoaded not in kinds(sent)
    np.save(tmp_path / "image.npy", made_image((2, 40, 30))[None])
    gate.refused = {folder.members[0].path.name}
    send, image = sent.append, str(tmp_path / "image.npy")

    def open_after_the_first(message: Message) -> None:
        send(message)
        if isinstance(message, SnapshotReady):
            gate.opened.set()

    handler._send = open_after_the_first
    request = SegmentImage(
        job=1, image=image, spacing=SPACING, folder=str(model), settings=SETTINGS
    )
    handler.handle(request)
    order = kinds(sent)
    assert order.index(SnapshotReady) < order.index(EnsembleLoaded) < order.index(JobEnded)
    assert sent[-1].outcome == "finished"
    (loaded,) = (message for message in sent if isinstance(message, EnsembleLoaded))
    assert [*loaded.refused] == [str(folder.members[0].path)]


def test_worker_that_nobody_waits_for_reports_the_checks(worker, gate, model) -> None:
    handler, sent = worker
    opener: Callable[[], None] = gate.opened.set
    threading.Timer(0.05, opener).start()
    handler.handle(LoadEnsemble(folder=str(model), device="cpu"))
    assert kinds(sent)[-1] is EnsembleLoaded


def test_failed_job_still_reports_refused_members(worker, gate, model, tmp_path, folder) -> None:
    handler, sent = worker
    gate.refused = {member.path.name for member in folder.members}
    gate.opened.set()
    np.save(tmp_path / "image.npy", made_image((2, 40, 30))[None])
    request = SegmentImage(
        job=1,
        image=str(tmp_path / "image.npy"),
        spacing=SPACING,
        folder=str(model),
        settings=SETTINGS,
    )
    handler.handle(request)
    assert sent[-1].outcome == "failed"
    (loaded,) = (message for message in sent if isinstance(message, EnsembleLoaded))
    assert len(loaded.refused) == 3
