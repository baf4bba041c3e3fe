"""The images shipped with the package: one real cine with manual labels (CC0, see SOURCE.md)."""

from pathlib import Path

FOLDER = Path(__file__).parent
CINE = FOLDER / "SCD0000301_cine.nii.gz"
"""(T, Z, Y, X) = (20, 10, 192, 192); ``Info.cfg`` beside it names ED and ES."""
ED_LABELS = FOLDER / "SCD0000301_ED_gt.nii.gz"
"""(Z, Y, X) manual labels at end-diastole, phase 20: 2 myocardium, 3 LV cavity."""
ES_LABELS = FOLDER / "SCD0000301_ES_gt.nii.gz"
"""(Z, Y, X) manual labels at end-systole, phase 7: 3 LV cavity."""
