"""Tests of the progress of a review."""

from __future__ import annotations

from typing import Any

import pytest

from napari_bayes_nnunet.core.review.progress import ReviewProgress
from napari_bayes_nnunet.widgets.reading.progress import (
    BAR_STEPS,
    DONE_MARK,
    NOT_IN_QUEUE,
    ReviewProgressPanel,
)


def progress(**changes: Any) -> ReviewProgress:
    given: dict[str, Any] = {"done": 12, "total": 20, "uncertain_share": 0.639}
    return ReviewProgress(**(given | changes))


@pytest.fixture
def widget(qtbot: Any) -> ReviewProgressPanel:
    made = ReviewProgressPanel()
    qtbot.addWidget(made)
    made.resize(330, 100)
    return made


def test_the_panel_is_hidden_until_a_study_is_open(widget: ReviewProgressPanel) -> None:
    assert widget.isHidden()
    widget.set_progress(progress())
    assert not widget.isHidden()


def test_slices_and_share_are_shown(widget: ReviewProgressPanel) -> None:
    widget.set_progress(progress())
    assert widget.slices.text() == f"{NOT_IN_QUEUE} · 12 of 20 accepted"
    assert widget.bar.value() == int(0.639 * BAR_STEPS)
    widget.set_position(3)
    assert widget.slices.text() == "Queue: 3 of 20 · 12 of 20 accepted"


def test_a_finished_review_is_shown(widget: ReviewProgressPanel) -> None:
    widget.set_progress(progress(done=20))
    assert widget.slices.text().endswith(f"20 of 20 accepted {DONE_MARK}")
