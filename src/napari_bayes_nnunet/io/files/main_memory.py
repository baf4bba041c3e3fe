"""Free main memory, within the limits that a batch job or a container sets to its processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import psutil

MEMBERSHIP: Final = Path("/proc/self/cgroup")
"""Linux's list of the control groups of this process."""
CONTROL_GROUPS: Final = Path("/sys/fs/cgroup")


class _Files(NamedTuple):
    """Files of a control group: its limit, its use, and in its statistics the cached files."""

    limit: str
    used: str
    cached: str


_VERSION_1: Final = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_VERSION_2: Final = _Files("memory.max", "memory.current", "inactive_file")


def free_main_memory() -> int:
    """Return the bytes that this process can still allocate.

    Beyond the limit of its control group, Linux kills it although the computer has free memory.
    """
    return max(0, min([int(psutil.virtual_memory().available), *_left_in_groups()]))


def _left_in_groups() -> Iterator[int]:
    """Yield the bytes that the limits of the groups with this process leave."""
    with suppress(OSError):  # not Linux
        for line in MEMBERSHIP.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                yield from _left_in(CONTROL_GROUPS, path, _VERSION_2)
            elif "memory" in controllers.split(","):
                yield from _left_in(CONTROL_GROUPS / "memory", path, _VERSION_1)


def _left_in(root: Path, path: str, files: _Files) -> Iterator[int]:
    """Yield the bytes that a group and those above it leave.

    In a container, ``root`` may be the group of the container although ``path`` is longer.
    """
    inner = root / path.lstrip("/")
    for group in (inner, *inner.parents):
        with suppress(OSError, ValueError):  # no such file, or no limit: "max"
            limit = int((group / files.limit).read_text())
            used = int((group / files.used).read_text())
            # Linux drops cached files before it kills a process.
            yield limit - used + _cached(group / "memory.stat", files.cached)
        if group == root:
            return


def _cached(statistics: Path, name: str) -> int:
    entries = (line.partition(" ") for line in statistics.read_text().splitlines())
    return sum(int(value) for key, _, value in entries if key == name)
