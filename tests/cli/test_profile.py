"""Profile of a site: made, learnt and shown, and predictions drawn by it."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.prediction.predict import BASE_STAYS, OTHER_INTERVALS
from napari_bayes_nnunet.app.prediction.request import (
    PROFILE_AND_STUDY,
    PROFILE_ELSEWHERE,
    PredictionRequest,
    check_request,
)
from napari_bayes_nnunet.app.review.learnt_profile import (
    TOO_FEW_STUDIES,
    learn_from_studies,
    with_site,
)
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.app.segmentation.calibration import (
    Calibration,
    calibration_checksum,
    calibration_key,
    write_calibration,
)
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.core.heart.measurements import volumes_ml
from napari_bayes_nnunet.core.heart.site_intervals import (
    HOLDS,
    OTHER_CALIBRATIONS,
    SITE_WIDTH,
    VOID,
)
from napari_bayes_nnunet.core.heart.site_profile import NO_PROFILE, SiteProfile
from napari_bayes_nnunet.core.metrics.conformal import IntervalRule
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.heart.site_profile import NO_FILE, read_profile, write_profile
from napari_bayes_nnunet.io.images.nifti import read_labels
from napari_bayes_nnunet.io.study.case_report import interval_rules
from napari_bayes_nnunet.io.study.study import read_study

from ..helpers.checks.problems import says
from ..helpers.data.cohorts import write_volume
from ..helpers.data.models import make_model
from ..helpers.data.reviewed import CHANGE, reviewed
from ..helpers.data.studies import STRUCTURES

WIDE = SiteProfile(name="wide", es_base={"LV": 1, "RV": 1}, offset_mm={"LV": 1.5})
ASKED = ("--members", 2, "--mirroring", "none", "--device", "cpu")
SETTINGS = SegmentationSettings(members=2, mirroring="none")


def run(*arguments: object) -> Result:
    outcome = CliRunner().invoke(main, [*map(str, arguments)])
    if outcome.exception and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome


def ef_of(study: Path) -> float:
    return ReviewSession(read_study(study)).measured()["LV EF"].value


# Made and learnt


def test_made_profile_is_read_back(tmp_path) -> None:
    file = tmp_path / "site.json"
    options = ("--es-base", "LV=1,rv=0.5", "--offset", "MYO=-0.5", "--papillary-as-muscle")
    said = run("profile", "make", "-o", file, *options).output
    assert read_profile(file) == SiteProfile(
        name="site",
        es_base={"LV": 1.0, "RV": 0.5},
        offset_mm={"MYO": -0.5},
        papillary_as_muscle=True,
    )
    assert run("profile", "show", file).output == said
    assert len(said.splitlines()) == 5


@pytest.mark.parametrize(
    "options", [("--es-base", "LV=9"), ("--es-base", "MYO=1"), ("--offset", "LA=1")]
)
def test_impossible_profile_is_a_wrong_option(tmp_path, options) -> None:
    assert run("profile", "make", "-o", tmp_path / "site.json", *options).exit_code == 2


def test_profile_is_learnt_from_reviewed_studies(tmp_path) -> None:
    studies = tmp_path / "studies"
    for number in range(3):
        reviewed(studies / f"p{number}", lower=1)
    reviewed(studies / "open", lower=3, accepted=False)
    said = run("profile", "learn", studies, "-o", tmp_path / "site.json", "--name", "us").output
    profile = read_profile(tmp_path / "site.json")
    assert (profile.name, profile.learnt_from) == ("us", 3)
    assert profile.es_base == {"LV": 1}
    assert [*profile.sentences, profile.effect] == said.splitlines()
    assert not profile.draws


@pytest.mark.parametrize(
    ("bound", "sentences"), [(1, (VOID, SITE_WIDTH)), (90, (HOLDS, SITE_WIDTH))]
)
def test_nine_studies_tell_whether_intervals_hold_and_have_their_own(
    tmp_path, bound, sentences
) -> None:
    studies = tmp_path / "studies"
    for number in range(9):  # one reader agrees with the ensemble, so nothing else is learnt
        reviewed(studies / f"p{number}", lower=number % 2, bound=bound)
    reviewed(studies / "uncalibrated", lower=0, bound=None)  # says nothing of intervals
    run("profile", "learn", studies, "-o", tmp_path / "site.json")
    profile = read_profile(tmp_path / "site.json")
    assert not profile.draws
    begins = {template.partition("{")[0] for template in sentences}
    assert {b for b in begins if any(said.startswith(b) for said in profile.learnt)} == begins
    change = abs(ef_of(studies / "p1") - ef_of(studies / "p0"))
    assert profile.intervals[""]["LV EF"] == pytest.approx((change / bound, change / bound))
    assert profile.intervals[""].keys() == {"LV EF", "LV ESV"}
    assert bool(profile.void) is (VOID in sentences)
    report = read_study(studies / "p0").info.reports[1]
    assert profile.calibration == calibration_checksum(report["calibration"])


def test_each_scanner_has_its_own_test_and_intervals(tmp_path) -> None:
    for number in range(9):
        reviewed(tmp_path / "studies" / f"a{number}", lower=number % 2, scanner="A 1")
    for number in range(2):
        reviewed(tmp_path / "studies" / f"b{number}", lower=0)
    run("profile", "learn", tmp_path / "studies", "-o", tmp_path / "site.json", "--keep-labels")
    profile = read_profile(tmp_path / "site.json")
    assert profile.intervals.keys() == {"A 1"}
    assert not profile.es_base
    assert profile.void
    assert all("A 1" in sentence for sentence in profile.void)
    assert any("unknown scanner" in sentence for sentence in profile.learnt)
    assert profile.intervals_for(profile.calibration, "A 1")
    assert profile.intervals_for(profile.calibration, "") is None
    assert profile.intervals_for("another", "A 1") is None


def test_intervals_are_those_of_the_ensemble_when_learnt_again(tmp_path) -> None:
    profile = {"name": "wide", "intervals": {"LV EF": [90, 90], "LV ESV": [90, 90]}}
    for number in range(3):
        reviewed(tmp_path / "plain" / f"p{number}", lower=1)
        reviewed(tmp_path / "again" / f"p{number}", lower=1, profile=profile)
    plain, again = (drain(learn_from_studies([tmp_path / n], "")) for n in ("plain", "again"))
    assert again == plain
    assert plain.void


def test_study_has_the_intervals_of_the_site(tmp_path) -> None:
    study = read_study(reviewed(tmp_path / "study", lower=0, scanner="A 1"))
    ensemble = ReviewSession(study).numbers.rules
    calibration = calibration_checksum(study.info.reports[1]["calibration"])
    site = SiteProfile(
        name="us", intervals={"A 1": {"LV EF": (2, 3)}}, calibration=calibration, learnt_from=9
    )
    session = ReviewSession(with_site(study, site))
    assert session.numbers.rules == {"LV EF": CHANGE.scaled((2, 3))}
    assert {number.site for number in session.measured().values()} == {"us"}
    assert ReviewSession(with_site(session.study, NO_PROFILE)).numbers.rules == ensemble
    others = replace(site, calibration="another"), replace(site, es_base={"LV": 1})
    assert all(with_site(study, other) is study for other in others)


def test_eight_studies_have_no_intervals_of_their_own(tmp_path) -> None:
    for number in range(8):
        reviewed(tmp_path / "studies" / f"p{number}", lower=0)
    run("profile", "learn", tmp_path / "studies", "-o", tmp_path / "site.json")
    assert read_profile(tmp_path / "site.json").intervals == {}


def test_intervals_of_two_calibrations_are_not_compared(tmp_path) -> None:
    for number in range(9):
        reviewed(tmp_path / "studies" / f"p{number}", lower=0, bound=1 + number)
    said = run("profile", "learn", tmp_path / "studies", "-o", tmp_path / "site.json").output
    assert OTHER_CALIBRATIONS in said


def test_one_reviewed_study_is_too_few(tmp_path) -> None:
    reviewed(tmp_path / "studies" / "p", lower=1)
    outcome = run("profile", "learn", tmp_path / "studies", "-o", tmp_path / "site.json")
    assert outcome.exit_code == 1
    assert TOO_FEW_STUDIES.format(ready=1, count=1, least=2) in outcome.output


# Predictions


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an ensemble whose volumes have intervals."""
    model = make_model(tmp_path_factory.mktemp("model"), members=2)
    folder = find_ensemble(model)
    key = calibration_key(folder, SETTINGS)
    rule = IntervalRule(bias=0, half_width_80=1, half_width_90=2, patients=10)
    calibration = Calibration(
        temperature=1.0,
        cases=("a",),
        volumes=dict.fromkeys(STRUCTURES, rule),
        review={"LV EF": CHANGE, "RV EF": CHANGE},
        **key,
    )
    write_calibration(folder, calibration)
    return model


