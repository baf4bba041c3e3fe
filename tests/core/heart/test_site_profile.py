"""Labels drawn by the profile of a site, and the habits that it is learnt from."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_bayes_nnunet.core.heart.site_habits import learn_profile, observe
from napari_bayes_nnunet.core.heart.site_profile import (
    FEWEST_TO_DRAW,
    MOST_OFFSET_MM,
    SiteProfile,
    draw_by_profile,
)

HEART = {"RV": 1, "MYO": 2, "LV": 3}
OTHER = 7
SPACING = (8.0, 1.5, 1.5)
SLICES = 6


def heart(*, size: float = 1.0) -> np.ndarray:
    """Return (Z, Y, X) labels of a heart that tapers from slice 1, with another structure."""
    labels = np.zeros((SLICES + 2, 64, 72), np.uint8)
    y, x = np.mgrid[:64, :72]
    for z in range(1, SLICES + 1):
        scale = size * (1.05 - 0.05 * z)
        labels[z, np.hypot(y - 32, x - 24) < 14 * scale] = HEART["RV"]
        labels[z, np.hypot(y - 32, x - 44) < 18 * scale] = HEART["MYO"]
        labels[z, np.hypot(y - 32, x - 44) < 12 * scale] = HEART["LV"]
    labels[:, :4] = OTHER
    return labels


def drawn(labels: np.ndarray, base_first: bool | None = True, **rules: object) -> np.ndarray:
    return draw_by_profile(
        labels,
        SiteProfile(name="site", **rules),
        HEART,
        spacing=SPACING,
        image=np.zeros(labels.shape),
        es_base_first=base_first,
    )


def areas(labels: np.ndarray, name: str) -> list[int]:
    return np.count_nonzero(labels == HEART[name], axis=(1, 2)).tolist()


def shown(ed: np.ndarray, es: np.ndarray, base_first: bool | None = True) -> dict:
    pairs = {"ED": (heart(), ed), "ES": (heart(), es)}
    return observe(pairs, HEART, SPACING, base_first=base_first)


def test_profile_without_rules_changes_nothing():
    assert np.array_equal(drawn(heart()), heart())
    assert np.array_equal(drawn(np.zeros_like(heart()), offset_mm={"LV": 1}), heart() * 0)


@settings(max_examples=25)
@given(lv=st.floats(-2, 1.5), wall=st.floats(-1, 2), size=st.floats(0.8, 1.1))
def test_contour_moves_by_its_offset(lv, wall, size):
    before = heart(size=size)
    after = drawn(before, offset_mm={"LV": lv, "MYO": wall})
    pairs = {"ED": (before, after)}
    moved = observe(pairs, HEART, SPACING, base_first=True)
    assert moved["offset_mm", "LV"] == pytest.approx(lv, abs=0.1)
    assert moved["offset_mm", "MYO"] == pytest.approx(wall, abs=0.1)
    assert np.array_equal(after == OTHER, before == OTHER)
    still = before[(after == HEART["RV"])]
    assert set(still) == {HEART["RV"]} or wall < 0  # the RV gives way to the wall


@settings(max_examples=25)
@given(
    lower=st.floats(0, 4),
    side=st.sampled_from(["LV", "RV"]),
    base_first=st.booleans(),
)
def test_base_is_lower_at_the_base_only(lower, side, base_first):
    before = heart() if base_first else heart()[::-1]
    after = drawn(before, base_first, es_base={side: lower})
    whole, share = int(lower), lower % 1
    wanted = [float(area) for area in areas(heart(), side)]
    wanted[1 : 1 + whole] = [0] * whole
    wanted[1 + whole] *= 1 - share
    found = areas(after if base_first else after[::-1], side)
    assert found == pytest.approx(wanted, abs=0.51)
    other = {"LV": "RV", "RV": "LV"}[side]
    assert areas(after, other) == areas(before, other)
    has_wall = [area > 0 for area in areas(after, "MYO")]
    assert side == "RV" or has_wall == [area > 0 for area in areas(after, "LV")]


def test_base_stays_at_ed_and_where_it_is_unknown():
    assert np.array_equal(drawn(heart(), None, es_base={"LV": 2}), heart())


def test_one_slice_always_stays():
    before = heart()
    before[3:] = 0
    assert [bool(area) for area in areas(drawn(before, es_base={"LV": 4}), "LV")[1:4]] == [
        *(False, True, False)
    ]


def test_dark_voxels_of_the_cavity_become_muscle():
    before = heart()
    image = np.where(before == HEART["LV"], 200.0, 50.0)
    image[2, 32, 44] = 40
    profile = SiteProfile(name="site", papillary_as_muscle=True)
    after = draw_by_profile(
        before, profile, HEART, spacing=SPACING, image=image, es_base_first=None
    )
    assert np.argwhere(after != before).tolist() == [[2, 32, 44]]
    assert after[2, 32, 44] == HEART["MYO"]


@pytest.mark.parametrize(
    "rules",
    [
        {"es_base": {"LV": -1}},
        {"es_base": {"RV": 4.5}},
        {"es_base": {"MYO": 1}},
        {"offset_mm": {"LV": -MOST_OFFSET_MM - 0.1}},
    ],
)
def test_impossible_rule_is_refused(rules):
    with pytest.raises(ValueError, match="profile"):
        SiteProfile(name="site", **rules)


@pytest.mark.parametrize(("lower", "higher", "is_learnt"), [(4, 1, True), (3, 2, False)])
def test_base_is_learnt_if_three_quarters_agree(lower, higher, is_learnt):
    site = drawn(heart(), es_base={"LV": 1})
    studies = [shown(heart(), site)] * lower + [shown(heart(), heart())] * higher
    profile = learn_profile("site", studies)
    assert profile.es_base == ({"LV": 1} if is_learnt else {})
    said = [
        sentence for sentence in profile.sentences if "your LV begins 1 slice lower" in sentence
    ]
    assert [f"{lower} of 5 studies" in sentence for sentence in said] == [True]


def test_offset_is_said_as_the_median_of_the_studies_but_not_drawn():
    studies = [shown(*[drawn(heart(), offset_mm={"LV": mm})] * 2) for mm in (0.5, 0.8, 2)]
    profile = learn_profile("site", studies)
    assert "Your LV contour lies 0.8 mm outside the ensemble's: 3 of 3 studies." in profile.learnt
    assert not profile.offset_mm


def test_one_study_teaches_nothing():
    profile = learn_profile("site", [shown(heart(), drawn(heart(), es_base={"LV": 1}))])
    assert not profile.es_base


def test_base_that_begins_higher_is_said_but_not_learnt():
    low = drawn(heart(), es_base={"RV": 1})
    study = observe({"ES": (low, heart())}, HEART, SPACING, base_first=True)
    assert study["es_base", "RV"] == -1
    profile = learn_profile("site", [study] * 2)
    assert not profile.es_base


def test_bias_of_the_ef_is_in_points():
    study = shown(heart(), drawn(heart(), es_base={"LV": 1}))
    ed, es = sum(areas(heart(), "LV")), sum(areas(heart(), "LV")[2:])
    assert study["EF", "LV"] == pytest.approx(100 * (ed - es) / ed)
    first, *_ = learn_profile("site", [study] * 3).sentences
    assert f"{study['EF', 'LV']:.1f} points higher" in first
    assert "3 of 3 studies" in first


def test_learnt_profile_draws_from_enough_studies_on():
    by_hand = SiteProfile(name="site", es_base={"LV": 1})
    assert by_hand.draws
    assert not SiteProfile(name="site", es_base={"LV": 0}).draws
    assert replace(by_hand, learnt_from=FEWEST_TO_DRAW).draws
    assert not replace(by_hand, learnt_from=FEWEST_TO_DRAW - 1).draws


def test_recipe_is_that_of_the_rules():
    by_hand = SiteProfile(name="site", es_base={"LV": 1})
    assert by_hand.recipe == replace(by_hand, learnt_from=9, learnt=("so",)).recipe
    assert by_hand.recipe != replace(by_hand, offset_mm={"RV": 0.1}).recipe
    assert SiteProfile(name="site").recipe == "none"
