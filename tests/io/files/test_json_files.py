"""JSON that is read back: three sentences for what goes wrong, never the content of the file."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.messages import (
    EpochDone,
    PhaseDone,
    SegmentImage,
    StudyDone,
    from_line,
)
from napari_bayes_nnunet.app.segmentation import calibration
from napari_bayes_nnunet.app.training.process_record import JobInfo
from napari_bayes_nnunet.core.problems import statement
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.ensemble.model_folder import read_model
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, read_record
from napari_bayes_nnunet.io.files.json_files import (
    DAMAGED_JSON,
    NEWER_JSON,
    UNREADABLE_JSON,
    Count,
    Ordinal,
    parse_json,
    read_json,
)
from napari_bayes_nnunet.io.study.case_report import read_report
from napari_bayes_nnunet.io.study.info import read_study_info
from napari_bayes_nnunet.io.study.review_state import read_review

WRITTEN = Path(__file__).parents[2] / "fixtures" / "written_by_0_2_0"
NAME = "DOE^JANE"
SECRET = NAME * 1000
WRONG: tuple[Any, ...] = (
    *(None, True, SECRET, -1, -0.5, 3.7, [], {}, [[[SECRET]]], {SECRET: {SECRET: [SECRET]}}),
    *(float("nan"), float("inf"), 10**400, "1e999"),
)
"""Values that are put in the place of each value of a file; ``1e999`` as a number."""
TOO_DEEP = "[" * 100_000


@dataclass(frozen=True, kw_only=True)
class Small:
    number: Count
    phase: Ordinal | None = None
    share: float = 0.5
    pair: tuple[int, str] = (1, "a")
    rest: dict[str, Any] = field(default_factory=dict)


def read(file: Path, text: str) -> Small:
    file.write_text(text, encoding="utf-8")
    return read_json(file, Small, newest=1, repair="Buy another.")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "small.json"


def test_lists_become_tuples_and_unknown_keys_are_ignored(file: Path) -> None:
    text = '{"format": 1, "number": 2, "pair": [3, "b"], "share": 1, "colour": "blue"}'
    assert read(file, text) == Small(number=2, pair=(3, "b"), share=1.0)


@pytest.mark.parametrize(
    "entry",
    [
        *('"number": "2"', '"number": 2.0', '"number": true', '"number": -1', '"number": null'),
        *('"phase": 0', '"share": NaN', '"share": 1e999', '"share": "1"', '"pair": [3]'),
        *('"rest": {"deep": [NaN]}', '"rest": {"deep": [-1e999]}', f'"rest": {TOO_DEEP}'),
    ],
)
def test_damaged_file_is_reported_with_advice(file: Path, entry: str) -> None:
    with pytest.raises(DataError) as error:
        read(file, f'{{"format": 1, "number": 1, {entry}}}')
    assert error.value.statement == statement(DAMAGED_JSON, file=file, repair="Buy another.")
    assert error.value.__cause__ is None


@pytest.mark.parametrize("start", ["[]", "", "{}", '{"format": "1"}', '{"format": true}', "\xff"])
def test_file_without_a_format_is_damaged(file: Path, start: str) -> None:
    with pytest.raises(DataError) as error:
        read(file, start)
    assert error.value.statement.template == DAMAGED_JSON


def test_newer_file_is_told_from_a_damaged_one(file: Path) -> None:
    with pytest.raises(DataError) as error:
        read(file, '{"format": 2, "number": "of another type"}')
    assert error.value.statement == statement(NEWER_JSON, file=file)


def test_unreadable_file_is_told_from_a_damaged_one(file: Path) -> None:
    file.mkdir()
    with pytest.raises(DataError) as error:
        read_json(file, Small, repair="")
    assert error.value.statement == statement(UNREADABLE_JSON, file=file, reason="Is a directory")


def test_missing_file_is_left_to_the_caller(file: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_json(file, Small, repair="")


# Each file with each of its values deleted or replaced


def changed(content: Any) -> Iterator[Any]:
    """Copies of ``content`` in which one value, however deep, is missing or another."""
    for keys in places_in(content):
        for value in (..., *WRONG):
            copied = copy.deepcopy(content)
            parent = copied
            for key in keys[:-1]:
                parent = parent[key]
            if value is ...:
                del parent[keys[-1]]
            else:
                parent[keys[-1]] = value
            yield copied


def places_in(content: Any, keys: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Keys of the values. Of a long list the first item, of many cases two are enough."""
    if keys:
        yield keys
    if isinstance(content, dict):
        for key in list(content)[: 2 if len(content) > 40 else None]:
            yield from places_in(content[key], (*keys, key))
    elif isinstance(content, list) and content:
        yield from places_in(content[0], (*keys, 0))


