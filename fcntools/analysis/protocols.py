"""Score a trained network by the rules of its data set's benchmark.

PASCAL VOC: 21 classes with background; pixels that are 255 in the truth do not count; the score is
the mean of the IoU of the 21 classes from one matrix over all images. Source: VOCevalseg.m.

MIT Scene Parsing: 150 classes; pixels that are 0 ("other") in the truth do not count; a class in
neither truth nor prediction gets IoU 0 and stays in the mean; the score is the mean of pixel
accuracy and mean IoU over all images. Source: github.com/CSAILVision/sceneparsing.

CamVid: 11 classes; unlabelled pixels do not count; global accuracy, the mean of the classes'
accuracies, mean IoU, and boundary F1 within 0.75 % of the image's diagonal: the mean over the
classes in an image's truth, then over images. Source: Badrinarayanan et al. 2017 (SegNet), section
4; Csurka et al. 2013.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fcnlib import metrics
from fcnlib.builders import require_classes
from fcnlib.config import Config
from fcnlib.datasets import read_image
from fcnlib.datasets.voc import VOC
from fcnlib.errors import InputError
from fcnlib.evaluation import predictor
from fcnlib.experiment import scored_as
from fcnlib.input_pipeline import ImageStore, eval_batches
from fcnlib.labels import LabelSet
from fcnlib.preprocessing import preprocess, unpreprocess
from fcnlib.runtime import files, run_record
from fcnlib.runtime.compat import tf
from fcntools.analysis import networks_2017  # noqa: F401  (loads networks of 2017)
from fcntools.analysis.diagnosis import bootstrap, boundary_f1, interval
from fcntools.analysis.experiments import predictions
from fcntools.inference.folding import fold
from fcntools.inference.segmenter import Segmenter, load_alike
from fcntools.synthetic import prepare

CLASSES = {"voc2012": 21, "sbd": 21, "scene-parsing": 150, "scenes": 150, "camvid": 11}


def score(benchmark: str, matrix: np.ndarray) -> dict[str, float]:
    """Return {score: value}, shares in 0..1, of int64 [C, C], rows truth, by a benchmark's rules.

    "mean IoU" of VOC is NaN where a class is in neither truth nor prediction, as in the devkit;
    "of the classes present" is the mean over those in truth or prediction.
    """
    scores = metrics.scores(matrix)
    accuracy, present = scores.pixel_accuracy, scores.mean_iou
    if benchmark == "camvid":
        class_accuracy = scores.mean_accuracy
        return {"global accuracy": accuracy, "class accuracy": class_accuracy, "mean IoU": present}
    of_present = {"mean IoU of the classes present": present}
    if CLASSES[benchmark] == VOC.num_classes:
        return {"mean IoU": float(scores.iou.mean()), **of_present, "pixel accuracy": accuracy}
    zeroed = float(np.nan_to_num(scores.iou).mean())
    found = {"score": (accuracy + zeroed) / 2, "pixel accuracy": accuracy, "mean IoU": zeroed}
    return found | {"score of the classes present": (accuracy + present) / 2} | of_present


class BenchmarkScorer:
    """Collects the predictions of a split and scores them by the rules of its benchmark."""

    def __init__(self, benchmark: str, results: Path | None = None):
        """Start without predictions, and without PNGs in the folder for PASCAL VOC's server.

        Raises:
            InputError: `CLASSES` has no benchmark of this name.
        """
        if benchmark not in CLASSES:
            known = ", ".join(CLASSES)
            raise InputError(f"no rules for {benchmark!r}, only for {known}; use fcnlib evaluate")
        self._benchmark, self._classes = benchmark, CLASSES[benchmark]
        self._results = results if self._classes == VOC.num_classes else None
        for stale in self._results.glob("*.png") if self._results else ():
            stale.unlink()
        self.matrices: list[np.ndarray] = []  # int32 [C, C], one an image
        self._boundary_f1: list[float] = []

    def add(self, name: str, truth: np.ndarray | None, prediction: np.ndarray) -> None:
        """Count an image, and write its prediction where the benchmark has a server.

        Args:
            name: of the image.
            truth: uint8 [H, W], 0..C-1 or 255; None where the benchmark keeps it.
            prediction: uint8 [H, W], 0..C-1.

        Raises:
            InputError: there is neither a truth to score against nor a server to write for.
        """
        if self._results is not None:
            self._results.mkdir(parents=True, exist_ok=True)
            picture = Image.fromarray(prediction)
            picture.putpalette(VOC.png_palette())
            picture.save(self._results / f"{name}.png")
        elif truth is None:
            raise InputError(f"{name}: has no mask to score against; choose a split with masks")
        if truth is not None:
            counts = metrics.confusion_matrix(truth, prediction, self._classes)
            self.matrices.append(counts.astype(np.int32))
            if self._benchmark == "camvid":
                self._boundary_f1.append(boundary_f1(truth, prediction, self._classes))

    def scores(self) -> dict[str, float]:
        """Return the benchmark's scores by name, shares in 0..1."""
        scores = score(self._benchmark, np.sum(self.matrices, axis=0, dtype=np.int64))
        if self._benchmark == "camvid":
            known = [f1 for f1 in self._boundary_f1 if not np.isnan(f1)]
            scores["boundary F1"] = float(np.mean(known)) if known else float("nan")
        return scores


