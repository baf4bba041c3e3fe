"""A run over many studies: one that fails stops no other, and what is finished is told again."""

from __future__ import annotations

import csv
import json
import re
import shutil
import stat
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.cohort import run as cohort
from napari_bayes_nnunet.app.cohort.run import (
    MIXTURE,
    CohortRequest,
    find_cohort,
    open_cohort,
    run_cohort,
    segment_study,
)
from napari_bayes_nnunet.app.cohort.table import FOREIGN_TABLE, StudyRow, failed_row
from napari_bayes_nnunet.app.prediction.output_files import locked_output
from napari_bayes_nnunet.app.remote.connection import CONNECTION_LOST
from napari_bayes_nnunet.app.report.number_warnings import NO_STROKE
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.recipe import MADE_WITH_OTHER
from napari_bayes_nnunet.core import durations
from napari_bayes_nnunet.core.durations import TimeLeft
from napari_bayes_nnunet.core.problems import Action, Remedy
from napari_bayes_nnunet.io.ensemble.fingerprint import fingerprint
from napari_bayes_nnunet.io.images.nifti import NO_NIFTI, TRUNCATED
from napari_bayes_nnunet.io.search.studies import StudyInput
from napari_bayes_nnunet.io.study.patient import PATIENT_FILE
from napari_bayes_nnunet.io.study.study import read_study
from napari_bayes_nnunet.io.study.summary import list_studies
from tests.helpers.checks.problems import says, says_only
from tests.helpers.data.cohorts import (
    in_this_process,
    made_request,
    run_here,
    write_dicom_study,
    write_volume,
)
from tests.helpers.data.models import make_model

PICTURE = re.compile(rb"base64,[A-Za-z0-9+/=]+")
"""A picture in a page, whose characters may spell anything; its file is searched itself."""


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory) -> Ensemble:
    return Ensemble(make_model(tmp_path_factory.mktemp("model"), members=2), device="cpu")


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """Three that can be segmented, three that cannot."""
    folder = tmp_path_factory.mktemp("studies") / "in"
    write_volume(folder / "a" / "heart.nii.gz")
    write_volume(folder / "b" / "heart.nii.gz", seed=1, phases=3)
    write_dicom_study(folder / "Doe_Jane", name="Doe")
    (folder / "b" / "text.nii.gz").write_text("no image")
    whole = (folder / "b" / "heart.nii.gz").read_bytes()
    (folder / "cut.nii.gz").write_bytes(whole[:-2000])
    write_dicom_study(folder / "Smith_John", name="Smith")
    file = folder / "Smith_John" / "Smith_20"
    file.write_bytes(file.read_bytes()[:-50])
    return folder


@pytest.fixture(scope="module")
def run(ensemble, tree, tmp_path_factory) -> tuple[Path, list]:
    """The output folder and what was told of a whole run."""
    output = tmp_path_factory.mktemp("results") / "out"
    return output, run_here(ensemble, [tree], output)


