"""Uses of the package that must not import heavy modules, one after another in one process.

python light_use.py FOLDER, with a study ``heart`` in FOLDER, prints the modules of ``HEAVY`` that
are loaded after each use, or its error. Later uses may load more.
"""

import importlib
import json
import pkgutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

HEAVY = (
    "numpy",
    *("torch", "nnunetv2", "napari", "qtpy", "pandas", "matplotlib", "matplotlib.pyplot"),
    *("highdicom", "scipy", "scipy.stats", "skimage", "sklearn", "pyqtgraph", "torch._dynamo"),
    *("nnunetv2.training.nnUNetTrainer", "scipy.ndimage"),
)
FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()


def load(*names: str) -> None:
    """Import modules of the package."""
    for name in names:
        importlib.import_module(f"napari_bayes_nnunet.{name}")


def load_all(*names: str) -> None:
    """Import packages and all their modules."""
    for name in names:
        package = importlib.import_module(f"napari_bayes_nnunet.{name}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)


def start() -> None:
    """Import the package alone, as the start of napari does."""
    importlib.import_module("napari_bayes_nnunet")


def commands() -> None:
    """Import the command line, from which the documentation is made without numpy."""
    load("cli")


def package() -> None:
    """Look up public names."""
    import napari_bayes_nnunet

    assert napari_bayes_nnunet.RestartSchedule
    assert napari_bayes_nnunet.find_ensemble


def core() -> None:
    """Import the layer core, and add a member to a posterior."""
    load_all("core")
    import numpy as np

    from napari_bayes_nnunet.core.ensemble.posterior import RunningPosterior

    posterior = RunningPosterior()
    posterior.add(np.full((2, 3), 0.5, np.float32))
    assert posterior.labels().shape == posterior.mutual_information().shape == (3,)


def readers() -> None:
    """Import the modules with which napari opens and saves files."""
    load(*(f"widgets.layers.{name}" for name in ("reader", "writer", "sample_data")))


def review_report() -> None:
    """Import the writer of review reports."""
    load("app.review.report_numbers")


def files() -> None:
    """Find an ensemble, and read a study, its image and the list of studies."""
    import napari_bayes_nnunet
    from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
    from napari_bayes_nnunet.io.study.info import find_image
    from napari_bayes_nnunet.io.study.study import read_study
    from napari_bayes_nnunet.io.study.summary import list_studies

    demo = Path(napari_bayes_nnunet.__file__).parent / "demo_ensemble"
    assert find_ensemble(demo).usable_members
    study = read_study(FOLDER / "heart")
    assert study.posteriors[2].slice_at(1).members.shape == (3, 20, 24)
    assert find_image(study.info, study.folder) is not None
    assert len(list_studies(FOLDER)) == 1
    assert study.problems == ()


def results() -> None:
    """Import the layers of results."""
    load("widgets.layers.result_layers")


def plots() -> None:
    """Import the plotting module of the docks."""
    load("widgets.common.plotting")


def warm_up() -> None:
    """Import in advance what would freeze the window at the first labels."""
    from napari_bayes_nnunet.widgets.layers.result_layers import warm_up

    warm_up()


def first_labels() -> None:
    """Make labels with colours of structures, for which napari must not compile anything."""
    import numpy as np
    from napari.layers import Labels
    from numba.core.event import install_recorder

    from napari_bayes_nnunet.widgets.layers.result_layers import labels_look

    with install_recorder("numba:compile") as compiled:
        Labels(np.ones((4, 4), np.uint8), **labels_look({"RV": 1, "LV": 2}))
    assert not compiled.buffer


def opening() -> None:
    """Open a study as napari does."""
    from napari_bayes_nnunet.widgets.layers.reader import get_reader

    read = get_reader(str(FOLDER / "heart"))
    assert read is not None
    assert len(read(str(FOLDER / "heart"))) == 4


def review() -> None:
    """Open a study as the Review dock does."""
    from napari_bayes_nnunet.widgets.review.open_study import open_study

    session = open_study(FOLDER / "heart").session
    assert len(session.alternatives_in((2, 2))) > 1
    assert len(session.queue(session.scores())) == 6


def figures() -> None:
    """Draw the report of an evaluation."""
    from napari_bayes_nnunet.app.evaluation.output_files import evaluation_page
    from tests.helpers.data.evaluations import made_method

    assert "data:image/png" in evaluation_page([made_method(patients=2)], [])


def everything() -> None:
    """Import all modules except those of the network."""
    load_all("io", "app", "widgets")


def segmentation() -> None:
    """Segment a heart with a made ensemble."""
    from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
    from tests.helpers.data.models import made_image, make_model

    ensemble = Ensemble(make_model(FOLDER / "model"), device="cpu")
    assert ensemble.segment(made_image((2, 20, 24)), (8.0, 1.5, 1.5)).labels.shape == (2, 20, 24)


USES: tuple[Callable[[], None], ...] = (
    *(start, commands, package, core, readers, review_report, files, results, plots),
    *(warm_up, first_labels, opening, review, figures, everything, segmentation),
)


def main() -> None:
    """Print the modules or the error of every use as one line of JSON."""
    loaded: dict[str, list[str] | str] = {}
    for use in USES:
        try:
            use()
        except Exception:
            loaded[use.__name__] = traceback.format_exc()
        else:
            loaded[use.__name__] = [name for name in HEAVY if name in sys.modules]
    print(json.dumps(loaded))


if __name__ == "__main__":
    main()
