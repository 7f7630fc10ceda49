"""What helps on CamVid: one change at a time on short trainings, scored on streets not trained on.

    python -m benchmarks.camvid --data DIR [--only NAME ...] [--averages]

Every line of QUESTIONS is a training on "train-street" that differs from the base, or from "long"
or "thin", in the settings named; it is scored on "val" (another part of a drive that is trained
on) and on "street" (a drive that is not), never on "test". A stopped training goes on; a line that
is done is only scored anew. Writes results/camvid/ablations.csv; with --averages instead
results/camvid/averages.csv: the line AVERAGED read in every way of AVERAGES.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from fcnlib import experiment
from fcnlib.config import ROOT, Config, load_profile
from fcnlib.datasets import Dataset
from fcnlib.errors import InputError
from fcnlib.evaluation import Evaluation, evaluate
from fcnlib.experiment import TrainingJob, end_to_end
from fcnlib.input_pipeline import ImageStore, eval_batches
from fcnlib.runtime import files
from fcntools import synthetic
from fcntools.analysis.protocols import TestTimeAugmentation

STEPS, SPLITS = 1000, ("val", "street")
READINGS = {
    "": TestTimeAugmentation(),
    ", averaged": TestTimeAugmentation(flip=True, scales=(1.0, 1.5)),
}
AVERAGED = "long, best, from streets, small batches"
SIZES = ((1.0,), (1.0, 1.5), (1.0, 1.25, 1.5), (1.0, 1.5, 2.0), (0.75, 1.0, 1.25, 1.5))
SIZES += ((0.75, 1.0, 1.25, 1.5, 1.75), (0.5, 0.75, 1.0, 1.25, 1.5, 1.75))
AVERAGES = (
    TestTimeAugmentation(),
    *(TestTimeAugmentation(flip=True, scales=scales) for scales in SIZES),
)
COLUMNS = ("question", "core minutes", *(split + kind for kind in READINGS for split in SPLITS))
BASE = {  # all that a line may change, whatever the profile becomes
    "train_split": "train-street",
    "init_checkpoint": "",
    "depth_multiplier": 0.5,
    "fusion": "score",
    "crop_size": 225,
    "batch_size": 8,
    "base_lr": 2e-3,
    "weight_decay": 1e-4,
    "class_weights": "none",
    "seed": 1,
    "min_scale": 0.5,
    "max_scale": 1.5,
    "colour_jitter": 0.2,
    "channel_jitter": 0.0,
    "classmix_prob": 0.0,
    "aux_loss_weight": 0.0,
    "lovasz_weight": 0.0,
    "ema_decay": 0.99,
    "warmup_steps": 50,
    "val_every": 0,
    "val_limit": 1,
}
HALF = {"class_weights": "root_median_frequency"}
LONG = {"steps": 3000} | HALF
LARGE, MIXED = {"crop_size": 321, "batch_size": 4}, {"classmix_prob": 0.5}
DECAYED = {"weight_decay": 0.2}
QUARTER = {"depth_multiplier": 0.25}
THIN = LONG | MIXED | QUARTER
SHAPES = {"init_checkpoint": "data/pretrained/shapes-classifier.npz"}
# Made by `fcnlib train --profile streets --set depth_multiplier=0.25 --set
# init_checkpoint=data/pretrained/shapes-classifier.npz` and `fcnlib weights shrink`.
STREETS = {"init_checkpoint": "data/pretrained/streets-thin.npz"}
BEST = THIN | SHAPES | {"lovasz_weight": 1.0}
COLOURS = {"colour_jitter": 0.4, "channel_jitter": 0.08}
LAST = LONG | MIXED | {"lovasz_weight": 1.0, "batch_size": 4, "steps": 6000}
LAST |= {"init_checkpoint": "data/pretrained/streets-half.npz"}
QUESTIONS = {
    "base": ("the middle that the others are held against", {}),
    "base, seed 2": ("how much is chance?", {"seed": 2}),
    "base, seed 3": ("how much is chance?", {"seed": 3}),
    "no average": ("is the average of the weights worth its memory?", {"ema_decay": 0.0}),
    "coarse losses": ("do losses at strides 32, 16 and 8 help?", {"aux_loss_weight": 0.4}),
    "larger scales": ("do objects twice as large help?", {"max_scale": 2.0}),
    "colour": ("does stronger colour help on another street?", {"colour_jitter": 0.4}),
    "tint": ("does a tint a channel help there?", {"colour_jitter": 0.3, "channel_jitter": 0.08}),
    "balanced": ("do weights help rare classes?", {"class_weights": "median_frequency"}),
    "half balanced": ("or their square roots?", HALF),
    "long": ("what do three times the steps bring, half balanced?", LONG),
    "long, large crops": ("twice the pixels, half the crops, then?", LONG | LARGE),
    "long, larger scales": (
        "and objects larger, to be looked at larger?",
        LONG | LARGE | {"min_scale": 0.75, "max_scale": 2.25},
    ),
    "long, colours": ("and colours of another day?", LONG | LARGE | COLOURS),
    "long, mixed": ("half of the classes of another crop pasted in?", LONG | MIXED),
    "long, always mixed": ("into every crop?", LONG | MIXED | {"classmix_prob": 1.0}),
    "long, mixed, colours": ("with colours of another day?", LONG | MIXED | COLOURS),
    "long, mixed, decayed": ("with a weight decay that is felt?", LONG | MIXED | DECAYED),
    "long, mixed, wide": ("at one and a half times?", LONG | MIXED | {"depth_multiplier": 0.75}),
    "long, mixed, thin": ("a quarter of the width in place of half?", THIN),
    "thin, mixed, lovasz": ("the mean IoU itself in the loss?", THIN | {"lovasz_weight": 1.0}),
    "thin, mixed, decayed": ("a weight decay that is felt?", THIN | DECAYED),
    "thin, mixed, faster": ("a rate twice as high?", THIN | {"base_lr": 4e-3}),
    "thin, mixed, from shapes": ("a start from shapes?", THIN | SHAPES),
    "thin, best": ("a start from shapes and the mean IoU?", BEST),
    "thin, best, faster": ("a rate twice as high, then?", BEST | {"base_lr": 4e-3}),
    "thin, best, small batches": (
        "as many images in batches of 4?",
        BEST | {"batch_size": 4, "steps": 6000},
    ),
    "thin, best, smaller batches": (
        "and in batches of 2?",
        BEST | {"batch_size": 2, "steps": 12000},
    ),
    "thin, best, larger scales": ("objects larger?", BEST | {"min_scale": 0.75, "max_scale": 2.0}),
    "thin, best, longer": ("what do three times the steps bring, then?", BEST | {"steps": 9000}),
    "thin, best, from streets": ("a start from generated streets?", BEST | STREETS),
    "thin, best, from streets, small batches": (
        "with that, as many images in batches of 4?",
        BEST | STREETS | {"batch_size": 4, "steps": 6000},
    ),
    "long, best, from streets, small batches": ("and at half of the width?", LAST),
    "long, best, from streets, small batches, seed 2": ("how much is chance?", LAST | {"seed": 2}),
    "long, best, from streets, small batches, more mixed": (
        "three quarters of the crops mixed, in place of half?",
        LAST | {"classmix_prob": 0.75},
    ),
    "long, best, from streets, small batches, longer average": (
        "weights averaged over ten times as many steps?",
        LAST | {"ema_decay": 0.999},
    ),
    "thin": ("is a quarter of the width enough?", QUARTER),
    "thin, from shapes": (
        "does a backbone that classified generated shapes start better?",
        QUARTER | SHAPES,
    ),
    "small crops": ("half the pixels, twice the crops?", {"crop_size": 161, "batch_size": 16}),
    "large crops": ("twice the pixels, half the crops?", LARGE),
    "features": ("features added instead of scores?", {"fusion": "feature"}),
    "stride 8": ("what is the skip at stride 4 worth?", {"stride": 8}),
    "faster": ("a rate twice as high?", {"base_lr": 4e-3}),
    "decay": ("more weight decay?", {"weight_decay": 1e-3}),
}


# Lines whose code did not earn its place and is gone; their questions say which commit has it.
RETIRED = ("thin, mixed, path to 2", "long, mixed, path to 2, lovasz")


def planned(changes: dict) -> tuple[int, int, dict]:
    """Return the stride, the steps and the settings of a line."""
    settings = BASE | changes
    return settings.pop("stride", 4), settings.pop("steps", STEPS), settings


def train(
    config: Config, dataset: Dataset, name: str, stride: int, steps: int
) -> tuple[Path, float | None]:
    """Train a line of the table, or find it done; return its folder and the cores' minutes.

    What the cores worked says more of a line's cost than the clock, which sees other programs too;
    it is None where an earlier start did a part of the work.
    """
    folder = ROOT / "results" / "runs" / "camvid-ablations" / name.replace(" ", "-")
    first = config.path("init_checkpoint") if config.network.init_checkpoint else None
    stage = end_to_end(config, steps, config.train.base_lr)
    whole, started = not folder.exists(), time.process_time()
    experiment.train_fcn(config, dataset, TrainingJob(stride, folder, first, (stage,), name))
    return folder, (time.process_time() - started) / 60 if whole else None


def score(dataset: Dataset, predict: Callable, split: str, title: str) -> Evaluation:
    """Score a network on a split."""
    store = ImageStore(dataset.records(split), dataset.labels, limit=0)
    classes = dataset.labels.num_classes
    return evaluate(predict, eval_batches(store, 4), store.names, classes, f"{title}, {split}")


def trained(dataset: Dataset, name: str) -> tuple[Path, float | None]:
    """Train a line of QUESTIONS, as `train` says."""
    stride, steps, settings = planned(QUESTIONS[name][1])
    config = load_profile("camvid-best", settings | {"data_dir": str(dataset.root)})
    return train(config, dataset, name, stride, steps)


def read(
    dataset: Dataset, folder: Path, reading: TestTimeAugmentation, name: str
) -> dict[str, float]:
    """Return {split: mean IoU in percent} of a network read in one way."""
    predict = reading.predictor(folder, dataset.labels)
    means = {split: score(dataset, predict, split, name).scores.mean_iou for split in SPLITS}
    return {split: round(100 * mean, 2) for split, mean in means.items()}


def line(dataset: Dataset, name: str) -> dict:
    """Train and score one line of the table."""
    folder, minutes = trained(dataset, name)
    row = {"name": name, "question": QUESTIONS[name][0]}
    row |= {"core minutes": round(minutes, 1)} if minutes else {}
    for kind, reading in READINGS.items():
        found = read(dataset, folder, reading, name)
        row |= {split + kind: mean for split, mean in found.items()}
    return row


def averages(dataset: Dataset) -> pd.DataFrame:
    """Return a row a reading of AVERAGES; "pixels" counts those seen, one for the plain reading."""
    folder, _ = trained(dataset, AVERAGED)
    rows = []
    for reading in AVERAGES:
        pixels = (1 + reading.flip) * sum(scale**2 for scale in reading.scales)
        row = {"mirrored": reading.flip, "sizes": " ".join(f"{s:g}" for s in reading.scales)}
        rows.append(row | {"pixels": pixels} | read(dataset, folder, reading, AVERAGED))
        print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of CamVid")
    parser.add_argument("--only", nargs="*", help="names of QUESTIONS")
    parser.add_argument("--averages", action="store_true", help="write averages.csv instead")
    given = parser.parse_args()
    names = given.only or list(QUESTIONS)
    target = ROOT / "results" / "camvid" / "ablations.csv"
    try:
        unknown = set(names) - set(QUESTIONS)
        if unknown:
            raise InputError(
                f"--only {', '.join(sorted(unknown))}: there are {', '.join(QUESTIONS)}"
            )
        config = load_profile("camvid-best", {"data_dir": str(given.data.resolve())})
        dataset = synthetic.prepare(config)
        if given.averages:
            table = averages(dataset).to_csv(index=False)
            files.write_text(target.with_name("averages.csv"), table)
            return 0
        for name in names:
            row = line(dataset, name)
            old = pd.read_csv(target) if target.exists() else pd.DataFrame({"name": []})
            new = pd.DataFrame([row]).set_index("name")
            frame = new.combine_first(old.set_index("name"))
            known = [name for name in (*QUESTIONS, *RETIRED) if name in frame.index]
            frame = frame.loc[known]
            columns = [column for column in COLUMNS if column in frame]
            files.write_text(target, frame[columns].to_csv())
            print(row, flush=True)
    except InputError as error:
        print(f"benchmarks.camvid: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
