"""The rules by which each benchmark scores, written down once.

PASCAL VOC: 21 classes with background; pixels that are 255 in the truth do not count; predictions
have the image's own size, and one that is no class is an error; the score is the mean of the IoU of
the 21 classes from one matrix over all images. Results go to the server as palette PNGs.
    Source: VOCevalseg.m of the VOC devkit.

MIT Scene Parsing: 150 classes; pixels that are 0 ("other") in the truth do not count; intersections
and unions are summed over all images; a class in neither truth nor prediction gets IoU 0 and stays
in the mean; the score is the mean of pixel accuracy and mean IoU.
    Source: github.com/CSAILVision/sceneparsing, demoEvaluation.m, intersectionAndUnion.m.

CamVid: 11 classes; unlabelled pixels do not count; global accuracy, the mean of the classes'
accuracies, mean IoU, and boundary F1 within 0.75 % of the image's diagonal: the mean over the
classes in an image's truth, then over images.
    Source: Badrinarayanan et al. 2017 (SegNet), section 4; Csurka et al. 2013.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from fcnlib import metrics
from fcnlib.datasets.voc import VOC
from fcnlib.errors import InputError
from fcnlib.labels import LabelSet
from fcntools.analysis import boundaries as borders
from fcntools.analysis import diagnosis


class Board:
    """Collects the answers to a split and scores them by the rules of its benchmark."""

    def __init__(self, benchmark: str, labels: LabelSet, results: Path | None = None):
        """Start with an empty board, and with an empty folder of results.

        Args:
            benchmark: one of `BENCHMARKS`.
            labels: the label set of truth and answers.
            results: folder for the PNGs that a server takes, where the benchmark has one; those of
                an earlier run are deleted.

        Raises:
            InputError: no benchmark of this name, or its classes are others.
        """
        if benchmark not in BENCHMARKS:
            known = ", ".join(BENCHMARKS)
            raise InputError(f"no rules for {benchmark!r}, only for {known}; use fcnlib evaluate")
        classes, self._figures = BENCHMARKS[benchmark]
        if labels.num_classes != classes:
            raise InputError(f"{benchmark} has {classes} classes, this has {labels.num_classes}")
        self._labels = labels
        self._results = results if classes == VOC.num_classes else None
        for stale in self._results.glob("*.png") if self._results else ():
            stale.unlink()
        self._matrices: list[np.ndarray] = []  # int32 [C, C], one an image
        self._boundaries: list[float] = []

    def add(self, name: str, truth: np.ndarray | None, answer: np.ndarray) -> None:
        """Count an image.

        Args:
            name: of the image.
            truth: uint8 [H, W], 0..C-1 or 255; None where the benchmark keeps it and the answer is
                only written.
            answer: uint8 [H, W], 0..C-1.

        Raises:
            InputError: there is neither a truth to score against nor a server to write for.
            ValueError: the sizes differ, or the answer holds what is no class.
        """
        classes = self._labels.num_classes
        if truth is not None:
            counts = metrics.confusion_matrix(truth, answer, classes)
            self._matrices.append(counts.astype(np.int32))
            if self._figures is camvid_figures:
                self._boundaries.append(borders.boundary_f1(truth, answer, classes))
        elif self._results is None:
            raise InputError(f"{name}: has no mask to score against; choose a split with masks")
        if self._results is not None:
            write_voc_result(self._results, name, answer)

    @property
    def _matrix(self) -> np.ndarray:
        none = np.zeros((self._labels.num_classes,) * 2, np.int64)
        return sum(self._matrices, start=none)

    def interval(self) -> tuple[float, float]:
        """Return what 95 % of test sets drawn again from these images have as mean IoU, 0..1.

        The mean is over the classes present, as in `diagnosis.bootstrap`.
        """
        low, high = diagnosis.interval(diagnosis.bootstrap(np.array(self._matrices)).mean_iou)
        return float(low), float(high)

    def iou(self) -> np.ndarray:
        """Return the IoU of each class, float64 [C], NaN for one that occurs nowhere."""
        return metrics.scores(self._matrix).iou

    def figures(self) -> dict[str, float]:
        """Return the benchmark's figures by name, shares in 0..1."""
        return self._figures(self._matrix, np.array(self._boundaries))


