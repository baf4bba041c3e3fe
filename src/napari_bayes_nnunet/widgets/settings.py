"""What the docks remember between sessions: a small JSON file in the user's config folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from ..io.atomic import write_json

KEPT = 8
_RECENT = "recent_ensembles"


def default_path() -> Path:
    """``settings.json`` in the user's config folder, by the rules of each system."""
    return user_config_path("napari-bayes-nnunet", appauthor=False) / "settings.json"


class Settings:
    """The settings file. One that is missing or damaged counts as empty."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or default_path()

    def recent_folders(self) -> list[Path]:
        """Ensemble folders used before and still there, the latest first."""
        entries = self._content().get(_RECENT, [])
        folders = [Path(entry) for entry in entries if isinstance(entry, str)]
        return [folder for folder in folders if folder.is_dir()]

    def add_recent_folder(self, folder: Path) -> None:
        """Put ``folder`` first. A config folder that cannot be written to is no problem here."""
        others = [f for f in self.recent_folders() if f != folder]
        recent = [str(f) for f in (folder, *others)][:KEPT]
        try:
            write_json(self._path, {**self._content(), _RECENT: recent})
        except OSError:  # only a convenience is lost, and nobody asked for it
            return

    def _content(self) -> dict[str, Any]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}