def table(output: Path) -> list[dict[str, str]]:
    with (output / "cohort.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def numbers(row: dict[str, str]) -> dict[str, str]:
    """A row without what differs between runs."""
    return {name: value for name, value in row.items() if name not in ("seconds", "outcome")}


def files(output: Path) -> dict[str, bytes]:
    """The results that must be the same in every run."""
    kinds = (".gz", ".png")
    return {
        str(file.relative_to(output)): file.read_bytes()
        for file in sorted(output.rglob("*"))
        if file.suffix in kinds
    }


def test_every_study_is_reported_once_despite_failures(run, tree):
    _, told = run
    assert [study.done for study in told] == [1, 2, 3, 4, 5, 6]
    assert {study.total for study in told} == {6}
    assert len({study.case for study in told}) == 6
    failed = {study.case: study.text for study in told if study.outcome == "failed"}
    assert len(failed) == 3
    assert failed["cut"] == TRUNCATED.format(file=tree / "cut.nii.gz")
    assert failed["b/text"] == NO_NIFTI.format(file=tree / "b" / "text.nii.gz")
    assert told[-1].eta_seconds == 0


def test_results_repeat_the_tree_of_images(run):
    output, _ = run
    assert (output / "a" / "heart.nii.gz").exists()
    assert (output / "b" / "heart_frame02.json").exists()
    cases = [str(study.folder.relative_to(output)) for study in list_studies(output)]
    assert sorted(cases)[:2] == ["a/heart", "b/heart"]
    assert len(cases) == 3
    assert read_study(output / "b" / "heart").problems == ()
    assert all(any(folder.iterdir()) for folder in output.rglob("*") if folder.is_dir())
    pictures = list(output.rglob("*_picture.png"))
    assert len(pictures) == 3
    for file in pictures:
        assert file.stat().st_size < 60_000
        pixels = imread(BytesIO(file.read_bytes()))[..., :3]
        assert np.ptp(pixels, axis=2).max() > 0.1  # colours on grey


def test_table_has_all_studies_worst_first(run, tree):
    rows = table(run[0])
    failed = [row["study"] for row in rows if row["outcome"] == "failed"]
    assert [row["study"] for row in rows[:3]] == sorted(failed)
    qualities = [float(row["predicted_quality"]) for row in rows[3:]]
    assert qualities == sorted(qualities)
    of_name = {row["study"]: row for row in rows}
    volume, cine = of_name["a/heart"], of_name["b/heart"]
    assert volume["lv_ef_percent"] == ""
    assert volume["outcome"] == cine["outcome"] == "done"
    report = json.loads((run[0] / "a" / "heart.json").read_text())
    expected = sum(report["pairwise_dice"].values()) / 3
    assert float(volume["predicted_quality"]) == pytest.approx(expected, abs=1e-4)
    for name in ("lv", "rv"):
        ml = report["volumes_ml"][name.upper()]["ensemble"]
        assert float(volume[f"{name}_volume_ml"] or 0) == pytest.approx(ml, abs=0.01)
    assert of_name["cut"]["outcome"] == "failed"
    assert of_name["cut"]["failure"] == TRUNCATED.format(file=tree / "cut.nii.gz")


def test_nothing_names_a_patient(run):
    output, told = run
    private = [*output.rglob(PATIENT_FILE)]
    assert {stat.S_IMODE(file.stat().st_mode) for file in private} == {0o600}
    for file in {one for one in output.rglob("*") if one.is_file()} - {*private}:
        content = PICTURE.sub(b"", file.read_bytes())
        assert b"Doe" not in content, file
        assert b"Smith" not in content, file
        assert "Doe" not in str(file.relative_to(output))
    assert not [study for study in told if "Smith" in study.case + study.text]


def write_pairs(folder: Path, *names: str) -> Path:
    """Write an image for each of these names, each different."""
    for seed, name in enumerate(names):
        write_volume(folder / f"{name}.nii.gz", seed=seed)
    return folder


def lv_of(output: Path, *cases: str) -> list[float]:
    """Return the volume of the LV in each report, in mL."""
    reports = (json.loads((output / f"{case}.json").read_text()) for case in cases)
    return [report["volumes_ml"]["LV"]["ensemble"] for report in reports]


def efs(output: Path) -> dict[str, float | None]:
    """Return study → EF of the LV in the table, in %."""
    return {row["study"]: float(row["lv_ef_percent"] or "nan") for row in table(output)}


def has_ef(output: Path) -> list[str]:
    """Return the studies that have an EF in the table."""
    return sorted(name for name, ef in efs(output).items() if ef == ef)


def test_two_images_of_an_examination_have_the_function(ensemble, tmp_path):
    images, output = (
        write_pairs(tmp_path / "in" / "a", "p_ED", "p_ES", "q_ED", "q_ES"),
        tmp_path / "out",
    )
    run_here(ensemble, [images.parent], output)
    first = table(output)
    by_name = {row["study"]: row for row in first}
    for patient in ("a/p", "a/q"):
        edv, esv = lv_of(output, f"{patient}_ED", f"{patient}_ES")
        row, other = by_name[f"{patient}_ED"], by_name[f"{patient}_ES"]
        assert float(row["lv_ef_percent"]) == pytest.approx(100 * (edv - esv) / edv, abs=0.01)
        assert float(row["lv_esv_ml"]) == pytest.approx(esv, abs=0.01)
        assert other["lv_ef_percent"] == ""
        assert float(other["lv_volume_ml"]) == pytest.approx(esv, abs=0.01)
    told = run_here(ensemble, [images.parent], output, skip_finished=True)
    assert {study.outcome for study in told} == {"finished before"}
    assert list(map(numbers, table(output))) == list(map(numbers, first))


def test_impossible_numbers_of_a_pair_are_warned_of(ensemble, tmp_path):
    images, output = write_pairs(tmp_path / "in", "p_ED", "p_ES"), tmp_path / "out"
    for name, other in (("q_ES", "p_ED"), ("q_ED", "p_ES")):
        shutil.copyfile(images / f"{other}.nii.gz", images / f"{name}.nii.gz")
    run_here(ensemble, [images], output)
    esv, edv = sorted(lv_of(output, "p_ED", "p_ES"))
    sentence = NO_STROKE.format(side="LV", edv=esv, esv=edv)
    patient = "p" if lv_of(output, "p_ED") == [esv] else "q"
    warned = {row["study"] for row in table(output) if sentence in row["warnings"]}
    assert warned == {f"{patient}_ED", f"{patient}_ES"}
    assert sentence in (output / "cohort.html").read_text(encoding="utf-8")


def test_failed_phase_leaves_no_function_of_before(ensemble, tmp_path):
    images, output = write_pairs(tmp_path / "in", "p_ED", "p_ES"), tmp_path / "out"
    run_here(ensemble, [images], output)
    assert has_ef(output) == ["p_ED"]
    damaged = images / "p_ES.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:-2000])
    for asked in ({"skip_finished": True}, {"overwrite": True}):
        told = run_here(ensemble, [images], output, **asked)
        assert "failed" in {study.outcome for study in told}
        assert has_ef(output) == []
    damaged.unlink()  # nor in a later run, which does not see the failure
    run_here(ensemble, [images], output, overwrite=True)
    assert has_ef(output) == []


def test_changed_image_is_no_longer_of_a_pair(ensemble, tmp_path):
    images, output = write_pairs(tmp_path / "in", "p_ED", "p_ES"), tmp_path / "out"
    run_here(ensemble, [images], output)
    write_volume(images / "p_ES.nii.gz", seed=9)
    told = run_here(ensemble, [images], output, skip_finished=True)
    assert {study.case: study.outcome for study in told}["p_ES"] == "failed"
    assert has_ef(output) == []
    run_here(ensemble, [images / "p_ES.nii.gz"], output, overwrite=True)
    edv, esv = lv_of(output, "p_ED", "p_ES")
    assert efs(output)["p_ED"] == pytest.approx(100 * (edv - esv) / edv, abs=0.01)


def test_killed_replacement_leaves_no_pair_of_two_runs(ensemble, tmp_path):
    images, output = write_pairs(tmp_path / "in", "p_ED", "p_ES"), tmp_path / "out"
    run_here(ensemble, [images], output)
    request = made_request(ensemble, [images / "p_ES.nii.gz"], output, overwrite=True)

    def work(task):
        assert has_ef(output) == []  # if it were killed here
        return segment_study(ensemble, task)

    next(run_cohort(request, find_cohort(request), in_this_process, work=work))
    assert has_ef(output) == ["p_ED"]


def test_finished_studies_keep_their_notes(ensemble, tmp_path):
    write_volume(tmp_path / "in" / "p.nii.gz", phases=3)
    notes = []
    for asked in ({}, {"skip_finished": True}):
        run_here(ensemble, [tmp_path / "in"], tmp_path / "out", phases="ED,ES", **asked)
        notes.append(table(tmp_path / "out")[0]["notes"])
    assert notes[0] == notes[1] != ""


def test_two_runs_into_one_folder_have_the_function_of_both(ensemble, tmp_path):
    images, output = write_pairs(tmp_path / "in", "p_ED", "p_ES", "p_frame05"), tmp_path / "out"
    run_here(ensemble, [images / "p_ED.nii.gz"], output)
    first = table(output)[0]
    run_here(ensemble, [images / "p_ES.nii.gz"], output, skip_finished=True)
    rows = {row["study"]: row for row in table(output)}
    edv, esv = lv_of(output, "p_ED", "p_ES")
    assert efs(output)["p_ED"] == pytest.approx(100 * (edv - esv) / edv, abs=0.01)
    assert rows["p_ED"]["lv_edv_ml"] == first["lv_volume_ml"]
    assert rows["p_ED"]["lv_volume_ml"] == ""  # the same number, with another interval
    assert rows["p_ED"]["notes"] == first["notes"]
    for place in ("p_frame05.nii.gz", "", ""):  # a third phase, which makes the pair doubtful
        run_here(ensemble, [images / place], output, skip_finished=True)
        assert has_ef(output) == []


def test_folders_are_names_on_request(ensemble, tree, tmp_path):
    told = run_here(ensemble, [tree / "Doe_Jane"], tmp_path / "out", folder_names=True)
    assert [(study.case, study.outcome) for study in told] == [("Doe_Jane", "done")]


def test_continue_repeats_only_damaged_studies(ensemble, tree, run, tmp_path):
    output = shutil.copytree(run[0], tmp_path / "out")
    cut = output / "b" / "heart" / "posterior" / "phase01.npz"
    cut.write_bytes(cut.read_bytes()[:-20])
    (output / "a" / "heart_picture.png").unlink()
    for name in ("cohort.csv", "cohort.html", "a/heart_picture.png", "b/heart.nii.gz"):
        file = output / name
        file.with_name(f".writing-0a_9xyz7-{file.name}").touch()  # of a killed worker
    told = run_here(ensemble, [tree], output, skip_finished=True)
    outcomes = {study.case: study.outcome for study in told}
    assert outcomes["a/heart"] == "finished before"
    assert outcomes["b/heart"] == "done"
    assert sorted(outcomes.values()).count("finished before") == 2
    assert list(map(numbers, table(output))) == list(map(numbers, table(run[0])))
    assert files(output) == files(run[0])
    assert not list(output.rglob(".writing-*"))


def test_results_of_another_run_are_not_replaced(ensemble, tree, run, tmp_path):
    output = shutil.copytree(run[0], tmp_path / "out")
    for _ in range(2):
        with pytest.raises(AppError) as caught:
            run_here(ensemble, [tree], output)
        assert caught.value.values == {"folder": output}
        assert caught.value.remedies == (Remedy(Action.CONTINUE), Remedy(Action.OVERWRITE))
        (output / "cohort.csv").unlink(missing_ok=True)
    assert files(output) == files(run[0])


def test_cohort_of_two_ensembles_is_refused(ensemble, tree, run, tmp_path):
    output = shutil.copytree(run[0], tmp_path / "out")
    model = shutil.copytree(ensemble.folder.path, tmp_path / ensemble.folder.path.name)
    first, second = sorted((model / "fold_0").iterdir())
    shutil.copyfile(first, second)
    other = Ensemble(model, device="cpu")
    volume = tree / "a" / "heart.nii.gz"
    for places, helps in (([tree], [Action.OVERWRITE]), ([volume], [])):
        with pytest.raises(AppError) as caught:
            run_here(other, places, output, skip_finished=True)
        assert caught.value.statement.template == MIXTURE
        assert caught.value.values["difference"].template == MADE_WITH_OTHER
        assert caught.value.remedies == tuple(map(Remedy, (Action.OTHER_OUTPUT, *helps)))
    with pytest.raises(AppError, check=says(MIXTURE)):  # the rows of all other studies would stay
        run_here(other, [volume], output, overwrite=True)
    assert files(output) == files(run[0])
    find_cohort(request_of(other, tree, output, overwrite=True))
    find_cohort(made_request(ensemble, [volume], output, overwrite=True))


def test_tasks_name_the_ensemble_of_the_run(ensemble, tree, tmp_path):
    request = request_of(ensemble, tree, tmp_path / "out")
    seen = []

    def noted(task):
        seen.append(task.fingerprint)
        return made_row(task.study)

    list(run_cohort(request, find_cohort(request), in_this_process, work=noted))
    assert set(seen) == {fingerprint(ensemble.folder)}


def test_finished_page_says_which_intervals_do_not_hold(ensemble, tree, tmp_path, monkeypatch):
    request = request_of(ensemble, tree, tmp_path / "out")
    monkeypatch.setattr(cohort, "void_intervals", lambda output: (f"Void in {output.name}.",))
    studies = find_cohort(request)
    list(run_cohort(request, studies, in_this_process, work=lambda task: made_row(task.study)))
    assert "Void in out." in (tmp_path / "out" / "cohort.html").read_text(encoding="utf-8")


def test_table_that_cannot_be_read_is_an_error(ensemble, tree, tmp_path):
    (tmp_path / "out" / "cohort.csv").mkdir(parents=True)
    with pytest.raises(AppError):
        find_cohort(request_of(ensemble, tree, tmp_path / "out"))


@pytest.mark.parametrize("settings", [{}, {"skip_finished": True}, {"overwrite": True}])
def test_table_of_another_program_is_refused(ensemble, tree, tmp_path, settings):
    output = tmp_path / "out"
    output.mkdir()
    (output / "cohort.csv").write_text("patient,age\na,70\n")
    with pytest.raises(AppError, check=says(FOREIGN_TABLE, file=output / "cohort.csv")):
        find_cohort(request_of(ensemble, tree, output, **settings))


def test_repeated_study_keeps_files_of_its_lost_worker(ensemble, tree, run, tmp_path):
    request = request_of(ensemble, tree, tmp_path / "out")

    def twice(tasks, work):
        for task, row in in_this_process(tasks, work):
            if row.outcome == "done":
                shutil.rmtree(task.output / task.study.case)
            yield task, work(task)

    told = list(
        run_cohort(request, find_cohort(request), twice, work=partial(segment_study, ensemble))
    )
    assert [study.outcome for study in told].count("done") == 3
    assert files(tmp_path / "out") == files(run[0])

    def lost_answer(tasks, work):
        for task, _ in in_this_process(tasks, work):
            yield task, work(task)

    again = request_of(ensemble, tree, tmp_path / "again")
    work = partial(segment_study, ensemble)
    told = list(run_cohort(again, find_cohort(again), lost_answer, work=work))
    assert [study.outcome for study in told].count("done") == 3


def test_without_studies_the_rows_are_the_same(ensemble, tree, run, tmp_path):
    out = tmp_path / "out"
    run_here(ensemble, [tree], out, save=frozenset())
    assert not list(out.rglob("study.json"))
    told = run_here(ensemble, [tree], out, save=frozenset(), skip_finished=True)
    assert {study.outcome for study in told} == {"finished before", "failed"}
    assert list(map(numbers, table(out))) == list(map(numbers, table(run[0])))


def test_any_order_makes_the_same_files(ensemble, tree, run, tmp_path):
    request = request_of(ensemble, tree, tmp_path / "out")

    def backwards(tasks, work):
        yield from in_this_process(reversed(list(tasks)), work)

    work = partial(segment_study, ensemble)
    list(run_cohort(request, find_cohort(request), backwards, work=work))
    assert files(tmp_path / "out") == files(run[0])
    assert list(map(numbers, table(tmp_path / "out"))) == list(map(numbers, table(run[0])))


def request_of(ensemble: Ensemble, tree: Path, output: Path, **asked) -> CohortRequest:
    return made_request(ensemble, [tree], output, **asked)


def test_eta_counts_only_segmented_studies(monkeypatch) -> None:
    now = iter([0.0, 1000.0, 1060.0, 1120.0, 1210.0])
    monkeypatch.setattr(durations, "monotonic", lambda: next(now))
    time_left, row = TimeLeft(), failed_row("a", "")
    outcomes = ("finished before", "done", "done", "finished before", "done")
    told = [
        cohort._study_done(replace(row, outcome=outcome), done, 10, time_left).eta_seconds
        for done, outcome in enumerate(outcomes, start=1)
    ]
    assert told == [None, 8 * 60, 7 * 60, 6 * 60, 5 * 70]


class TestWhileItRuns:
    def test_closed_run_leaves_complete_table_and_page(self, ensemble, tree, tmp_path):
        request = request_of(ensemble, tree, tmp_path / "out")
        steps = run_cohort(
            request, find_cohort(request), in_this_process, work=lambda task: made_row(task.study)
        )
        next(steps)
        assert len(table(tmp_path / "out")) == 1
        assert "1 of 6 studies" in (tmp_path / "out" / "cohort.html").read_text()
        next(steps)
        steps.close()
        assert len(table(tmp_path / "out")) == 2
        assert "2 of 6 studies" in (tmp_path / "out" / "cohort.html").read_text()

    def test_task_without_row_is_a_failure(self, ensemble, tree, tmp_path):
        request = request_of(ensemble, tree, tmp_path / "out")

        def dying(tasks, work):
            yield from ((task, "The workers that took it died.") for task in tasks)

        told = list(run_cohort(request, find_cohort(request), dying))
        assert {study.text for study in told} == {"The workers that took it died."}
        assert {row["failure"] for row in table(tmp_path / "out")} == {told[0].text}

    def test_lost_connection_ends_the_run(self, ensemble, tree, tmp_path):
        request = request_of(ensemble, tree, tmp_path / "out")
        lost = AppError(CONNECTION_LOST, address="ssh://server", reason="Broken pipe")
        rows = iter([made_row, lambda study: failed_row(study.name, lost.statement)])
        work = lambda task: next(rows)(task.study)  # noqa: E731
        steps = run_cohort(request, find_cohort(request), in_this_process, work=work)
        next(steps)
        with pytest.raises(AppError, check=says(CONNECTION_LOST)):
            next(steps)
        assert len(table(tmp_path / "out")) == 1

    def test_studies_that_seem_finished_come_first(self, ensemble, tree, tmp_path):
        request = request_of(ensemble, tree, tmp_path / "out", skip_finished=True)
        found = find_cohort(request)
        last = found.inputs[-1]
        (tmp_path / "out" / last.folder).mkdir()
        (tmp_path / "out" / f"{last.place}_picture.png").touch()
        steps = run_cohort(request, found, in_this_process, work=lambda task: made_row(task.study))
        assert next(steps).case == last.name
        steps.close()


def made_row(study: StudyInput) -> StudyRow:
    return failed_row(study.name, "Not tried.")


class TestRefused:
    def test_results_among_the_images(self, ensemble, tree):
        with pytest.raises(AppError) as caught, open_cohort(request_of(ensemble, tree, tree)):
            pass
        assert caught.value.values == {"folder": tree, "contents": "images"}
        assert caught.value.remedies == (Remedy(Action.OTHER_OUTPUT),)

    def test_invalid_phases(self, ensemble, tree, tmp_path):
        with pytest.raises(AppError, check=says_only(text="first")):
            find_cohort(request_of(ensemble, tree, tmp_path / "out", phases="first"))

    def test_a_table_that_cannot_be_written(self, ensemble, tree, tmp_path):
        request = request_of(ensemble, tree, tmp_path / "out")
        found = find_cohort(request)
        (tmp_path / "out" / "cohort.csv").mkdir()
        with pytest.raises(AppError, check=says(folder=tmp_path / "out")):
            list(run_cohort(request, found, in_this_process))


def test_folder_of_a_running_cohort_is_refused(ensemble, tree, tmp_path) -> None:
    asked = request_of(ensemble, tree, tmp_path / "found")
    for held, output in (
        (locked_output(tmp_path / "out"), tmp_path / "out"),
        (open_cohort(asked), tmp_path / "found"),  # studies are found under the lock
    ):
        with held:
            with pytest.raises(AppError) as caught:
                run_here(ensemble, [tree], output)
            assert caught.value.remedies[0] == Remedy(Action.WAIT)
            assert not (output / "cohort.csv").exists()
    assert not (tmp_path / "found").exists()
