"""Table and page of a run: kept through what passes, and through a run that is stopped."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.cohort.table import (
    FOREIGN_TABLE,
    NO_UTF8,
    ONLY_PREDICTED,
    OTHER_COLUMNS,
    CohortPage,
    CohortSummary,
    CohortTable,
    StudyRow,
    listed_studies,
)
from napari_bayes_nnunet.core.heart.function import Measured

from ...helpers.checks.problems import says


def summary(folder: Path, *, redone: tuple[str, ...] = ()) -> CohortSummary:
    page = CohortPage(
        folder=folder, settings={}, total=3, left_out=(), picture_of=lambda row: folder / "none.png"
    )
    return CohortSummary(CohortTable(folder, redone=redone), page)


def row(case: str, **more) -> StudyRow:
    return StudyRow(case=case, outcome="done", **more)


def cases(folder: Path) -> list[str]:
    with (folder / "cohort.csv").open(newline="", encoding="utf-8") as file:
        return [line["study"] for line in csv.DictReader(file)]


def test_rows_appear_at_once_and_worst_first(tmp_path) -> None:
    made = summary(tmp_path)
    made.add(row("c", notes=("ED is phase 1.",)))
    assert cases(tmp_path) == ["c"]
    for other in (row("a"), row("worst", quality=0.5)):
        made.add(other)
    assert cases(tmp_path) == ["worst", "a", "c"]
    made.add(StudyRow(case="z", outcome="failed", failure="It is broken."))
    made.close()
    assert cases(tmp_path) == ["z", "worst", "a", "c"]
    assert "ED is phase 1." in (tmp_path / "cohort.csv").read_text()


def test_rows_of_huge_table_and_page_are_written_together(tmp_path, monkeypatch) -> None:
    """Else the writing of thousands of rows would take longer than the studies."""
    table_takes = {"a": (0, 1), "b": (9,), "c": (11, 11.01), "d": (12, 12.01)}
    page_takes = {"a": (1, 1.01), "b": (9, 9.01), "c": (11.01,), "d": (12.01,)}
    times = iter(t for case in "abcd" for t in (*table_takes[case], *page_takes[case]))
    monkeypatch.setattr("time.monotonic", lambda: 100.0 + next(times))
    made = summary(tmp_path)
    for case, expected, shown in (("a", "a", 1), ("b", "a", 2), ("c", "abc", 2), ("d", "abcd", 2)):
        made.add(StudyRow(case=case, outcome="finished before"))
        assert cases(tmp_path) == [*expected]
        assert f"{shown} of 3 studies" in (tmp_path / "cohort.html").read_text()


def test_earlier_rows_stay_until_their_studies_end(tmp_path) -> None:
    first = summary(tmp_path)
    for case in ("a", "b", "gone"):
        first.add(row(case, seconds=1.0))
    first.close()
    second = summary(tmp_path, redone=("gone",))
    assert cases(tmp_path) == ["a", "b"]
    second.add(row("b", seconds=2.0))
    second.add(row("c"))
    second.close()
    assert cases(tmp_path) == ["a", "b", "c"]
    assert ",2.0," in (tmp_path / "cohort.csv").read_text()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: b"patient,age\na,70\n", OTHER_COLUMNS),
        (lambda text: text.replace(",", ";").encode(), OTHER_COLUMNS),
        (lambda text: text.replace("\n", ",x\n").encode(), OTHER_COLUMNS),
        (lambda text: text.replace("x,done", "x,done,0.5,").encode(), OTHER_COLUMNS),
        (lambda text: text.replace("x,", "J\u00fcrgen,").encode("cp1252"), NO_UTF8),
        (lambda text: text.encode("utf-16"), NO_UTF8),
        (lambda text: text.replace("x,", f"{'x' * 200_000},").encode(), None),
    ],
)
def test_table_in_another_form_is_never_replaced(tmp_path, change, reason) -> None:
    made = summary(tmp_path)
    for case in ("x", "y"):
        made.add(row(case))
    made.close()
    table = tmp_path / "cohort.csv"
    table.write_bytes(content := change(table.read_text(encoding="utf-8")))
    values = {"file": table} | ({"reason": reason} if reason else {})
    for read in (CohortTable, lambda folder: listed_studies(folder / "cohort.csv")):
        with pytest.raises(AppError, check=says(FOREIGN_TABLE, **values)):
            read(tmp_path)
    assert table.read_bytes() == content


def test_table_saved_by_a_spreadsheet_keeps_its_rows(tmp_path) -> None:
    """Excel writes a mark before UTF-8, and leaves out empty fields at the ends of lines."""
    made = summary(tmp_path)
    for case in ("J\u00fcrgen", "y"):
        made.add(row(case, quality=0.5))
    made.close()
    table = tmp_path / "cohort.csv"
    lines = [line.rstrip(",") for line in table.read_text(encoding="utf-8").splitlines()]
    table.write_text("\r\n".join([*lines, ",,", ""]), encoding="utf-8-sig", newline="")
    assert listed_studies(table) == ["J\u00fcrgen", "y"]
    summary(tmp_path)
    assert cases(tmp_path) == ["J\u00fcrgen", "y"]


def test_line_that_0_2_0_cut_at_a_kill_is_left_out(tmp_path) -> None:
    made = summary(tmp_path)
    made.add(row("a"))
    with (tmp_path / "cohort.csv").open("ab") as file:
        file.write(b"b,done")
    summary(tmp_path)
    assert cases(tmp_path) == ["a"]


def test_empty_file_is_a_new_table(tmp_path) -> None:
    (tmp_path / "cohort.csv").touch()
    summary(tmp_path).close()
    assert cases(tmp_path) == []


def test_temporarily_locked_file_does_not_end_the_run(tmp_path, monkeypatch) -> None:
    made = summary(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", locked)
        made.add(row("a"))
    made.close()
    assert cases(tmp_path) == ["a"]


def test_failed_final_write_raises(tmp_path, monkeypatch) -> None:
    made = summary(tmp_path)
    made.add(row("a"))
    (tmp_path / "cohort.csv").unlink()
    (tmp_path / "cohort.csv").mkdir()
    with pytest.raises(OSError, match="directory"):
        made.close()
    assert "1 of 3 studies" in (tmp_path / "cohort.html").read_text()


def locked(*_, **__):
    raise PermissionError("open in another program")


def test_study_called_like_a_formula_is_continued(tmp_path) -> None:
    names = ["=HYPERLINK(1)", "@a", "-1+1", "'=b"]
    first = summary(tmp_path)
    for name in names:
        first.add(row(name, notes=("=1+1",)))
    first.close()
    assert all(case.startswith("'") for case in cases(tmp_path))
    second = summary(tmp_path)
    second.add(row(names[0], seconds=2.0))
    second.close()
    assert sorted(cases(tmp_path)) == sorted(f"'{name}" for name in names)


def test_earlier_row_without_a_number_comes_last(tmp_path) -> None:
    summary(tmp_path).close()
    table = tmp_path / "cohort.csv"
    fields = table.read_text().count(",") - 2
    table.write_text(f"{table.read_text()}a,done,good{fields * ','}\nb,done,0.5{fields * ','}\n")
    summary(tmp_path).close()
    assert cases(tmp_path) == ["b", "a"]


def test_undecoded_bytes_of_names_are_no_error(tmp_path) -> None:
    made = summary(tmp_path)
    made.add(StudyRow(case="a", outcome="failed", failure="a\udcff.nii is damaged."))
    assert cases(tmp_path) == ["a"]
    made.close()
    assert cases(tmp_path) == ["a"]


@pytest.mark.parametrize("spread", ["_sd", "_models_sd"])  # of earlier versions
def test_table_with_fewer_columns_is_continued(tmp_path, spread) -> None:
    summary(tmp_path).close()
    table = tmp_path / "cohort.csv"
    head = [name for name in table.read_text().strip().split(",") if not name[-2:].isdigit()]
    head = [name.replace("_members_sd", spread) for name in head if name != "state"]
    values = {"study": "old", "outcome": "done", "predicted_quality": "0.9", "lv_ef_percent": "55"}
    values[f"lv_ef_percent{spread}"] = "1.50"
    line = ",".join(values.get(name, "") for name in head)
    table.write_text(f"{','.join(head)}\n{line}\n")
    made = summary(tmp_path)
    made.add(row("new"))
    made.close()
    assert sorted(cases(tmp_path)) == ["new", "old"]
    with table.open() as file:
        kept = next(line for line in csv.DictReader(file) if line["study"] == "old")
    assert (kept["lv_ef_percent"], kept["lv_ef_percent_low_90"]) == ("55", "")
    assert kept["lv_ef_percent_members_sd"] == "1.50"


def test_intervals_have_columns(tmp_path) -> None:
    measured = Measured(
        name="LV EF",
        title="",
        value=50,
        spread=1.0,
        unit="%",
        help="",
        intervals={80: (46, 54), 90: (44.125, 55)},
    )
    made = summary(tmp_path)
    made.add(row("a", numbers={"LV EF": measured}))
    made.close()
    with (tmp_path / "cohort.csv").open() as file:
        (found,) = csv.DictReader(file)
    ends = [f"lv_ef_percent_{end}_{level}" for level in (80, 90) for end in ("low", "high")]
    assert [found[name] for name in ends] == ["46.00", "54.00", "44.12", "55.00"]
    assert (found["lv_ef_percent_members_sd"], found["state"]) == ("1.00", ONLY_PREDICTED)


def test_corrected_row_of_an_earlier_run_has_its_warnings(tmp_path) -> None:
    first = summary(tmp_path)
    first.add(row("p_ED", device="cpu", warnings=("Old.",), notes=("Half precision.",)))
    first.close()
    second = CohortTable(tmp_path)
    second.correct(row("p_ED", warnings=("The RV grows.",)))
    second.write(())
    with (tmp_path / "cohort.csv").open(newline="", encoding="utf-8") as file:
        (line,) = csv.DictReader(file)
    assert (line["warnings"], line["notes"]) == ("The RV grows.", "Half precision.")
    assert line["device"] == "cpu"