def as_text(content: Any) -> str:
    return re.sub('"1e999"', "1e999", json.dumps(content))


def fuzz(file: Path, use: Callable[[], Any]) -> int:
    """Number of changes of a file that were refused: with DataError, without the content."""
    content, sentences = json.loads(file.read_text(encoding="utf-8")), []
    for other in changed(content):
        file.write_text(as_text(other), encoding="utf-8")
        try:
            use()
        except DataError as error:
            sentences.append(str(error))
    assert [sentence[:200] for sentence in sentences if NAME in sentence] == []
    return len(sentences)


@pytest.fixture
def place(tmp_path: Path) -> Callable[[str], Path]:
    """Copies a file that 0.2.0 wrote."""

    def copied(name: str) -> Path:
        file = tmp_path / Path(name).name
        file.write_bytes((WRITTEN / name).read_bytes())
        return file

    return copied


def test_study_survives_any_value(place: Any) -> None:
    file = place("study/output/cine/study.json")
    content = json.loads(file.read_text(encoding="utf-8"))
    report = content["reports"]["phase01"]
    file.write_text(json.dumps(content | {"phases": [1], "reports": {"phase01": report}}))

    def use() -> None:
        info = read_study_info(file.parent)
        assert info.quality is None or info.quality < 2
        assert (info.slices, info.warnings, info.method) is not None

    assert fuzz(file, use) > 300


def test_review_survives_any_value(place: Any) -> None:
    file = place("study/output/cine/review.json")
    assert fuzz(file, lambda: read_review(file.parent)) > 200


def test_record_survives_any_value(place: Any) -> None:
    file = place("finished_run/ensemble.json")

    def use() -> None:
        record = read_record(file)
        for fold in record.folds:
            assert record.members(fold) or not record.is_complete(fold)
            assert record.training_cases(fold) is not None
            assert record.trained_on(fold)["cases"] is not None

    assert fuzz(file, use) > 500


@pytest.mark.parametrize("name", ["plans.json", "dataset.json"])
def test_model_folder_survives_any_value(place: Any, name: str) -> None:
    for other in ("plans.json", "dataset.json", "ensemble.json"):
        file = place(f"run/{other}")
    (file.parent / "fold_0").mkdir()
    assert fuzz(file.parent / name, lambda: read_model(file.parent).shared()) > 10


def test_report_survives_any_value(place: Any) -> None:
    file = place("cohort/output/first.json")
    assert fuzz(file, lambda: read_report(file)) > 100


FITTED = {"temperature": 1.5, "method": "multi", "members": ["a"], "mirroring": "full"}
FITTED_ON = [FITTED | {"cases": ["b"]}]


def test_calibrations_survive_any_value(tmp_path: Path) -> None:
    file = tmp_path / calibration.CALIBRATION_FILE
    file.write_text(json.dumps({"format": 1, "calibrations": FITTED_ON}))
    assert len(calibration.read_calibrations(tmp_path)) == 1
    assert fuzz(file, lambda: calibration.read_calibrations(tmp_path)) > 40


@pytest.mark.parametrize(
    "message",
    [
        SegmentImage(job=1, image="a", spacing=(1.0, 2.0, 3.0), folder="b", phases=[1, 2]),
        PhaseDone(job=1, phase=None, report={"volumes_ml": {"LV": 1.0}}),
        StudyDone(case="a", outcome="done", done=1, total=2, eta_seconds=3.5),
        EpochDone(
            fold="0",
            epoch=1,
            cycle=0,
            learning_rate=0.1,
            train_loss=0.5,
            val_loss=None,
            pseudo_dice={"LV": 0.5},
            seconds=1.0,
            eta_seconds=2.0,
            member=True,
        ),
    ],
)
def test_message_survives_any_value(message: Any) -> None:
    assert from_line(message.to_line()) == message
    for other in changed(json.loads(message.to_line())):
        with suppress(AppError):
            found = from_line(as_text(other))
            assert from_line(found.to_line()) == found


def test_process_record_survives_any_value() -> None:
    content = json.loads((WRITTEN / "run" / "job.json").read_text(encoding="utf-8"))
    info = parse_json(json.dumps(content), JobInfo)
    assert info.process(RunFolder(WRITTEN / "run")) is None  # of another computer
    for other in changed(content):
        try:
            info = parse_json(as_text(other), JobInfo)
        except ValueError:
            continue
        assert 0 < info.pid < 2**31
