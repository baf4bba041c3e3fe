"""A real Orthanc with OHIF before it, and what OHIF shows in a browser."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final
from urllib.request import urlopen

from ..helpers.processes.orthanc import HOST

OHIF: Final = (
    Path(os.environ.get("OHIF_FOLDER", Path.home() / ".cache" / "napari-bayes-nnunet-ohif"))
    / "package"
    / "dist"
)
CONFIG: Final = """
window.config = {
  extensions: [], modes: [], showStudyList: true, maxNumberOfWebWorkers: 1,
  showWarningMessageForCrossOrigin: false, showCPUFallbackMessage: false,
  investigationalUseDialog: { option: 'never' }, disableConfirmationPrompts: true,
  defaultDataSourceName: 'orthanc',
  dataSources: [{
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb', sourceName: 'orthanc',
    configuration: {
      friendlyName: 'Orthanc', name: 'Orthanc', qidoRoot: '/dicom-web', wadoRoot: '/dicom-web',
      wadoUriRoot: '/wado', imageRendering: 'wadors', thumbnailRendering: 'wadors',
      qidoSupportsIncludeField: false, enableStudyLazyLoad: true, supportsWildcard: true,
      omitQuotationForMultipartRequest: true,
    },
  }],
};
"""


def send(port: int, folder: Path) -> str:
    """Send all files of a folder to an Orthanc, and return the UID of their study."""
    address, studies = f"http://{HOST}:{port}", set()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        with urlopen(f"{address}/instances", file.read_bytes()) as answer:
            studies.add(json.load(answer)["ParentStudy"])
    (study,) = studies
    with urlopen(f"{address}/studies/{study}") as answer:
        return str(json.load(answer)["MainDicomTags"]["StudyInstanceUID"])


class _Site(SimpleHTTPRequestHandler):
    """OHIF's static site, and Orthanc's DICOMweb below the same address."""

    archive = 0

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith(("/dicom-web", "/wado")):
            self._forward()
        elif path == "/app-config.js":
            self._answer(200, "text/javascript", CONFIG.encode())
        else:
            if not (OHIF / path.strip("/")).is_file():
                self.path = "/index.html"  # a page of OHIF
            super().do_GET()

    def _forward(self) -> None:
        accept = {"Accept": self.headers.get("Accept", "*/*"), "Host": self.headers["Host"]}
        with closing(HTTPConnection(HOST, self.archive)) as connection:
            connection.request("GET", self.path, headers=accept)
            answer = connection.getresponse()
            self._answer(answer.status, answer.getheader("Content-Type", ""), answer.read())

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def run_site(archive: int) -> Iterator[int]:
    """Serve OHIF before the Orthanc on the port ``archive``, and yield the port of the site."""
    handler = type("Site", (_Site,), {"archive": archive})
    server = ThreadingHTTPServer(
        (HOST, 0), lambda *arguments: handler(*arguments, directory=str(OHIF))
    )
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def open_browser() -> Iterator[Any]:
    """Yield a page of a headless browser with WebGL in software."""
    from playwright.sync_api import sync_playwright

    with ExitStack() as stack:
        driver = stack.enter_context(sync_playwright())
        arguments = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"]
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=[*arguments, "--enable-unsafe-swiftshader"],
        )
        stack.callback(browser.close)
        yield browser.new_page(viewport={"width": 1280, "height": 800})
