"""Files are whole or absent, whenever the writing process ends."""

import math
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_bayes_nnunet.io.files.atomic import (
    null_for_nan,
    remove_leftovers,
    removing_if_empty,
    replacing,
    write_json,
    write_text,
)
from napari_bayes_nnunet.io.files.json_files import parse_json

WRITE_SLOWLY = """
import sys, time
from pathlib import Path
from napari_bayes_nnunet.io.files.atomic import replacing
with replacing(Path(sys.argv[1])) as temporary:
    with temporary.open("w") as file:
        file.write("half")
        file.flush()
        print("writing", flush=True)
        time.sleep(60)
"""


def test_file_is_written_and_replaced(tmp_path):
    file = tmp_path / "new" / "a.txt"
    write_text(file, "first")
    write_text(file, "zweite äöü")
    assert file.read_text(encoding="utf-8") == "zweite äöü"
    assert [f.name for f in file.parent.iterdir()] == ["a.txt"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o666])
def test_replaced_file_keeps_its_permissions(tmp_path, mode):
    new, file = tmp_path / "new.txt", tmp_path / "a.txt"
    for path in (new, file):
        write_text(path, "first")
    file.chmod(mode)
    with replacing(file) as temporary:
        assert temporary.stat().st_mode & 0o077 == 0  # nobody else may read it meanwhile
        temporary.write_text("second")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("second", mode)
    (tmp_path / "touched").touch()
    assert new.stat().st_mode == (tmp_path / "touched").stat().st_mode


def test_failed_write_keeps_old_content_and_leaves_nothing(tmp_path):
    file = tmp_path / "a.txt"
    write_text(file, "old")
    with pytest.raises(TypeError):
        write_text(file, b"no text")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError), replacing(file) as temporary:
        temporary.unlink()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")
def test_failed_write_leaves_no_new_folder(tmp_path):
    with pytest.raises(KeyError), replacing(tmp_path / "new" / "inner" / "a.txt"):
        raise KeyError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("has_content", [False, True])
@pytest.mark.parametrize("exists", [False, True])
def test_new_folder_left_empty_is_removed(tmp_path, exists, has_content):
    output = tmp_path / "results" / "out"
    lock = output / "lock"
    if exists:
        output.mkdir(parents=True)
    with pytest.raises(KeyError), removing_if_empty(output, lock):
        output.mkdir(parents=True, exist_ok=True)
        lock.touch()
        if has_content:
            (output / "file").touch()
        raise KeyError
    assert output.exists() == lock.exists() == (exists or has_content)
    assert output.parent.exists() == (exists or has_content)
    assert tmp_path.exists()


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_file_gets_the_users_usual_permissions(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == mode


def test_killed_write_keeps_the_old_content(tmp_path):
    file = tmp_path / "a.txt"
    write_text(file, "old")
    command = [sys.executable, "-c", WRITE_SLOWLY, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"writing\n"
        child.kill()
    assert file.read_text() == "old"
    leftovers = [f for f in tmp_path.iterdir() if f != file]
    assert len(leftovers) == 1
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [file]


def test_leftovers_of_named_files_only(tmp_path):
    names = ("a.nii.gz", "b-a.nii.gz", "[a].nii.gz")
    for name in names:
        (tmp_path / f".writing-0a_9xyz7-{name}").touch()
    remove_leftovers(tmp_path, "a.nii.gz", "[a].nii.gz")
    assert [file.name for file in tmp_path.iterdir()] == [".writing-0a_9xyz7-b-a.nii.gz"]


def test_leftovers_of_a_folder_that_is_gone(tmp_path):
    remove_leftovers(tmp_path / "gone")


def test_null_for_nan():
    assert null_for_nan({"a": [math.nan, 1.5], "b": (math.inf,), "c": "text"}) == {
        "a": [None, 1.5],
        "b": [None],
        "c": "text",
    }


def test_undecoded_bytes_of_names_are_written_as_escapes(tmp_path):
    write_text(tmp_path / "page", "a\udcffb ü")
    assert (tmp_path / "page").read_text(encoding="utf-8") == "a\\udcffb ü"


def test_json_is_read_back_but_for_undecoded_bytes(tmp_path_factory):
    file = tmp_path_factory.mktemp("json") / "report.json"
    characters = st.characters(exclude_categories=[]) | st.just("\udcff")

    @settings(max_examples=30)
    @given(st.dictionaries(st.text(), st.text(characters) | st.none() | st.floats(0, 1)))
    def write_and_read(content):
        write_json(file, content)
        known = {
            key: value.encode(errors="replace").decode() if isinstance(value, str) else value
            for key, value in content.items()
        }
        assert parse_json(file.read_bytes(), dict[str, Any]) == known
        assert file.read_text("utf-8").endswith("\n")

    write_and_read()
