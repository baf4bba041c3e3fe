"""The user's own name for a study, and the date, stay out of everything that is written."""

from __future__ import annotations

import gzip

from napari.components import ViewerModel
from qtpy.QtCore import Qt

from napari_bayes_nnunet.widgets.review import dock as review_dock
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget

from ...helpers.data.cines import make_cine, write_dicoms

ALIAS, DATE = "Mrs Quux of ward 7", "1987-06-05"


def test_alias_and_date_are_never_exported(tmp_path, settings, monkeypatch, qtbot) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    folder = make_cine(tmp_path / "studies" / "heart", geometry=write_dicoms(images))
    settings.keep(shows_study_dates=True)
    settings.add("study_dates", {"heart": DATE})
    answers = iter([str(out), str(images), str(out)])
    monkeypatch.setattr(review_dock, "choose_folder", lambda *_: next(answers))
    for question in ("ask_to_save", "ask_to_replace"):
        monkeypatch.setattr(review_dock, question, lambda *_: True)
    dock = ReviewWidget(ViewerModel(), settings=settings)
    qtbot.addWidget(dock)
    dock.list_studies(folder.parent)
    qtbot.waitUntil(lambda: bool(dock.studies.studies))
    dock.studies.table.selectRow(0)
    qtbot.keyClicks(dock.studies.notes.alias, ALIAS)
    qtbot.keyClick(dock.studies.notes.alias, Qt.Key.Key_Return)
    dock.studies.open_button.click()
    qtbot.waitUntil(lambda: dock.controller is not None and not dock.is_opening)
    assert ALIAS in dock.title.text()
    dock.controller.accept()
    for action in (dock.forms.export.export_action, dock.forms.export.dicom_action):
        action.trigger()
        qtbot.waitUntil(lambda: "Saved" in dock.forms.export.message)
        dock.forms.export.show_message("")
    dock.close_study()
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    endings = {file.suffix for file in out.iterdir()}
    assert endings == {".gz", ".csv", ".html", ".dcm"}
    contents = {
        file: gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        for file in written
    }
    for text in (ALIAS, ALIAS.split()[1], DATE, DATE.replace("-", "")):
        named = {file.name for file, content in contents.items() if text.encode() in content}
        assert named <= {"settings.json"}, text
    assert not [file for file in tmp_path.rglob("*") if "Quux" in file.name]
