"""Folders dropped onto a widget."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtGui import QDragEnterEvent, QDropEvent


class FolderDrop:
    """Mixin for widgets with ``setAcceptDrops(True)`` that take one dropped folder."""

    def can_take(self, path: Path) -> bool:
        """Return True if ``path`` may be dropped now; by default, if it is a folder."""
        return path.is_dir()

    def take_dropped(self, path: Path) -> None:
        """Use the dropped ``path``."""
        raise NotImplementedError

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Accept a path that can be taken; leave anything else to the parent widgets."""
        if self._dropped(event) is not None:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Take the dropped path."""
        path = self._dropped(event)
        if path is not None:
            event.acceptProposedAction()
            self.take_dropped(path)

    def _dropped(self, event: QDropEvent) -> Path | None:
        urls = event.mimeData().urls()
        # A page dragged from a browser has a URL, too.
        if len(urls) != 1 or not urls[0].isLocalFile():
            return None
        path = Path(urls[0].toLocalFile())
        return path if self.can_take(path) else None
