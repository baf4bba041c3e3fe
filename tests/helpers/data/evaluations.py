"""Made predictions with references, and every measure again in plain NumPy."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from napari_bayes_nnunet.app.evaluation.case import CaseEvaluation, evaluate_case
from napari_bayes_nnunet.app.evaluation.evaluate import MethodEvaluation
from napari_bayes_nnunet.app.prediction.output_files import case_files, write_probabilities
from napari_bayes_nnunet.core.ensemble.maps import MAPS
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import write_labels, write_map

STRUCTURES = {"RV": 1, "MYO": 2, "LV": 3}
SHAPE = (5, 24, 28)
SPACING = (8.0, 1.5, 1.25)  # (z, y, x), mm


def heart(*, size: float = 1.0, shift: int = 0) -> np.ndarray:
    """Return (Z, Y, X) labels: an LV within its myocardium, and an RV next to it."""
    _, y, x = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    radius = np.hypot(y - 12, x - 17 - shift)
    labels = np.zeros(SHAPE, np.uint8)
    labels[np.hypot(y - 12, x - 9 - shift) < 5 * size] = 1
    labels[radius < 7 * size] = 2
    labels[radius < 4 * size] = 3
    labels[0] = 0
    return labels


def members(seed: int, *, count: int = 3, sure: float = 6.0) -> np.ndarray:
    """Return (n, C, Z, Y, X) float32 probabilities of members that differ slightly."""
    rng = np.random.default_rng(seed)
    answers = []
    for _ in range(count):
        labels = heart(size=rng.uniform(0.85, 1.1), shift=int(rng.integers(-1, 2)))
        logits = np.stack(
            [ndimage.gaussian_filter((labels == k).astype(float), (0, 1, 1)) for k in range(4)]
        )
        logits = sure * logits + rng.normal(0, 0.3, logits.shape)
        softmax = np.exp(logits) / np.exp(logits).sum(axis=0)
        answers.append(softmax.astype(np.float32))
    return np.stack(answers)


def plain_entropy(p: np.ndarray) -> np.ndarray:
    """Return the entropy over the class axis in bit."""
    p = p.astype(np.float64)
    return -np.sum(np.where(p > 0, p * np.log2(np.maximum(p, 1e-300)), 0), axis=-4)


def answer(seed: int, *, count: int = 3, sure: float = 6.0) -> dict[str, Any]:
    """Return an ensemble's labels, probabilities, entropy, mutual information and agreement."""
    softmax = members(seed, count=count, sure=sure)
    mean = softmax.mean(axis=0)
    entropy = plain_entropy(mean)
    return {
        "labels": mean.argmax(axis=0).astype(np.uint8),
        "probabilities": mean,
        "entropy": entropy.astype(np.float32),
        "mutual_information": (entropy - plain_entropy(softmax).mean(axis=0))
        .clip(0)
        .astype(np.float32),
        "pairwise_dice": {name: 0.9 + 0.01 * seed + 0.001 * k for name, k in STRUCTURES.items()},
    }


def made_case(seed: int = 1, **changes: Any) -> CaseEvaluation:
    """Return the evaluation of a made case ``p<seed>_frame01``."""
    given = {
        "case": f"p{seed}_frame01",
        "patient": f"p{seed}",
        "reference": heart(),
        "spacing": SPACING,
        "structures": STRUCTURES,
        **answer(seed),
    }
    given |= changes
    maps = {m.name: given.pop(m.key) for m in MAPS.values() if m.key in given}
    return evaluate_case(**given, maps={k: v for k, v in maps.items() if v is not None})


def made_method(name: str = "multi", *, patients: int = 6, **changes: Any) -> MethodEvaluation:
    """Return a method with one volume per patient; odd patients have vendor A, even ones B."""
    groups = ({"vendor": "A" if n % 2 else "B"} for n in range(1, patients + 1))
    cases = [made_case(n, groups=g, **changes) for n, g in enumerate(groups, start=1)]
    return MethodEvaluation(name=name, cases=tuple(cases))


def other_method() -> MethodEvaluation:
    """Return a method with a single overconfident member."""
    cases = []
    for n in range(1, 7):
        given = answer(n, count=1, sure=12)
        groups = {"vendor": "A" if n % 2 else "B"}
        cases.append(made_case(n, **{**given, "pairwise_dice": None}, groups=groups))
    return MethodEvaluation(name="vanilla", cases=tuple(cases))


