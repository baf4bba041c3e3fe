"""Structures found by name among those of another data set."""

import pytest

from napari_bayes_nnunet.core.heart.structures import same_structure


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
def test_a_structure_is_found_by_name_then_by_meaning(name, names, expected):
    assert same_structure(name, names) == expected
