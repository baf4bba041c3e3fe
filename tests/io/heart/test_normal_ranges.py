"""Normal ranges in CSV files, and what is said about a wrong one."""

from pathlib import Path

import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.files.access import UNREADABLE
from napari_bayes_nnunet.io.heart.normal_ranges import (
    NO_CSV,
    NO_RANGES,
    PETERSEN,
    RULE,
    WRONG_LINE,
    read_normal_ranges,
)

from ...helpers.checks.problems import says

HEAD = """source,"Our hospital, 2026."
papillary muscles,blood
quantity,unit,sex,kind,low,high,mean,sd,age_low,age_high
"""
FIRST = "LV EDV,mL,m,95 % interval,90,220,,,18,39\n"
OTHERS = (
    "LV EDV,mL,m,95 % interval,85,210,,,40,59\n"
    "LV EF,%,f,mean and SD,,,61,5,,\n"
    "LV CO/BSA,L/min/m2,f,abnormal beyond,1.9,4.3,,,,\n"
)


def written(tmp_path: Path, text: str | bytes) -> str:
    file = tmp_path / "site.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(file)


@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_site_adds_a_set_of_its_own(start: str, tmp_path: Path) -> None:
    # as a spreadsheet saves it: with empty cells at the end, and empty lines
    text = start + HEAD.replace("blood\n", "blood,,,,,,,,\r\n") + FIRST + ",,,,\n\n" + OTHERS
    ranges = read_normal_ranges(written(tmp_path, text))
    assert ranges.source == "Our hospital, 2026"
    edv, older, ef, index = ranges.ranges
    assert (edv.quantity, edv.sex, edv.kind) == ("LV EDV", "m", "95 % interval")
    assert (edv.low, edv.high, edv.ages) == (90, 220, (18, 39))
    assert older.ages == (40, 59)
    assert (ef.low, ef.high) == pytest.approx((51.2, 70.8))
    assert ef.is_for(3)
    assert (index.quantity, index.low) == ("LV CO/BSA", 1.9)


def test_age_columns_may_be_missing(tmp_path):
    lines = (HEAD + FIRST).splitlines()
    text = "\n".join([*lines[:2], *(line.rsplit(",", 2)[0] for line in lines[2:])])
    (known,) = read_normal_ranges(written(tmp_path, text)).ranges
    assert known.is_for(5)


def test_the_shipped_set_and_none_are_chosen_by_name():
    assert len(read_normal_ranges(PETERSEN).ranges) == 40
    assert read_normal_ranges(NO_RANGES).ranges == ()


WRONG = {
    "no source": (HEAD.replace("source", "from"), 1, "“source”"),
    "empty source": (HEAD.replace('"Our hospital, 2026."', ""), 1, "“source”"),
    "empty file": ("", 1, "“source”"),
    "semicolons": (HEAD.replace(",", ";") + FIRST, 1, "“source”"),
    "no rule": (HEAD.replace("papillary muscles,blood\n", ""), 2, RULE),
    "another rule": (HEAD.replace("blood", "muscle") + FIRST, 2, RULE),
    "missing column": (HEAD.replace("low,", "", 1) + FIRST, 3, "with low"),
    "no ranges": (HEAD, 4, "as its quantity"),
    "unknown quantity": (HEAD + FIRST.replace("EDV", "EDVI"), 4, "“LV EDV/BSA”"),
    "not measured": (HEAD + FIRST.replace("LV EDV", "RV mass"), 4, "“LV EDV/BSA”"),
    "wrong unit": (HEAD + FIRST.replace("mL", "L"), 4, "“mL” as its unit"),
    "wrong sex": (HEAD + FIRST.replace(",m,", ",male,"), 4, "“m” or “f” as its sex"),
    "wrong kind": (HEAD + FIRST.replace("95 %", "90 %"), 4, "“abnormal beyond” or"),
    "no number": (HEAD + FIRST.replace("90", ""), 4, "a number as its low"),
    "comma": (HEAD + FIRST.replace("220", '"220,5"'), 4, "a number as its high"),
    "infinite": (HEAD + FIRST.replace("220", "inf"), 4, "a number as its high"),
    "no SD": (HEAD + FIRST + OTHERS.replace(",61,5,", ",61,,"), 6, "a number as its sd"),
    "negative SD": (HEAD + FIRST + OTHERS.replace(",61,5,", ",61,-5,"), 6, "an SD above 0"),
    "limits exchanged": (HEAD + FIRST.replace("90,220", "220,90"), 4, "from low to high"),
    "ages exchanged": (HEAD + FIRST.replace("18,39", "39,18"), 4, "from low to high"),
    "half an age": (HEAD + FIRST.replace("18,39", "18,"), 4, "a number as its age_high"),
    "twice": (HEAD + FIRST + OTHERS.replace("40,59", "39,59"), 5, "only once"),
}


@pytest.mark.parametrize(("text", "line", "expected"), WRONG.values(), ids=WRONG)
def test_a_wrong_line_is_named_with_what_to_write(text, line, expected, tmp_path):
    file = written(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_normal_ranges(file)
    assert caught.value.args == (WRONG_LINE,)
    assert caught.value.values["line"] == line
    assert str(caught.value.values["file"]) == file
    assert expected in str(caught.value.values["expected"])


def test_a_file_of_another_kind_is_refused(tmp_path):
    latin, broken = "source,Kühl\n".encode("latin-1"), 'source,"Ours\n'
    for text in (latin, broken):
        file = Path(written(tmp_path, text))
        with pytest.raises(DataError, check=says(NO_CSV, file=file)):
            read_normal_ranges(str(file))


def test_an_unreadable_file_is_refused(tmp_path):
    for choice in (str(tmp_path), str(tmp_path / "nothing.csv")):
        with pytest.raises(DataError, check=says(UNREADABLE)):
            read_normal_ranges(choice)
