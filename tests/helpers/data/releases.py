"""Small ACDC and M&Ms releases in their original layouts, with affines as wrong as theirs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

SHAPE = (6, 5, 3)  # (x, y, z)
SPACING = (1.25, 1.5, 8.0)  # (x, y, z), mm
UNIT_SCALE = np.diag([-1.0, -1, 1, 1])
"""sform of ACDC's files."""
TRUE = np.diag([-1.25, -1.5, 8, 1])
SHEARED = np.array([[-1.25, 0.3, 0, 10], [0, -1.5, 0.8, 20], [0.1, 0, 8, 30], [0, 0, 0, 1]])
SHEARED[:3, :3] *= SPACING / np.linalg.norm(SHEARED[:3, :3], axis=0)
TABLE = "211230_M&Ms_Dataset_information_diagnosis_opendataset.csv"
COLUMNS = (
    *("", "External code", "VendorName", "Vendor", "Centre", "ED", "ES"),
    *("Age", "Pathology", "Sex", "Height", "Weight"),
)
PHASES = 5


def write(
    file: Path,
    voxels: np.ndarray,
    *,
    sform: np.ndarray = UNIT_SCALE,
    qform: np.ndarray | None = TRUE,
    spacing: Sequence[float] = SPACING,
) -> Path:
    """Write (x, y, z) or (x, y, z, t) voxels whose true spacing is in ``pixdim`` only."""
    image = nibabel.Nifti1Image(voxels, None)
    image.header.set_xyzt_units("mm")
    if qform is not None:
        image.header.set_qform(qform, 1, strip_shears=True)
    image.header.set_sform(sform, 2)
    image.header["pixdim"][1:4] = spacing
    file.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, file)
    return file


def image_of(number: int, shape: Sequence[int] = SHAPE) -> np.ndarray:
    """Return (x, y, z) intensities that differ between numbers."""
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape) + 100 * number


def labels_of(number: int, shape: Sequence[int] = SHAPE) -> np.ndarray:
    """Return (x, y, z) labels with the values 0 to 3, which differ between numbers."""
    return (np.roll(np.arange(np.prod(shape)), number) % 4).astype(np.uint8).reshape(shape)


def acdc_patient(
    folder: Path, *, ed: int = 1, es: int = 4, group: str = "DCM", labelled: bool = True
) -> Path:
    """Write a patient's folder, whose name ends in the number of its images."""
    number = int(folder.name[-3:])
    write(folder / f"{folder.name}_4d.nii.gz", image_of(0, (*SHAPE, PHASES)))
    for frame in (ed, es):
        stem = folder / f"{folder.name}_frame{frame:02d}"
        write(stem.with_name(f"{stem.name}.nii.gz"), image_of(number + frame))
        if labelled:
            write(stem.with_name(f"{stem.name}_gt.nii.gz"), labels_of(number + frame))
    info = f"ED: {ed}\nES: {es}\nGroup: {group}\nHeight: 184.0\nNbFrame: {PHASES}\nWeight: 95.0\n"
    (folder / "Info.cfg").write_text(info, encoding="utf-8")
    (folder / "MANDATORY_CITATION.md").write_text("cite", encoding="utf-8")
    return folder


def make_acdc(root: Path) -> Path:
    """Write two training patients, with DCM and HCM, and a test patient with NOR."""
    acdc_patient(root / "training" / "patient001")
    acdc_patient(root / "training" / "patient002", ed=2, es=5, group="HCM")
    acdc_patient(root / "testing" / "patient101", group="NOR")
    (root / "MANDATORY_CITATION.md").write_text("cite", encoding="utf-8")
    return root


def mnms_patient(
    folder: Path,
    *,
    number: int = 1,
    labelled: Sequence[int] | None = (0, 3),
    sform: np.ndarray = SHEARED,
) -> Path:
    """Write a patient's folder with labels at the frames ``labelled`` (from 0), if not None."""
    frames = [image_of(number + frame) for frame in range(PHASES)]
    write(folder / f"{folder.name}_sa.nii.gz", np.stack(frames, axis=-1), sform=sform, qform=None)
    if labelled is not None:
        labels = np.zeros((*SHAPE, PHASES), np.uint8)
        for frame in labelled:
            labels[..., frame] = labels_of(number + frame)
        write(folder / f"{folder.name}_sa_gt.nii.gz", labels, sform=sform, qform=None)
    return folder


def mnms_row(code: str, **changes: Any) -> dict[str, Any]:
    """Return a row of the table of M&Ms."""
    row = dict(
        zip(COLUMNS, (0, code, "Siemens", "A", 1, 0, 3, 45, "HCM", "F", 170, 70), strict=True)
    )
    return row | changes


def write_table(root: Path, rows: Sequence[Mapping[str, Any]], name: str = TABLE) -> Path:
    """Write the table of M&Ms with the columns of the first row."""
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root / name


def make_mnms(root: Path) -> Path:
    """Write two labelled and one unlabelled training patient, and one each to validate and test."""
    mnms_patient(root / "Training" / "Labeled" / "A0S9V9", number=10)
    mnms_patient(root / "Training" / "Labeled" / "B1D0Q7", number=20, labelled=(1, 2))
    mnms_patient(root / "Training" / "Unlabeled" / "C2U4V1", number=30, labelled=())
    mnms_patient(root / "Validation" / "A5C2D2", number=40)
    mnms_patient(root / "Testing" / "D1K2P5", number=50)
    write_table(
        root,
        [
            mnms_row("A0S9V9"),
            mnms_row("B1D0Q7", VendorName="Philips", Vendor="B", Centre=2, ED=1, ES=2),
            mnms_row("C2U4V1", VendorName="GE", Vendor="C", Centre=4),
            mnms_row("A5C2D2", Pathology="NOR"),
            mnms_row("D1K2P5", VendorName="Canon", Vendor="D", Centre=5),
        ],
    )
    return root
