"""Tests of the progress of a review."""

from __future__ import annotations

from typing import Any

import pytest

from napari_bayes_nnunet.core.review.progress import ReviewProgress
from napari_bayes_nnunet.widgets.reading.progress import (
    ACCEPTED_SHARE,
    BAR_STEPS,
    DONE_MARK,
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


def test_the_panel_is_hidden_without_a_study(widget: ReviewProgressPanel) -> None:
    assert widget.isHidden()
    widget.set_progress(progress())
    assert not widget.isHidden()
    widget.set_progress(None)
    assert widget.isHidden()


def test_slices_and_share_are_shown(widget: ReviewProgressPanel) -> None:
    widget.set_progress(progress())
    assert widget.slices.text() == "12 of 20 accepted"
    assert widget.share.text() == ACCEPTED_SHARE.format(percent=63)
    assert widget.bar.value() == int(0.639 * BAR_STEPS)


@pytest.mark.parametrize(("share", "text"), [(0.0, "0 %"), (0.999, "99 %"), (1.0, "100 %")])
def test_shares_are_rounded_down(widget: ReviewProgressPanel, share: float, text: str) -> None:
    widget.set_progress(progress(uncertain_share=share))
    assert widget.share.text().startswith(text)


def test_a_finished_review_is_shown(widget: ReviewProgressPanel) -> None:
    widget.set_progress(progress(done=20))
    assert widget.slices.text() == f"20 of 20 accepted {DONE_MARK}"
