"""Slices still to accept, and the numbers that are reviewed without them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from napari_bayes_nnunet.app.review.accepted_slices import measure_review
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
from napari_bayes_nnunet.core.metrics.conformal import IntervalRule
from napari_bayes_nnunet.io.study.study import read_study

from ...helpers.data.cines import ED, ES, drawn, make_cine
from ...helpers.data.posteriors import posterior_of

RULE = IntervalRule(bias=0.0, half_width_80=3.0, half_width_90=5.0, patients=16)


def agreed_at_the_apex(phase: int) -> StoredPosterior:
    """Return a posterior whose members agree in the last slice, which is not queued then."""
    members = [drawn(phase, member) for member in range(5)]
    for labels in members:
        labels[-1] = members[2][-1]
    return posterior_of(members)


def test_interval_ends_when_no_slice_is_open(tmp_path: Path) -> None:
    posteriors = {phase: agreed_at_the_apex(phase) for phase in (ED, ES)}
    study = read_study(make_cine(tmp_path / "heart"))
    session = ReviewSession(replace(study, posteriors=posteriors))
    session.numbers.rules = {"LV EF": RULE, "LV ESV": RULE, "LV EDV": RULE}
    places = [(item.phase, item.z) for item in session.queue(session.scores())]
    assert (ED, 3) not in places  # so that nobody has to accept it
    before = session.predicted()
    for count, place in enumerate(sorted(places, key=lambda place: place[0] != ES)):
        measured, open_slices = measure_review(session)
        assert open_slices["LV EF"] == len(places) - count
        for name in ("LV EF", "LV ESV", "LV EDV"):
            assert measured[name].value == before[name].value
            assert bool(measured[name].intervals) == (open_slices[name] > 0)
            assert math.isnan(measured[name].spread) == (open_slices[name] == 0)
        session.decide(place, "accepted")
    measured, open_slices = measure_review(session)
    assert open_slices["LV EF"] == 0
    assert measured["LV EF"].intervals == {}
    assert before["LV EF"].intervals
