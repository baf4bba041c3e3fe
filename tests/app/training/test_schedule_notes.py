"""What the numbers of a schedule lead to and do not say."""

import pytest

from napari_bayes_nnunet.app.training.schedule_notes import schedule_notes
from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule


def test_the_papers_numbers_need_no_note():
    assert schedule_notes(RestartSchedule(), MemberSelection()) == {}


@pytest.mark.parametrize(
    ("per_cycle", "step", "text"),
    [
        (81, 1, "has 80 epochs, so that 80 members of each cycle will be kept, not 81."),
        (41, 2, "has 80 epochs, so that 40 members of each cycle will be kept, not 41."),
        (2, 500, "has 80 epochs, so that 1 member of each cycle will be kept, not 2."),
    ],
)
def test_more_members_than_the_plateau_has(per_cycle, step, text):
    selection = MemberSelection(per_cycle=per_cycle, step=step)
    (note,) = schedule_notes(RestartSchedule(), selection).values()
    assert note.endswith(text)


def test_rates_that_rarely_work():
    schedule = RestartSchedule(initial_lr=1.5, restart_lr=20)
    notes = schedule_notes(schedule, MemberSelection())
    assert set(notes) == {"initial_lr", "restart_lr"}
    assert "as high as 20 a" in notes["restart_lr"]