@pytest.fixture
def cine(tmp_path: Path) -> Path:
    """Write a cine of three phases, of which 1 is ED and 3 is ES."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "Info.cfg").write_text("ED: 1\nES: 3\n")
    return write_volume(tmp_path / "in" / "p_4d.nii.gz", phases=3)


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    write_profile(tmp_path / "wide.json", WIDE)
    return tmp_path / "wide.json"


def predict(model: Path, image: Path, output: Path, *more: object) -> Result:
    return run("predict", model, image, "-o", output, *ASKED, *more)


def report(output: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((output / f"{name}.json").read_text())
    return content


def test_labels_and_numbers_are_those_of_the_profile(model, cine, wide, tmp_path) -> None:
    assert predict(model, cine, tmp_path / "plain").exit_code == 0
    outcome = predict(model, cine, tmp_path / "drawn", "--profile", wide)
    assert outcome.exit_code == 0, outcome.output
    assert WIDE.sentences[0] in outcome.output
    for phase in (1, 3):
        name = f"p_4d_frame{phase:02d}"
        plain, drawn = (report(tmp_path / out, name) for out in ("plain", "drawn"))
        labels = [read_labels(tmp_path / o / f"{name}.nii.gz") for o in ("plain", "drawn")]
        volumes = volumes_ml(labels[1].voxels, labels[1].spacing, plain["labels"])
        assert {k: v["ensemble"] for k, v in drawn["volumes_ml"].items()} == pytest.approx(volumes)
        assert drawn["profile"]["drawn"] == WIDE.recipe
        assert "profile" not in plain
        assert all("interval_90" in volume for volume in plain["volumes_ml"].values())
        assert not any("interval_90" in volume for volume in drawn["volumes_ml"].values())
        lv = [np.flatnonzero((x.voxels == plain["labels"]["LV"]).any((1, 2))) for x in labels]
        assert len(lv[0]) - len(lv[1]) == (1 if phase == 3 else 0)


def test_continue_refuses_results_of_another_profile(model, cine, wide, tmp_path) -> None:
    output = tmp_path / "out"
    assert predict(model, cine, output, "--profile", wide).exit_code == 0
    again = predict(model, cine, output, "--profile", wide, "--continue")
    assert "finished before" in again.output
    other = predict(model, cine, output, "--continue")
    assert other.exit_code == 1
    assert WIDE.recipe in other.output


def test_image_of_unknown_phase_keeps_its_base(model, wide, tmp_path) -> None:
    image = write_volume(tmp_path / "heart.nii.gz")
    outcome = predict(model, image, tmp_path / "out", "--profile", wide)
    assert BASE_STAYS.format(profile="wide") in outcome.output
    assert BASE_STAYS.format(profile="wide") in report(tmp_path / "out", "heart")["notes"]


def test_learnt_profile_that_draws_nothing_is_only_said(model, cine, tmp_path) -> None:
    learnt = replace(WIDE, learnt_from=2, learnt=("At ES your LV begins lower.",))
    write_profile(tmp_path / "learnt.json", learnt)
    assert predict(model, cine, tmp_path / "plain").exit_code == 0
    outcome = predict(model, cine, tmp_path / "said", "--profile", tmp_path / "learnt.json")
    assert learnt.sentences[0] in outcome.output
    plain, said = (tmp_path / out / "p_4d.nii.gz" for out in ("plain", "said"))
    assert np.array_equal(read_labels(plain).voxels, read_labels(said).voxels)
    content = report(tmp_path / "said", "p_4d_frame01")
    assert content["profile"] == learnt.to_report(None)
    assert "interval_90" in content["volumes_ml"]["LV"]


@pytest.mark.parametrize(("scanner", "ensemble"), [("", ""), ("A 1", ""), ("", "another")])
def test_intervals_of_the_site_are_those_of_its_calibration_and_scanner(
    model, cine, tmp_path, scanner, ensemble
) -> None:
    is_own = not (scanner or ensemble)  # a NIfTI file is of an unknown scanner
    assert predict(model, cine, tmp_path / "plain").exit_code == 0
    made = report(tmp_path / "plain", "p_4d_frame01")
    plain = made["calibration"]
    site = SiteProfile(
        name="site",
        learnt_from=9,
        intervals={scanner: {"LV EF": (2.0, 4.0)}},
        calibration=ensemble or calibration_checksum(plain),
    )
    write_profile(tmp_path / "site.json", site)
    options = ("--profile", tmp_path / "site.json", "--save", "study")
    outcome = predict(model, cine, tmp_path / "out", *options)
    assert outcome.exit_code == 0
    assert (OTHER_INTERVALS.format(profile="site") in outcome.output) is not is_own
    content = report(tmp_path / "out", "p_4d_frame01")
    assert content["calibration"] == plain
    own = interval_rules([content])
    assert own == ({"LV EF": CHANGE.scaled((2.0, 4.0))} if is_own else interval_rules([made]))
    assert ("interval_90" in content["volumes_ml"]["LV"]) is not is_own
    assert predict(model, cine, tmp_path / "out", *options, "--continue").exit_code == 0
    other = predict(model, cine, tmp_path / "out", "--save", "study", "--continue")
    assert other.exit_code == 1


def test_cohort_names_the_profile_and_writes_no_studies(
    model, cine, wide, tmp_path, warm_command
) -> None:
    output = tmp_path / "out"
    command = ("predict", model, cine.parent, "-o", output, *ASKED, "--profile", wide)
    done = warm_command.run(*command, folder=tmp_path)
    assert done.code == 0, done.errors
    with (output / "cohort.csv").open(newline="", encoding="utf-8") as file:
        assert [row["profile"] for row in csv.DictReader(file)] == ["wide"]
    assert not [*output.rglob("study.json")]
    assert predict(model, cine.parent, output, "--continue", "--save", "").exit_code == 1


def test_study_is_not_drawn_by_a_profile(model, cine, wide, tmp_path) -> None:
    outcome = predict(model, cine, tmp_path / "out", "--profile", wide, "--save", "study")
    assert outcome.exit_code == 1
    assert PROFILE_AND_STUDY.format(profile="wide") in outcome.output


@pytest.mark.parametrize(
    "site", [WIDE, SiteProfile(name="wide", intervals={"": {"LV EF": (1, 2)}})]
)
def test_another_computer_does_not_know_the_profile(model, tmp_path, site) -> None:
    elsewhere = replace(SETTINGS, device="ssh://user@server")
    request = PredictionRequest(images=(), output=tmp_path, settings=elsewhere, profile=site)
    with pytest.raises(AppError, check=says(PROFILE_ELSEWHERE, profile="wide")):
        check_request(find_ensemble(model), request)


@pytest.mark.parametrize("widths", [(2.0, 1.0), (0.0, 0.0)])
def test_impossible_intervals_of_a_profile_raise(widths) -> None:
    with pytest.raises(ValueError, match="half-width"):
        SiteProfile(name="site", intervals={"": {"LV EF": widths}})


def test_missing_profile_is_named(model, cine, tmp_path) -> None:
    missing = tmp_path / "none.json"
    outcome = predict(model, cine, tmp_path / "out", "--profile", missing)
    assert outcome.exit_code == 1
    assert NO_FILE.format(file=missing) in outcome.output
