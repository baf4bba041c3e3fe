"""Tests of garbage collections while a study is open."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from napari_bayes_nnunet.widgets.review.garbage import ShortCollections

from ...helpers.windows.reviewing import make_review

__all__ = ["make_review"]


class Knot:
    """An object in a reference cycle."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def unfrozen() -> Iterator[None]:
    """Give up the objects that the tests have frozen, for one test."""
    gc.unfreeze()
    yield
    gc.freeze()


def test_garbage_of_study_is_freed_at_its_end(make_review, unfrozen) -> None:
    freed: list[str] = []
    knots = [Knot()]
    weakref.finalize(knots[0], freed.append, "knot")
    review = make_review()
    assert gc.get_freeze_count() > 100_000
    knots.clear()
    gc.collect(0)
    assert freed == []
    review.close()
    assert gc.get_freeze_count() == 0
    gc.collect()
    assert freed == ["knot"]


def test_garbage_made_later_is_freed_at_once(unfrozen) -> None:
    collections = ShortCollections()
    collections.start()
    gone = weakref.ref(Knot())
    gc.collect()
    assert gone() is None
    collections.end()


def test_objects_frozen_elsewhere_stay_frozen() -> None:
    gc.freeze()
    count = gc.get_freeze_count()
    collections = ShortCollections()
    collections.start()
    collections.end()
    assert gc.get_freeze_count() == count
