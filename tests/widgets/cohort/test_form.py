"""Tests of the form for folders and phases."""

from __future__ import annotations

from typing import Any

import pytest

from napari_bayes_nnunet.widgets.cohort.dialog import CohortForm


@pytest.fixture
def form(qtbot: Any) -> CohortForm:
    made = CohortForm()
    qtbot.addWidget(made)
    return made


def test_results_are_proposed_next_to_the_images(form, tmp_path) -> None:
    assert form.results.path is None
    form.images.choose(tmp_path / "acdc")
    assert form.results.path == tmp_path / "acdc_segmented"
    form.images.choose(tmp_path / "mnms")
    assert form.results.path == tmp_path / "mnms_segmented"


def test_a_chosen_folder_stays_until_the_images_change(form, tmp_path) -> None:
    form.results.choose(tmp_path / "mine")
    form.images.choose(tmp_path / "acdc")
    assert form.results.path == tmp_path / "mine"
    form.images.choose(tmp_path / "mnms")
    assert form.results.path == tmp_path / "mnms_segmented"
    form.images.choose(None)
    assert form.results.path == tmp_path / "mnms_segmented"


def test_choices_can_be_restored(form, tmp_path, qtbot) -> None:
    form.images.choose(tmp_path / "acdc")
    form.results.choose(tmp_path / "mine")
    form.phases.setCurrentIndex(1)
    kept = form.choices()
    expected = {"images": tmp_path / "acdc", "results": tmp_path / "mine", "phases": "all"}
    assert kept == {name: str(value) for name, value in expected.items()}
    other = CohortForm()
    qtbot.addWidget(other)
    other.set_choices(kept)
    assert other.choices() == kept
    other.images.choose(tmp_path / "mnms")
    assert other.results.path == tmp_path / "mnms_segmented"


@pytest.mark.parametrize(
    "kept", [{}, {"images": 3, "phases": None}, {"results": []}, {"images": "", "results": ""}]
)
def test_invalid_saved_choices_are_ignored(form, kept) -> None:
    form.set_choices(kept)
    assert form.choices() == {"phases": "ED,ES"}


def test_every_field_has_a_tooltip(form) -> None:
    for part in (form.images, form.results, form.phases):
        assert part.toolTip()
    assert [form.phases.itemText(i) for i in range(2)] == ["ED and ES", "All"]
