"""Tests of the actor that segments for another computer."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_bayes_nnunet.app.remote import actor
from napari_bayes_nnunet.app.remote.actor import RemoteRun
from napari_bayes_nnunet.app.segmentation import result

MAP = np.zeros((1, 2, 2), np.float32)


def snapshot(done: int, total: int) -> Any:
    arrays = {"labels": MAP.astype(np.uint8), "maps": {"entropy": MAP}}
    return SimpleNamespace(done=done, total=total, eta_seconds=0.0, **arrays)


def test_the_last_snapshot_of_a_stable_image_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result, "SECONDS_BETWEEN_SNAPSHOTS", 1e9)
    monkeypatch.setattr(actor, "get_worker", lambda: None)
    monkeypatch.setattr(actor, "worker_cache", lambda: SimpleNamespace(exclusive=nullcontext))
    run = RemoteRun("key")
    stable = [{0: snapshot(6, 9), 1: snapshot(6, 6)}, {0: snapshot(7, 9)}]
    run._steps = iter([{0: snapshot(5, 9), 1: snapshot(5, 9)}, *stable])
    step = run._compute()
    assert isinstance(step, dict)
    assert {index: s.others["total"] for index, s in step.items()} == {0: 9, 1: 6}