def voc_figures(matrix: np.ndarray, boundaries: np.ndarray) -> dict[str, float]:
    """Score as the VOC devkit does.

    Args:
        matrix: int64 [21, 21], rows truth.
        boundaries: not used.

    Returns:
        "mean IoU": over all classes, NaN where one is in neither truth nor answer, as in the
        devkit; "mean IoU of the classes present"; and "pixel accuracy", which the devkit leaves
        out as too kind to the background.
    """
    scores = metrics.scores(matrix)
    return {
        "mean IoU": float(scores.iou.mean()),
        "mean IoU of the classes present": scores.mean_iou,
        "pixel accuracy": scores.pixel_accuracy,
    }


def scene_parsing_figures(matrix: np.ndarray, boundaries: np.ndarray) -> dict[str, float]:
    """Score as the scene parsing benchmark does, and with absent classes left out.

    Args:
        matrix: int64 [150, 150], rows truth.
        boundaries: not used.

    Returns:
        "score", "pixel accuracy", "mean IoU": the benchmark's; the same two with "of the classes
        present" for the mean over the classes that occur in truth or answer.
    """
    scores = metrics.scores(matrix)
    zeroed = float(np.nan_to_num(scores.iou).mean())
    return {
        "score": (scores.pixel_accuracy + zeroed) / 2,
        "pixel accuracy": scores.pixel_accuracy,
        "mean IoU": zeroed,
        "score of the classes present": (scores.pixel_accuracy + scores.mean_iou) / 2,
        "mean IoU of the classes present": scores.mean_iou,
    }


def camvid_figures(matrix: np.ndarray, boundaries: np.ndarray) -> dict[str, float]:
    """Score as the CamVid tables do.

    Args:
        matrix: int64 [11, 11], rows truth.
        boundaries: float64 [images], boundary F1 of each.

    Returns:
        "global accuracy", "class accuracy", "mean IoU", "boundary F1".
    """
    scores = metrics.scores(matrix)
    known = boundaries[~np.isnan(boundaries)]
    return {
        "global accuracy": scores.pixel_accuracy,
        "class accuracy": scores.mean_accuracy,
        "mean IoU": scores.mean_iou,
        "boundary F1": float(known.mean()) if known.size else float("nan"),
    }


# {data set: (classes, figures of (matrix, boundary F1 of the images))}
BENCHMARKS: dict[str, tuple[int, Callable[[np.ndarray, np.ndarray], dict[str, float]]]] = {
    "voc2012": (21, voc_figures),
    "sbd": (21, voc_figures),
    "scene-parsing": (150, scene_parsing_figures),
    "scenes": (150, scene_parsing_figures),
    "camvid": (11, camvid_figures),
}


def voc_results(root: Path, split: str, competition: str = "comp6") -> Path:
    """Return the folder in which the VOC server looks for answers.

    Args:
        root: the folder that gets `results`.
        split: such as "val".
        competition: "comp5" for networks that were trained on nothing but VOC, "comp6" for all
            others, such as those that start from ImageNet or use SBD.

    Returns:
        results/VOC2012/Segmentation/COMPETITION_SPLIT_cls under it.
    """
    return root / "results" / "VOC2012" / "Segmentation" / f"{competition}_{split}_cls"


def write_voc_result(folder: Path, name: str, answer: np.ndarray) -> Path:
    """Write an answer as the VOC server wants it: a palette PNG of class indices, NAME.png.

    Args:
        folder: from `voc_results`; made where it is missing.
        name: of the image.
        answer: uint8 [H, W], 0..20.

    Returns:
        The path of the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(answer)
    picture.putpalette(VOC.png_palette())
    picture.save(folder / f"{name}.png")
    return folder / f"{name}.png"