@dataclass(frozen=True)
class TestTimeAugmentation:
    """How predictions are made with a trained network."""

    stride: int = 0  # at which the sum of score maps is cut off; 0 for the network's own
    flip: bool = False  # average with the mirrored image
    scales: tuple[float, ...] = (1.0,)  # sizes of the image to average over
    others: tuple[Path, ...] = ()  # checkpoints or folders of networks of the same classes

    @property
    def name(self) -> str:
        """The part of a file name: "" without any, else such as "-8s-flip-0.75-1-with-2-DIGEST"."""
        words = [f"{self.stride}s"] * bool(self.stride) + ["flip"] * self.flip
        words += [f"{scale:g}" for scale in self.scales] if self.scales != (1.0,) else []
        if self.others:
            digest = hashlib.sha256("\n".join(map(run_record.relative, self.others)).encode())
            words += [f"with-{len(self.others)}-{digest.hexdigest()[:8]}"]
        return "".join(f"-{word}" for word in words)

    def predictor(self, folder: Path, labels: LabelSet) -> Callable[[tf.Tensor], tf.Tensor]:
        """Return a function of images float32 [N, H, W, 3] in [-1, 1] to classes uint8 [N, H, W].

        It predicts these classes with the trained network of this folder.
        """
        networks, meta = load_alike(folder, *self.others, stride=self.stride)
        require_classes(folder, meta, labels)
        if not self.flip and self.scales == (1.0,) and not self.others:
            return predictor(fold(networks[0]))
        segmenter = Segmenter(*networks, flip=self.flip, scales=self.scales)

        def predict(images: tf.Tensor) -> tf.Tensor:
            pixels = unpreprocess(images)
            return tf.constant(np.stack([segmenter.label(image) for image in pixels]))

        return predict


def benchmark(
    config: Config,
    folder: Path,
    competition: str = "comp6",
    augmentation: TestTimeAugmentation = TestTimeAugmentation(),
) -> dict[str, float]:
    """Return {score: value} of a trained network by the rules of its data set's benchmark.

    It is empty for a split whose masks PASCAL VOC's server keeps.

    Args:
        config: gives the data set, its split and the batch size.
        folder: of the trained network; gets benchmark.json, with the augmentation and another split
            in its name, and for PASCAL VOC the predictions in
            results/VOC2012/Segmentation/COMPETITION_SPLIT_cls, as its server wants.
        competition: of PASCAL VOC: "comp5" for networks trained on nothing but VOC, else "comp6".
        augmentation: at test time.
    """
    with files.locked(folder):
        dataset, split = prepare(config), config.data.eval_split
        records = dataset.records(split, config.data.eval_limit)
        ending, identity = scored_as(config, dataset, folder)
        results = folder / f"results/VOC2012/Segmentation/{competition}_{split}_cls"
        scorer = BenchmarkScorer(dataset.name, results)
        predict = augmentation.predictor(folder, dataset.labels)
        if not any(record.label_path for record in records):
            for record in records:
                image = tf.constant(preprocess(read_image(record.image_path))[None])
                scorer.add(record.name, None, predict(image).numpy()[0])
            return {}
        store = ImageStore(records, dataset.labels, limit=0, split=split)  # each is needed once
        with store.reporting():
            batches = eval_batches(store, config.train.eval_batch_size)
            for index, truth, predicted in predictions(predict, batches):
                scorer.add(store.names[index], truth, predicted)
        scores, matrices = scorer.scores(), np.array(scorer.matrices)
        iou = metrics.scores(matrices.sum(axis=0, dtype=np.int64)).iou
        again = bootstrap(matrices).mean_iou
        about = {
            "benchmark": dataset.name,
            **identity,
            **vars(augmentation),
            "others": [run_record.relative(other) for other in augmentation.others],
            "mean IoU, 95 % of test sets": [float(end) for end in interval(again)],
            "iou": dict(zip(dataset.labels.classes, iou, strict=True)),
        }
        path = folder / f"benchmark{augmentation.name}{ending}.json"
        files.write_json(path, about | scores)
        return scores
