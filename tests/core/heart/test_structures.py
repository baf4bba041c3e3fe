"""Structures matched by name with those of another dataset."""

import itertools

import numpy as np
import pytest

from napari_bayes_nnunet.core.heart.structures import (
    CARDIAC,
    OTHERS,
    match_structure,
    structure_colors,
    structure_title,
)


@pytest.mark.parametrize(
    ("name", "names", "expected"),
    [
        ("LV", ["lv", "LV", "left ventricle"], "LV"),
        ("Scar", ["scar", "edema"], "scar"),
        ("LV", ["RV cavity", "LV cavity", "myocardium"], "LV cavity"),
        ("Myocardium", ["LV", "MYO"], "MYO"),
        ("LV", ["left ventricle", "LV cavity"], None),
        ("LV", ["RV", "MYO"], None),
        ("scar", ["edema"], None),
        ("LV", [], None),
    ],
)
def test_structure_is_found_by_name_then_by_meaning(name, names, expected):
    assert match_structure(name, names) == expected


def test_structure_keeps_colour_under_other_number_and_name():
    acdc = structure_colors({"background": 0, "RV": 1, "MYO": 2, "LV": 3})
    mnms = structure_colors({"background": 0, "left ventricle": 1, "LVM": 2, "RVC": 3})
    assert acdc == {1: CARDIAC["RV"], 2: CARDIAC["MYO"], 3: CARDIAC["LV"]}
    assert mnms == {1: CARDIAC["LV"], 2: CARDIAC["MYO"], 3: CARDIAC["RV"]}


def test_other_structures_get_colours_of_their_own():
    labels = {"background": 0, "LV": 1, "scar": 2, "atrium": 3}
    colors = structure_colors(labels)
    assert len(set(colors.values())) == 3
    assert colors[2] == OTHERS[0]


def test_more_structures_than_colours_start_again():
    labels = {f"part {n}": n for n in range(1, 12)}
    assert len(structure_colors(labels)) == 11


@pytest.mark.parametrize("lost", [None, 0, 1, 2], ids=["all", "red", "green", "blue"])
def test_heart_colours_differ_for_colour_blind_readers(lost):
    # Simulation of Viénot, Brettel and Mollon: cone responses with the lost one replaced.
    to_cones = np.array(
        [[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]]
    )
    seen = np.eye(3)
    if lost == 0:
        seen[0] = [0, 2.02344, -2.52581]
    elif lost == 1:
        seen[1] = [0.494207, 0, 1.24827]
    elif lost == 2:
        seen[2] = [-0.395913, 0.801109, 0]
    colors = [
        np.linalg.inv(to_cones) @ seen @ to_cones @ [int(c[i : i + 2], 16) for i in (1, 3, 5)]
        for c in CARDIAC.values()
    ]
    for one, other in itertools.combinations(colors, 2):
        assert np.linalg.norm(one - other) > 60


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("LV", "LV (left ventricle, cavity)"),
        ("RVC", "RVC (RV: right ventricle)"),
        ("left ventricular myocardium", "left ventricular myocardium (MYO: LV myocardium)"),
        ("scar", "scar"),
    ],
)
def test_names_come_with_their_usual_synonym(name, title):
    assert structure_title(name) == title
