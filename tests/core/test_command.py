import subprocess
from importlib.metadata import version

from napari_bayes_nnunet.core.command import BAYES_NNUNET, python_command


def test_the_present_folder_hides_no_module(tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit(7)")
    done = subprocess.run(python_command("json.tool"), cwd=tmp_path, input=b"[1]")
    assert done.returncode == 0


def test_bayes_nnunet_is_the_command_line():
    done = subprocess.run([*BAYES_NNUNET, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == version("napari-bayes-nnunet")
