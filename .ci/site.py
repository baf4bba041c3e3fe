"""Hook of mkdocs that shows the version of the package beside its name."""

from mkdocs.config.defaults import MkDocsConfig

from napari_bayes_nnunet import __version__


def on_config(config: MkDocsConfig) -> None:
    """Add the version to the name of the site."""
    config.site_name += f" {__version__}"
