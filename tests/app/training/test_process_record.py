import json
import os
import socket
import subprocess
import sys
from datetime import datetime, timedelta

import psutil
import pytest

from napari_bayes_nnunet.app.training.run_state import SAME_PROCESS, is_gone, read_process_record
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder

from ...helpers.processes.jobs import enter, wait_until


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path)


def test_written_values_are_read(run):
    enter(run)
    info = read_process_record(run)
    assert (info.pid, info.host, info.is_here) == (os.getpid(), socket.gethostname(), True)
    assert (info.dataset, info.fold, info.arguments) == ("data", "0", ("--", "data"))
    age = datetime.now().astimezone() - datetime.fromisoformat(info.started_at)
    assert timedelta(seconds=-1) <= age < timedelta(minutes=1)
    assert info.process(run) == psutil.Process()


def test_an_earlier_version_did_not_write_the_device(run):
    enter(run)
    content = json.loads(run.job.read_text())
    del content["device"]
    run.job.write_text(json.dumps(content))
    assert read_process_record(run).device == "auto"


def test_another_process_with_the_same_number_is_ignored(run):
    started = psutil.Process().create_time()
    for later, same in ((SAME_PROCESS / 2, True), (-2 * SAME_PROCESS, False)):
        enter(run, process_started=started + later)
        assert (read_process_record(run).process(run) is not None) == same


def test_a_process_of_another_host_is_ignored(run):
    enter(run, host="another")
    assert not read_process_record(run).is_here
    assert read_process_record(run).process(run) is None


def test_a_zombie_counts_as_ended(run):
    command = [sys.executable, "-c", "input()", "train", str(run.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        process = psutil.Process(child.pid)
        enter(run, pid=child.pid, process_started=process.create_time())
        assert read_process_record(run).process(run) == process
        child.stdin.close()
        wait_until(lambda: is_gone(process))
        assert process.status() == psutil.STATUS_ZOMBIE
        assert read_process_record(run).process(run) is None
    assert is_gone(process)
    assert read_process_record(run).process(run) is None
