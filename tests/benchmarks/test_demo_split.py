"""Tests of the stratified split of the demo ensemble."""

from pathlib import Path

from benchmarks.demo_split import read_pathology_groups, stratified_holdout


def test_holdout_is_drawn_from_every_group_in_proportion() -> None:
    groups = {f"p{number:02d}": "ABCD"[number % 4] for number in range(40)}
    kept, drawn = stratified_holdout(groups, count=8, seed=1)
    assert sorted([*kept, *drawn]) == sorted(groups)
    assert [sum(groups[p] == g for p in drawn) for g in "ABCD"] == [2, 2, 2, 2]
    assert (kept, drawn) == stratified_holdout(groups, count=8, seed=1)
    assert drawn != stratified_holdout(groups, count=8, seed=2)[1]


def test_holdout_of_uneven_groups_has_requested_size() -> None:
    groups = {f"a{n}": "A" for n in range(7)} | {f"b{n}": "B" for n in range(2)} | {"c": "C"}
    drawn = stratified_holdout(groups, count=4, seed=0)[1]
    assert len(drawn) == 4
    assert sum(groups[patient] == "A" for patient in drawn) in (2, 3)


def test_pathology_groups_are_read_from_table(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text("patient,group,frames\np1,DCM,2\np2,NOR,2\n")
    assert read_pathology_groups(tmp_path / "cases.csv") == {"p1": "DCM", "p2": "NOR"}
