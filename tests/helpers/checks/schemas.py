"""JSON Schemas of the files that this program writes, from the types with which it reads them.

``python -m tests.helpers.checks.schemas`` writes them, and ``tests/test_schemas.py`` fails if they
are old. A new file is a new entry of `KINDS`.
"""

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from napari_bayes_nnunet.app.segmentation import calibration
from napari_bayes_nnunet.app.training.run_state import JobInfo
from napari_bayes_nnunet.core.heart.patient_record import PatientRecord
from napari_bayes_nnunet.io.ensemble.run_folder import TrainingRecord
from napari_bayes_nnunet.io.heart.site_profile import SiteProfile
from napari_bayes_nnunet.io.known_archives import KnownArchive
from napari_bayes_nnunet.io.study import case_report, info, review_state
from napari_bayes_nnunet.widgets.common.settings import Kept

FOLDER = Path(__file__).parents[3] / "docs" / "reference" / "schemas"
KINDS: Mapping[str, Any] = {
    "ensemble": TrainingRecord,
    "calibration": calibration._File,
    "job": JobInfo,
    "report": case_report._FileEntries,
    "study": info._StudyFile,
    "review": review_state._ReviewFile,
    "patient": PatientRecord,
    "site_profile": SiteProfile,
    "archives": list[KnownArchive],
    "settings": Kept,
}


def make_schema(name: str) -> dict[str, Any]:
    """Return the schema of the files of this name, described by the docstring of their type."""
    schema = TypeAdapter(KINDS[name]).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | _tidy(schema)


def _tidy(node: Any) -> Any:
    """Remove titles that repeat a key, underscores of private types, and line ends in texts."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    tidy = {k: _tidy(v) for k, v in node.items() if k != "title" or not isinstance(v, str)}
    if "$defs" in tidy:
        tidy["$defs"] = {name.lstrip("_"): kind for name, kind in tidy["$defs"].items()}
    if "enum" in tidy:  # typing gives one type for the same values in another order
        tidy["enum"] = sorted(tidy["enum"])
    if isinstance(tidy.get("$ref"), str):
        tidy["$ref"] = tidy["$ref"].replace("/_", "/")
    if isinstance(tidy.get("description"), str):
        tidy["description"] = " ".join(inspect.cleandoc(tidy["description"]).split())
    return tidy


def text_of(name: str) -> str:
    """Return the content of a schema file."""
    return json.dumps(make_schema(name), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in KINDS:
        (FOLDER / f"{name}.json").write_text(text_of(name), encoding="utf-8")
