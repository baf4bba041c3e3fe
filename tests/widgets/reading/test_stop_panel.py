"""Advice on the end of a review."""

from __future__ import annotations

import pytest

from napari_bayes_nnunet.app.review.stop_advice import DEFAULT_TARGET, LEAST_TARGET
from napari_bayes_nnunet.widgets.reading.stop_panel import StopPanel


@pytest.fixture
def panel(qtbot) -> StopPanel:
    panel = StopPanel()
    qtbot.addWidget(panel)
    return panel


def test_panel_is_hidden_without_advice(panel) -> None:
    assert panel.isHidden()
    panel.set_advice("LV EF 54 (48–59)", may_stop=False)
    assert not panel.isHidden()
    assert not panel.finish_button.isEnabled()
    panel.set_advice("", may_stop=False)
    assert panel.isHidden()


def test_review_can_only_be_finished_if_it_may_stop(panel, qtbot) -> None:
    panel.set_advice("LV EF 54 ± 2.5", may_stop=True)
    with qtbot.waitSignal(panel.finish_requested):
        panel.finish_button.click()


def test_target_has_a_floor(panel, qtbot) -> None:
    assert panel.target.value() == DEFAULT_TARGET
    with qtbot.waitSignal(panel.target_changed):
        panel.target.setValue(5)
    panel.target.setValue(0.5)
    assert panel.target.value() == LEAST_TARGET


def test_setting_the_target_emits_nothing(panel, qtbot) -> None:
    with qtbot.assertNotEmitted(panel.target_changed):
        panel.set_target(6, 80)
    assert (panel.target.value(), panel.level) == (6, 80)


def test_choice_of_the_share_is_told(panel, qtbot) -> None:
    with qtbot.waitSignal(panel.target_changed) as caught:
        panel.levels.setCurrentIndex(panel.levels.findData(80))
    assert caught.args == [DEFAULT_TARGET, 80]
