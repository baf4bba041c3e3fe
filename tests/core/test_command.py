import subprocess
import sys
from importlib.metadata import version

from napari_bayes_nnunet.core.command import BAYES_NNUNET, python_command

from ..helpers.processes.command import environment

SPAWNING_COMMAND = """
import multiprocessing, sys
import click
from napari_bayes_nnunet.cli import main

if __name__ == "__main__":
    def spawn():
        child = multiprocessing.get_context("spawn").Process(target=print)
        child.start()
        child.join()
        sys.exit(child.exitcode)
    main.add_command(click.command("spawn")(spawn))
    main(["spawn"])
"""


def test_the_present_folder_hides_no_module(tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit(7)")
    done = subprocess.run(
        python_command("json.tool"), cwd=tmp_path, input=b"[1]", env=environment()
    )
    assert done.returncode == 0


def test_child_processes_import_nothing_from_the_current_folder(tmp_path):
    (tmp_path / "script.py").write_text(SPAWNING_COMMAND)
    current = tmp_path / "current"
    current.mkdir()
    for module in ("multiprocessing", "pickle", "random"):
        (current / f"{module}.py").write_text("raise SystemExit(7)")
    # A console script has its own folder on the path, in place of the current one.
    command = [sys.executable, tmp_path / "script.py"]
    assert subprocess.run(command, cwd=current, env=environment()).returncode == 0


def test_bayes_nnunet_is_the_command_line():
    done = subprocess.run([*BAYES_NNUNET, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == version("napari-bayes-nnunet")
