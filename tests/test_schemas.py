"""The JSON Schemas of the docs describe the files that are written, and those of 0.2.0."""

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema

import napari_bayes_nnunet
from napari_bayes_nnunet.core.heart.patient_record import PatientRecord
from napari_bayes_nnunet.core.heart.site_profile import SiteProfile
from napari_bayes_nnunet.io import known_archives
from napari_bayes_nnunet.io.heart.site_profile import write_profile
from napari_bayes_nnunet.io.known_archives import KnownArchive, keep_archive
from napari_bayes_nnunet.io.study.patient import write_patient
from napari_bayes_nnunet.io.study.review_state import ReviewState, write_review
from napari_bayes_nnunet.widgets.common.settings import Settings

from .helpers.checks.schemas import FOLDER, KINDS, make_schema, text_of
from .helpers.data.cines import make_cine
from .test_written_by_0_2_0 import WRITTEN

DEMO = Path(napari_bayes_nnunet.__file__).parent / "demo_ensemble"
NEWER = {"patient", "site_profile", "archives", "settings"}
OF_NNUNET = {"plans", "dataset", "dataset_fingerprint", "splits_final"}


def is_valid(file: Path, name: str) -> bool:
    checker = jsonschema.Draft202012Validator(make_schema(name))
    return bool(checker.is_valid(json.loads(file.read_text(encoding="utf-8"))))


def test_schemas_are_those_of_the_types() -> None:
    """If this fails, run ``python -m tests.helpers.checks.schemas`` and read the diff."""
    files = {file.stem: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.json")}
    assert files == {name: text_of(name) for name in KINDS}


def written_by_0_2_0() -> Iterator[tuple[Path, str]]:
    for file in [*WRITTEN.rglob("*.json"), *DEMO.glob("*.json")]:
        if file.stem not in OF_NNUNET | {"expected"}:
            yield file, file.stem if file.stem in KINDS else "report"


def test_files_of_0_2_0_have_this_form() -> None:
    files = [*written_by_0_2_0()]
    assert {name for _, name in files} == {*KINDS} - {
        "patient",
        "site_profile",
        "archives",
        "settings",
    }
    assert [file for file, name in files if not is_valid(file, name)] == []


def test_new_files_have_this_form(tmp_path, trained_run, monkeypatch) -> None:
    monkeypatch.setattr(known_archives, "archives_file", lambda: tmp_path / "archives.json")
    keep_archive(KnownArchive(name="Ward", url="https://archive.example/dicom-web"))
    Settings(tmp_path / "settings.json").keep(reader="Doe, Jane")
    write_profile(tmp_path / "site_profile.json", SiteProfile(name="Site", es_base={"LV": 1}))
    study = make_cine(tmp_path / "heart")
    write_review(study, ReviewState(reader="Doe, Jane", finished=True))
    write_patient(study, PatientRecord(name="DOE^J", birth="1957"))
    files = [*tmp_path.glob("*.json"), *study.glob("*.json")]
    files += [trained_run / "ensemble.json", trained_run / "job.json"]
    assert {file.stem for file in files} == {*KINDS} - {"calibration", "report"}
    assert [file for file in files if not is_valid(file, file.stem)] == []
    (tmp_path / "settings.json").write_text('{"reader": 7}', encoding="utf-8")
    assert not is_valid(tmp_path / "settings.json", "settings")
