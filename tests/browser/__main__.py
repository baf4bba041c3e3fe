"""Orthanc with the sample cine, and OHIF before it, until Ctrl-C: python -m tests.browser."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from ..helpers.processes.orthanc import HOST, run_orthanc
from .test_ohif import write_sample
from .viewer import run_site, send


def main() -> None:
    """Print the addresses of both, and wait."""
    with TemporaryDirectory() as name, run_orthanc(Path(name)) as port, run_site(port) as site:
        write_sample(Path(name) / "sample", later_by_ms=0.5)
        send(port, Path(name) / "sample")
        print(f"Archive: http://{HOST}:{port}/dicom-web")
        print(f"OHIF: http://{HOST}:{site}/", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