def write_answer(folder: Path, case: str, given: Mapping[str, Any], **report: Any) -> None:
    """Write the files of a case as ``bayes-nnunet predict`` does."""
    geometry = make_geometry(given["labels"].shape, SPACING, affine=np.eye(4))
    names = case_files(case, ["entropy", "mutual-information", "probabilities"])
    files = {key: folder / name for key, name in names.items()}
    folder.mkdir(parents=True, exist_ok=True)
    write_labels(files["labels"], given["labels"], geometry)
    if given.get("probabilities") is not None:
        write_probabilities(files["probabilities"], given["probabilities"])
    for key in ("entropy", "mutual-information"):
        if (values := given.get(key.replace("-", "_"))) is not None:
            write_map(files[key], values, geometry)
    content = {
        "format": 2,
        "case": case,
        "phase": None,
        "pairwise_dice": given.get("pairwise_dice", {}),
    }
    text = json.dumps({**content, "labels": STRUCTURES, **report})
    files["report"].write_text(text, encoding="utf-8")


def write_reference(folder: Path, case: str, labels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_labels(
        folder / f"{case}.nii.gz", labels, make_geometry(labels.shape, SPACING, affine=np.eye(4))
    )


def name_labels(folder: Path, numbers: Mapping[str, int] = STRUCTURES) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"labels": {"background": 0, **numbers}})
    (folder / "dataset.json").write_text(text, encoding="utf-8")


def box_of(reference: np.ndarray) -> tuple[slice, ...]:
    indices = np.nonzero(reference)
    return tuple(slice(axis.min(), axis.max() + 1) for axis in indices)


def plain_dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def plain_bins(p: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return voxel counts and sums of confidence minus accuracy of 100 bins, in a loop."""
    box = box_of(reference)
    inside = p[(slice(None), *box)]
    confidence = inside.max(axis=0).ravel().clip(max=1)  # a float32 sum may be 1 + 1e-7
    right = (inside.argmax(axis=0) == reference[box]).ravel()
    counts, gaps = np.zeros(100), np.zeros(100)
    for s in range(100):
        low, high = (np.asarray(edge / 100, p.dtype) for edge in (s, s + 1))
        chosen = (confidence > low) & (confidence <= high)
        counts[s] = chosen.sum()
        gaps[s] = confidence[chosen].astype(np.float64).sum() - right[chosen].sum()
    return counts, gaps


def plain_ece(p: np.ndarray, reference: np.ndarray) -> float:
    counts, gaps = plain_bins(p, reference)
    return float(np.abs(gaps).sum() / counts.sum())


def plain_nll(p: np.ndarray, reference: np.ndarray) -> float:
    box = box_of(reference)
    inside, truth = p[(slice(None), *box)].astype(np.float64), reference[box]
    return -sum(np.log(inside[k][truth == k]).sum() for k in range(len(p))) / truth.size


def plain_brier(p: np.ndarray, reference: np.ndarray) -> float:
    box = box_of(reference)
    inside, truth = p[(slice(None), *box)].astype(np.float64), reference[box]
    one_hot = np.stack([truth == k for k in range(len(p))])
    return float(((inside - one_hot) ** 2).sum() / truth.size)


def plain_auroc(score: np.ndarray, wrong: np.ndarray) -> float:
    """Return the probability that a wrong voxel has the higher score, from all pairs."""
    bad, good = score[wrong][:, None], score[~wrong][None]
    return float((bad > good).mean() + 0.5 * (bad == good).mean())


def plain_distances(
    a: np.ndarray, b: np.ndarray, spacing: tuple[float, ...] = SPACING
) -> np.ndarray:
    """Return the distance of each surface voxel of either mask to the other surface, in mm."""
    surfaces = []
    for mask in (a, b):
        padded = np.pad(mask, 1)
        inner = np.ones_like(mask)
        for axis in range(3):
            for step in (0, 2):
                cut = [slice(1, -1)] * 3
                cut[axis] = slice(step, step + mask.shape[axis])
                inner &= padded[tuple(cut)]
        surfaces.append(np.argwhere(mask & ~inner) * spacing)
    distances = np.linalg.norm(surfaces[0][:, None] - surfaces[1][None], axis=2)
    return np.concatenate([distances.min(axis=1), distances.min(axis=0)])
