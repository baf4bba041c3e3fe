"""Nothing leaves the computer: a whole ``predict`` is watched by strace."""

import re
import shutil
import subprocess

import pytest

from napari_bayes_nnunet.core.command import BAYES_NNUNET
from napari_bayes_nnunet.nnunet.openvino_network import is_installed

from ..helpers.data.cohorts import write_volume
from ..helpers.data.models import make_model
from ..helpers.processes.command import environment

WATCHED = "--trace=connect,sendto,sendmsg,open,openat,creat,mkdir,mkdirat,rename,link,symlink"
WRITING = re.compile(r"(?:creat|mkdir|mkdirat|rename|link|symlink)\(|O_WRONLY|O_RDWR|O_CREAT")
PATH = re.compile(r'"(/[^"]*)"')


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_predict_connects_nowhere_and_writes_only_its_folders(tmp_path):
    """The first one also converts the network for OpenVINO, which would report its use."""
    image, model = (
        write_volume(tmp_path / "heart.nii.gz"),
        make_model(tmp_path / "model", members=1),
    )
    home = tmp_path / "home"
    folders = {name: tmp_path / name for name in ("cache", "config", "data", "temporary", "out")}
    for folder in (home, folders["temporary"]):
        folder.mkdir()
    variables = {
        f"XDG_{name.upper()}_HOME": str(folders[name]) for name in ("cache", "config", "data")
    }
    variables |= {"HOME": str(home), "TMPDIR": str(folders["temporary"])}
    log = tmp_path / "calls.txt"
    watched = ["strace", "--follow-forks", "--quiet=all", WATCHED, f"--output={log}"]
    command = [*BAYES_NNUNET, "predict", str(model), str(image), "--output", str(folders["out"])]
    done = subprocess.run(
        [*watched, *command], env=environment(**variables), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    calls = log.read_text(errors="replace").splitlines()
    assert not [call for call in calls if "sa_family=AF_INET" in call]
    written = {path for call in calls if WRITING.search(call) for path in PATH.findall(call)}
    allowed = (*map(str, folders.values()), "/dev/", "/proc/self/")
    assert written
    assert not [path for path in written if not path.startswith(allowed)]
    assert not [*home.iterdir()]
    assert not [*folders["temporary"].iterdir()]
    assert is_installed() == any((folders["cache"] / "napari-bayes-nnunet").glob("networks/*"))
