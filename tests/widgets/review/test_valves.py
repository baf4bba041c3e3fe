"""Valve planes in the window: finding, key, strip and numbers."""

from __future__ import annotations

from napari_bayes_nnunet.app.review.findings import describe_finding
from napari_bayes_nnunet.io.study.study import read_study
from napari_bayes_nnunet.widgets.reading.numbers import BESIDE, INTERVAL, VALUE

from ...helpers.data.cines import ED, ES, LV
from ...helpers.data.valves import mark
from ...helpers.windows.reviewing import make_review, review

__all__ = ["make_review", "review"]


def test_switch_of_the_valve_plane_is_saved_and_ends_the_papillary_one(review, tmp_path) -> None:
    form, session = review.forms.numbers, review.session
    for phase, z in ((ED, -0.2), (ES, 0.4)):
        mark(session, phase, z)
    form.as_muscle.click()
    form.by_valve.click()
    review.settle()
    assert not form.as_muscle.isChecked()
    value = review.forms.key_numbers.texts("LV EF")
    assert float(value[BESIDE]) > float(value[VALUE]) + 1  # without the atrium at ES
    assert value[INTERVAL] == ""
    review.controller.saver.save_now()
    kept = read_study(tmp_path / "heart").review
    assert (kept.by_valve_plane, kept.papillary_as_muscle) == (True, False)
    assert kept.hinges == session.state.hinges


def test_key_removes_what_lies_in_the_atrium(review) -> None:
    form, button = review.forms.corrections, review.forms.corrections.buttons["valve plane"]
    review.controller.choose_structure("LV")
    review.controller.picture.show_slice((ES, 0))
    review.settle()
    assert not button.isEnabled()
    mark(review.session, ES, 0.4)
    review.controller.refresh_queue()
    review.settle()
    assert review.forms.finding.text() == str(
        describe_finding(review.session, review.session.findings()[0])
    )
    assert button.isEnabled()
    assert form.strip.presence.beyond[0] > 0.5
    review.controller.act("valve plane")
    review.settle()
    assert not (review.now((ES, 0)) == LV).any()
    assert review.forms.finding.text() == ""
    assert not button.isEnabled()
