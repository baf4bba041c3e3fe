"""Intervals of a site, calibrated with one click."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from napari_bayes_nnunet.app.cohort.run import void_intervals
from napari_bayes_nnunet.io.heart.site_profile import SITE_FILE, read_profile
from napari_bayes_nnunet.widgets.common.settings import Settings
from napari_bayes_nnunet.widgets.common.site_form import (
    NOT_CALIBRATED,
    NOT_ENOUGH,
    NOW_OF_SITE,
    SiteForm,
)
from napari_bayes_nnunet.widgets.review.open_study import open_study

from ...helpers.data.reviewed import reviewed


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    for number in range(9):
        reviewed(tmp_path / "studies" / f"p{number}", lower=number % 2)
    return tmp_path / "studies"


@pytest.fixture
def form(settings: Settings, qtbot: Any) -> SiteForm:
    made = SiteForm(settings)
    qtbot.addWidget(made)
    made.show()
    return made


def test_one_click_calibrates_for_the_site(form, settings, studies, qtbot) -> None:
    form.set_folder(studies)
    qtbot.waitUntil(lambda: bool(form.message.text()))
    assert form.message.text().splitlines() == [*void_intervals(studies)]
    assert not form.used.isVisible()
    form.button.click()
    qtbot.waitUntil(lambda: form.progress.isHidden())
    profile = read_profile(studies / SITE_FILE)
    assert form.message.text().splitlines() == [NOW_OF_SITE, *profile.learnt]
    assert not profile.draws
    assert form.used.isChecked()
    sites = []
    for _ in range(2):
        opened = open_study(studies / "p0", site=settings.kept.site_profile)
        sites.append(opened.session.site)
        opened.dismiss()
        form.used.click()
    assert sites == ["studies", ""]
    assert settings.kept.site_profile


def test_stopped_calibration_changes_nothing(form, studies, qtbot) -> None:
    form.set_folder(studies)
    form.button.click()
    form.set_folder(studies)  # as after a study was closed
    form.progress.stop_button.click()
    qtbot.waitUntil(lambda: form.message.text() == NOT_CALIBRATED)
    assert not (studies / SITE_FILE).exists()


def test_few_studies_give_no_intervals(form, settings, tmp_path, qtbot) -> None:
    for number in range(2):
        reviewed(tmp_path / f"p{number}", lower=0)
    form.set_folder(tmp_path)
    form.button.click()
    qtbot.waitUntil(lambda: form.message.text().startswith(NOT_ENOUGH))
    assert not settings.kept.site_profile


def test_missing_profile_is_a_problem_of_the_opened_study(studies) -> None:
    opened = open_study(studies / "p0", site=str(studies / SITE_FILE))
    opened.dismiss()
    assert opened.session.site == ""
    assert any(SITE_FILE in problem for problem in opened.problems)
