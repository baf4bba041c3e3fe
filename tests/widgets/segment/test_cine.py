"""Test of the Segment dock with a cine, with a real child."""

from __future__ import annotations

import pytest
from napari.components import ViewerModel

from napari_bayes_nnunet.app.remote.store import BUILT_IN_FOLDER
from napari_bayes_nnunet.core.counts import phase_names
from napari_bayes_nnunet.widgets.layers.viewing import current_phase
from napari_bayes_nnunet.widgets.segment.dock import (
    PROVISIONAL_PHASES,
    SegmentWidget,
    unfinished_sentence,
)
from napari_bayes_nnunet.widgets.segment.run_form import PROVISIONAL_NOTE
from napari_bayes_nnunet.widgets.segment.save import save_result

from ...helpers.data.sample import write_small_cine
from ...helpers.windows.curves import provisional
from ..conftest import choose, layer_of, listen

PHASES = (1, 2, 3, 4, 5, 6)


@pytest.fixture
def knows_ends() -> bool:
    """Whether ED and ES are known beforehand."""
    return True


@pytest.fixture
def dock(settings, tmp_path, qtbot, knows_ends):
    viewer = ViewerModel()
    cine = write_small_cine(tmp_path)
    if not knows_ends:
        (tmp_path / "Info.cfg").unlink()
    viewer.add_layer(layer_of(cine))
    made = SegmentWidget(viewer, settings=settings)
    qtbot.addWidget(made)
    made.show()
    made.image.phases.setCurrentIndex(3)
    made.image.phase_numbers.setText(", ".join(map(str, PHASES)))
    made.method.mirroring.value = "none"
    choose(made, BUILT_IN_FOLDER, qtbot)
    made.method.members.value = 3
    yield made
    made.close_child()


def test_the_curve_comes_first_then_ed_and_es_and_stop_keeps_all(dock, qtbot) -> None:
    known: list[tuple[int, list[int]]] = []

    def note(*_: object) -> None:
        if dock._job is not None:
            known.append((len(dock._job.result.provisional), list(dock._job.result.posteriors)))

    listen(dock.run.results, "set_results", note)
    dock.run.segment_button.click()
    result = dock._job.result
    qtbot.waitUntil(lambda: len(known) >= len(PHASES), timeout=60_000)
    assert known[: len(PHASES)] == [(count, []) for count in range(1, 1 + len(PHASES))]
    dock.turns.finish()
    (lv, _) = result.numbers().curves
    assert (lv.phases, lv.provisional) == (PHASES, frozenset(PHASES))
    qtbot.waitUntil(lambda: len(result.posteriors) >= 2, timeout=60_000)
    assert list(result.posteriors)[:2] == [lv.ed, lv.es]
    assert dock.run.results.curves.isVisible()
    with qtbot.waitSignal(dock.ended, timeout=60_000):
        dock.run.stop_button.click()
    assert set(result.posteriors) | set(result.provisional) <= set(PHASES) == set(result.phases)
    assert not set(result.posteriors) & set(result.provisional)
    numbers = result.numbers()
    assert {numbers.ed, numbers.es} <= set(result.posteriors)
    assert "LV EF" in numbers.measured
    assert provisional(dock.run.results.curves.plot) == sorted(set(PHASES) - set(result.posteriors))
    shown = dock._viewer.layers["SCD0000301_cine prediction"].data
    assert all(shown[phase - 1].any() for phase in PHASES)


@pytest.mark.parametrize("knows_ends", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_first_look_shows_the_phases_between_ed_and_es(dock, qtbot, tmp_path) -> None:
    dock.image.phases.setCurrentIndex(0)
    with qtbot.waitSignal(dock.ended, timeout=60_000):
        dock.run.segment_button.click()
    result, layer = dock.result, dock.image.layer
    dock.turns.finish()
    ends = set(result.posteriors)
    assert ends == set(result.known_phases) == result.requested
    between = sorted(set(range(1, 8)) - ends)
    assert result.provisional == between
    assert current_phase(dock._viewer, layer) == result.known_phases.ed
    assert provisional(dock.run.results.curves.plot) == between
    assert dock.run.results.curves.note.text().startswith(PROVISIONAL_NOTE)
    assert unfinished_sentence(result) == PROVISIONAL_PHASES.format(phases=phase_names(between))
    shown = dock._viewer.layers["SCD0000301_cine prediction"].data
    assert all(frame.any() for frame in shown)
    files = save_result(result, tmp_path / "out")
    reports = sorted(file.name for file in files if file.suffix == ".json")
    assert reports == [f"SCD0000301_cine_frame{phase:02}.json" for phase in sorted(ends)]
