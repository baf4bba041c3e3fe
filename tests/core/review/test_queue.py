"""Order of the queue, also for a single member."""

import numpy as np
import pytest

from napari_bayes_nnunet.core.review.queue import (
    DEFAULT_SCORE,
    REVIEW_SCORES,
    QueueItem,
    review_queue,
    usable_score,
)

from ...helpers.data.posteriors import posterior_of

SCORED = {
    1: {"RV": np.array([0.0, 2.0, 0.0]), "LV": np.array([1.0, 3.0, 0.0])},
    8: {"RV": np.array([4.0, 0.0, 0.0]), "LV": np.array([0.0, 0.0, 6.0])},
}
EMPTY = np.zeros((2, 4, 4), np.uint8)


def test_worst_slice_is_first_with_its_structure():
    assert review_queue(SCORED) == [
        QueueItem(phase=8, z=2, structure="LV", score=6.0),
        QueueItem(phase=1, z=1, structure="LV", score=5.0),
        QueueItem(phase=8, z=0, structure="RV", score=4.0),
        QueueItem(phase=1, z=0, structure="LV", score=1.0),
    ]


def test_one_structure_alone():
    queue = review_queue(SCORED, structure="RV")
    assert [(item.phase, item.z, item.score) for item in queue] == [(8, 0, 4.0), (1, 1, 2.0)]
    assert {item.structure for item in queue} == {"RV"}


def test_equal_slices_stay_in_their_order():
    queue = review_queue({None: {"LV": np.array([1.0, 2.0, 1.0, 2.0])}})
    assert [(item.phase, item.z) for item in queue] == [(None, z) for z in (1, 3, 0, 2)]


def test_slices_without_a_spread_are_not_queued():
    assert review_queue({None: {"LV": np.array([np.nan, 0.0])}}) == []


def test_every_score_says_what_it_is():
    assert DEFAULT_SCORE in REVIEW_SCORES
    for name, score in REVIEW_SCORES.items():
        assert score.name == name
        assert score.title
        assert score.help.endswith(".")
        assert score.unit in {"mm²", "mm²·bit", "mL", ""}


@pytest.mark.parametrize("score", REVIEW_SCORES)
def test_several_members_can_be_ordered_by_every_score(score):
    assert usable_score([posterior_of([EMPTY, EMPTY])], score) == (score, "")


@pytest.mark.parametrize("score", ["mutual-information", "disagreement", "area-spread"])
def test_single_member_uses_entropy_with_sentence(score):
    several, single = posterior_of([EMPTY, EMPTY]), posterior_of([EMPTY])
    usable, sentence = usable_score([several, single], score)
    assert usable == "entropy"
    assert REVIEW_SCORES[score].title in sentence
    assert REVIEW_SCORES["entropy"].title in sentence


@pytest.mark.parametrize(
    "score", [name for name, s in REVIEW_SCORES.items() if not s.needs_members]
)
def test_what_compares_no_members_stays(score):
    assert usable_score([posterior_of([EMPTY])], score) == (score, "")
