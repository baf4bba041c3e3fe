"""Tests of garbage collections while a study is open."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
from napari.components import ViewerModel

from napari_bayes_nnunet.widgets.common.background import ShortCollections
from napari_bayes_nnunet.widgets.review import dock as review_dock
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget

from ...helpers.data.cines import make_cine

START = ShortCollections.start


class Knot:
    """An object in a reference cycle."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def real_start(monkeypatch) -> None:
    """Start as in the program; other tests do not."""
    monkeypatch.setattr(ShortCollections, "start", START)


@pytest.fixture
def unfrozen() -> Iterator[None]:
    """Give up the objects that the tests have frozen, for one test."""
    gc.unfreeze()
    yield
    gc.freeze()


@pytest.fixture
def dock(settings, qtbot) -> ReviewWidget:
    made = ReviewWidget(ViewerModel(), settings=settings)
    qtbot.addWidget(made)
    return made


def test_garbage_of_study_is_freed_at_its_end(dock, tmp_path, qtbot, unfrozen) -> None:
    freed: list[str] = []
    knots = [Knot()]
    weakref.finalize(knots[0], freed.append, "knot")
    dock.open(make_cine(tmp_path / "heart"))
    qtbot.waitUntil(lambda: dock.controller is not None and not dock.is_opening)
    assert gc.get_freeze_count() > 100_000
    knots.clear()
    gc.collect(0)
    assert freed == []
    dock.close_study()
    assert gc.get_freeze_count() == 0
    gc.collect()
    assert freed == ["knot"]


def test_nothing_is_skipped_after_a_failure(dock, tmp_path, qtbot, monkeypatch, unfrozen) -> None:
    def fail(*_: object, **__: object) -> None:
        assert gc.get_freeze_count() > 100_000
        raise RuntimeError("No controller.")

    monkeypatch.setattr(review_dock, "ReviewController", fail)
    with qtbot.captureExceptions() as raised:
        dock.open(make_cine(tmp_path / "heart"))
        qtbot.waitUntil(lambda: not dock.is_opening)
    assert [kind for kind, _, _ in raised] == [RuntimeError]
    assert gc.get_freeze_count() == 0


def test_objects_frozen_elsewhere_stay_frozen() -> None:
    gc.freeze()
    count = gc.get_freeze_count()
    collections = ShortCollections()
    collections.start()
    collections.end()
    assert gc.get_freeze_count() > count / 2  # a thread of another test may have freed some
