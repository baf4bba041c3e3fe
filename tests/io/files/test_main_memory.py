"""Free memory within the limits of a batch job or a container."""

from pathlib import Path

import pytest
import torch

from napari_bayes_nnunet.io.files import main_memory
from napari_bayes_nnunet.io.files.main_memory import free_main_memory
from napari_bayes_nnunet.nnunet.device import describe_devices
from napari_bayes_nnunet.nnunet.memory import free_memory

MIB = 2**20


class Groups:
    """Control groups in a folder: the lines of the process, and the memory of its groups."""

    def __init__(self, folder: Path) -> None:
        self.membership = folder / "cgroup"
        self.root = folder / "groups"

    def join(self, *lines: str) -> None:
        self.membership.write_text("\n".join(lines) + "\n")

    def limit(self, group: str, limit: int | str, used: int, cached: int = 0) -> None:
        files = {"memory.max": limit, "memory.current": used}
        statistics = f"anon 5\ninactive_file {cached}\n"
        if group.startswith("memory"):
            files = {"memory.limit_in_bytes": limit, "memory.usage_in_bytes": used}
            statistics = f"inactive_file 7\ntotal_inactive_file {cached}\n"
        (self.root / group).mkdir(parents=True, exist_ok=True)
        for name, value in {**files, "memory.stat": statistics}.items():
            (self.root / group / name).write_text(f"{value}\n")


@pytest.fixture
def groups(tmp_path, monkeypatch):
    groups = Groups(tmp_path)
    monkeypatch.setattr(main_memory, "MEMBERSHIP", groups.membership)
    monkeypatch.setattr(main_memory, "CONTROL_GROUPS", groups.root)
    return groups


def test_limit_of_a_job_bounds_free_memory(groups):
    groups.join("0::/slurm/job_1/step_0")
    groups.limit("slurm/job_1/step_0", "max", 20 * MIB)
    groups.limit("slurm/job_1", 64 * MIB, 40 * MIB, cached=8 * MIB)
    assert free_main_memory() == free_memory(1, torch.device("cpu")) == 32 * MIB
    assert " 0.0 GiB" in describe_devices()["cpu"]
    groups.limit("slurm/job_1/step_0", 30 * MIB, 20 * MIB)
    assert free_main_memory() == 10 * MIB
    groups.limit("slurm/job_1/step_0", 10 * MIB, 20 * MIB)
    assert free_main_memory() == 0


def test_limit_of_a_container_is_at_the_root(groups):
    groups.join("4:memory:/docker/abc")
    groups.limit("memory", 64 * MIB, 40 * MIB)
    assert free_main_memory() == 24 * MIB
