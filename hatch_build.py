"""Build hook that copies napari.yaml into the package if git made no symbolic link."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MANIFEST = Path("napari.yaml")
LINK = Path("src", "napari_bayes_nnunet", "napari.yaml")


class ManifestHook(BuildHookInterface):  # type: ignore[type-arg]
    """Hook that runs before every build, including editable installations."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Copy the manifest if the link is missing or a plain file."""
        copy_manifest(Path(self.root))


def copy_manifest(root: Path) -> None:
    """Copy ``root``/napari.yaml into the package unless a symbolic link exists.

    Without symbolic links, as on Windows by default, git writes a plain file with the link's
    target as its text. napari would read that as an empty manifest. The sdist contains neither.
    """
    link = root / LINK
    if not link.is_symlink():
        link.write_bytes((root / MANIFEST).read_bytes())
