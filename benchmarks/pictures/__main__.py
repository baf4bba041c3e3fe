"""Pictures of docs/images, taken on journeys by mouse and keys through real windows.

python -m benchmarks.pictures DATASET                 (all)
python -m benchmarks.pictures DATASET dicom cohort    (those of these journeys)

DATASET is an nnU-Net raw dataset of ACDC; the validation cases of the demo ensemble in it are
evaluated. All other journeys start from the sample cine or from made hearts. Without a screen:
xvfb-run -a -s "-screen 0 1280x840x24" python -m benchmarks.pictures DATASET
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import click
import nibabel
import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid
from tests.helpers.data.dicoms import write_cine
from tests.helpers.data.hearts import make_dataset
from tests.helpers.processes.orthanc import HOST, run_orthanc

import napari_bayes_nnunet
from napari_bayes_nnunet.app.prediction.predict import predict
from napari_bayes_nnunet.app.prediction.request import PredictionRequest
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.archive import Archive
from napari_bayes_nnunet.io.images.nifti import read_volume
from napari_bayes_nnunet.sample_data import CINE

from ..held_back import SPLIT
from . import journeys
from .camera import Camera
from .hand import Hand

ROOT = Path(__file__).parents[2]
DEMO = Path(napari_bayes_nnunet.__file__).parent / "demo_ensemble"
EXAMINATION = ROOT / "tests" / "fixtures" / "bivme" / "dicom"
WINDOW = (1280, 800)
EVALUATED_CASES = 12
TRAINING = (("iterations_per_epoch", 2), ("batch_size", 4))


def picture_dicom(hand: Hand, camera: Camera, folder: Path, dataset: Path) -> None:
    """Take the pictures of DICOM: the sample cine, and a second one of six slices."""
    voxels = read_volume(CINE).voxels.astype(np.int16)
    write_cine(folder / "DICOM" / "cine", voxels)
    write_cine(folder / "DICOM" / "again", voxels[:, 2:8], series=6, description="CINE_SAX_2")
    journeys.export_dicom(hand, camera, folder / "DICOM", folder)


def picture_archive(hand: Hand, camera: Camera, folder: Path, dataset: Path) -> None:
    """Take the pictures of a real Orthanc with the sample cine and studies of other patients."""
    login, voxels = ("anna", "secret"), read_volume(CINE).voxels.astype(np.int16)
    users = {"AuthenticationEnabled": True, "RegisteredUsers": dict([login])}
    with run_orthanc(folder, **users) as port:
        url = f"http://{HOST}:{port}/dicom-web"
        store_studies(Archive(url, login=login), folder / "sent", voxels)
        with chdir(folder):  # the picture shows a short path
            journeys.use_archive(hand, camera, Path("studies"), url=url, login=login, name="doe")


def store_studies(archive: Archive, folder: Path, voxels: NDArray[np.int16]) -> None:
    """Store a cine, and studies of one image of three other patients of whom two have one name."""
    for number, who in enumerate(("Doe^Jane", "Roe^Richard", "Doe^Jane", "Müller^Jörg")):
        about = {"PatientName": who, "PatientID": f"MRN-{4711 + number}"}
        about |= {"StudyDate": f"202603{12 - number:02}", "StudyDescription": "Heart, function"}
        about |= {"StudyInstanceUID": generate_uid(), "SpecificCharacterSet": "ISO_IR 192"}
        write_cine(folder / str(number), voxels[:, 2:8] if not number else voxels[:1, :1], **about)
        drain(archive.store([*filter(Path.is_file, (folder / str(number)).rglob("*"))]))


def picture_examination(hand: Hand, camera: Camera, folder: Path, dataset: Path) -> None:
    """Take the pictures of an examination with long axes, by few models, as it is about planes."""
    shutil.copytree(EXAMINATION, folder / "examination")
    journeys.review_examination(hand, camera, folder / "examination", quick=True)


def picture_cohort(hand: Hand, camera: Camera, folder: Path, dataset: Path) -> None:
    """Take the pictures of a folder of studies: the sample cine and three parts of it."""
    image = nibabel.load(CINE)
    for name, slices in {"a": (0, 10), "b": (0, 7), "c": (3, 10), "d": (2, 8)}.items():
        place = folder / "images" / f"patient_{name}"
        place.mkdir(parents=True)
        nibabel.save(image.slicer[:, :, slice(*slices)], place / "cine_sa.nii.gz")
        shutil.copyfile(CINE.with_name("Info.cfg"), place / "Info.cfg")
    results = folder / "images_segmented"
    journeys.segment_folder(hand, camera, folder / "images", results)


def picture_train(hand: Hand, camera: Camera, folder: Path, dataset: Path) -> None:
    """Take the pictures of a training on made hearts, which takes a minute."""
    made = make_dataset(folder / "Dataset001_Hearts", patients=10, licence="CC0-1.0")
    journeys.train(hand, camera, made, folder / "hearts_ensemble", numbers=TRAINING)


def picture_evaluate(hand: Hand, camera: Camera, folder: Path, dataset: Path) -> None:
    """Take the picture that compares two methods on validation cases of the demo ensemble."""
    cases = json.loads(SPLIT.read_text(encoding="utf-8"))[0]["val"][:EVALUATED_CASES]
    files = tuple(dataset / "imagesTr" / f"{case}_0000.nii.gz" for case in cases)
    for method in ("multi", "vanilla"):
        request = PredictionRequest(
            images=files,
            output=folder / method,
            settings=SegmentationSettings(method=method, mirroring="none", calibrated=False),
            save=frozenset({"probabilities", "entropy", "mutual-information"}),
        )
        for outcome in predict(Ensemble(DEMO), request):
            if outcome.failure:
                raise click.ClickException(outcome.failure)
    os.symlink(dataset / "labelsTr", folder / "labelsTr")
    with chdir(folder):  # the picture shows short paths
        methods = [Path("multi"), Path("vanilla")]
        journeys.evaluate(hand, camera, methods, Path("labelsTr"), Path("report"))


JOURNEYS: dict[str, Callable[[Hand, Camera, Path, Path], None]] = {
    "review": lambda hand, camera, folder, _: journeys.review_sample(hand, camera, folder),
    "dicom": picture_dicom,
    "archive": picture_archive,
    "examination": picture_examination,
    "cohort": picture_cohort,
    "train": picture_train,
    "evaluate": picture_evaluate,
}


def take_journey(name: str, output: Path, dataset: Path) -> None:
    """Take the pictures of one journey, in a new window with the settings of a new user."""
    import napari

    viewer = napari.Viewer(show=True)
    viewer.window.set_geometry(0, 0, *WINDOW)
    camera = Camera(output)
    hand = Hand(viewer)
    hand.wait(500)
    with tempfile.TemporaryDirectory() as folder:
        JOURNEYS[name](hand, camera, Path(folder), dataset)
        viewer.close()
    for file in camera.taken:
        click.echo(f"{file.name}  {file.stat().st_size / 1000:.0f} kB")


@click.command(help=__doc__)
@click.argument("dataset", type=click.Path(path_type=Path, exists=True))
@click.argument("names", nargs=-1, type=click.Choice([*JOURNEYS, "demo"]))
@click.option("--output", type=click.Path(path_type=Path), default=ROOT / "docs" / "images")
@click.option("--here", is_flag=True, hidden=True)
def main(dataset: Path, names: tuple[str, ...], output: Path, here: bool) -> None:
    """Take the pictures, each journey in a process of its own."""
    output.mkdir(parents=True, exist_ok=True)
    if here:
        take_journey(names[0], output.absolute(), dataset.absolute())
        return
    for name in names or ("demo", *JOURNEYS):
        with tempfile.TemporaryDirectory() as config:  # no earlier choice appears in a picture
            os.environ["XDG_CONFIG_HOME"] = config
            os.environ["NAPARI_CONFIG"] = str(Path(config) / "napari.yaml")
            command = ["benchmarks.pictures", str(dataset), name, "--output", str(output), "--here"]
            if name == "demo":  # the command itself, with all of its greys
                command = ["benchmarks.pictures.demo", str(output / "demo.png")]
            subprocess.run([sys.executable, "-m", *command], check=True)


if __name__ == "__main__":
    main()
