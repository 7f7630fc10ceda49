"""The number on the front page: `python -m benchmarks.front_page RUN ... --data DIR [--together]`.

Scores runs of `fcnlib train --profile camvid-best`, one a seed, on the test images of CamVid, once
for each line of the table: the network cut off at every stride, then the whole one averaged with
mirrored and resized images; with --together also the networks of all runs averaged. A line that
has been scored is not scored again, and what was published of seeds that are not given stays if
their settings were the same. Writes results/camvid/best.csv, best.json and best.md, and the
README's part.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from benchmarks.bench import into_readme
from benchmarks.camvid import AVERAGES
from fcnlib.builders import load_fcn
from fcnlib.config import ROOT, Config, current_names
from fcnlib.datasets.identity import split_digest
from fcnlib.errors import InputError
from fcnlib.runtime import files, run_record
from fcnlib.training import CHECKPOINT
from fcntools.analysis import experiments
from fcntools.analysis import protocols as scoring
from fcntools.analysis.protocols import TestTimeAugmentation
from fcntools.synthetic import prepare

NETWORK, README, FOLDER = "fcn-4s", ROOT / "README.md", ROOT / "results" / "camvid"
MARKS = ("<!-- camvid:begin -->", "<!-- camvid:end -->")
READINGS = {
    "FCN-32s": TestTimeAugmentation(32),
    "FCN-16s": TestTimeAugmentation(16),
    "FCN-8s": TestTimeAugmentation(8),
    "FCN-4s": TestTimeAugmentation(),
    "FCN-4s, mirrored too": TestTimeAugmentation(flip=True),
    "FCN-4s, mirrored, two sizes": TestTimeAugmentation(flip=True, scales=(1.0, 1.5)),
    "FCN-4s, mirrored, six sizes": AVERAGES[-1],
}
TRAINED_ON, TESTED = ("camvid", "train", 0), 233  # data set, split, limit; test images
BEST = list(READINGS)[-1]
INTERVAL = ("low", "high")  # of 95 % of test sets drawn again from the images, mean IoU
FIGURES = ("mean IoU", "global accuracy", "class accuracy", "boundary F1")
_PAGE = """# CamVid, no other photographs

{readme}

## IoU of the classes

Percent, mean over the seeds ({seeds}); a column of several networks is their average.

{classes}
"""
_README = """| CamVid, 233 test images | mean IoU | global accuracy | class accuracy | boundary F1 |
|---|--:|--:|--:|--:|
{rows}

Percent; {spread}{drawn}. Ours: Inception-v3 at {width:g} of its
width ({parameters:.1f} million numbers) that {start},
then saw the 367 training images, and no other photograph, for {minutes} minutes
({steps} steps, `fcnlib train --profile camvid-best`). Its settings were compared on validation
images and on a training street held out, not on test images, of which earlier numbers were known:
[the order](results/README.md#camvid-in-which-order). The strides are one network cut off at
each, read as `fcnlib benchmark` does{together}. {machine}.
The published networks saw the same images and classes, on GPUs and for longer; those marked with an
asterisk start from ImageNet, the others of theirs from random numbers. Ours are run once on an
image but for the lines that say mirrored, which are averages; of theirs we know that of Bayesian
SegNet alone.
"""
_DRAWN = "was drawn at random"
_LEARNED = "generated {things} for {minutes} minutes (`{program}`)"
_INTERVAL = (
    "; in brackets what 95 % of test sets drawn again from these images have (bootstrap, mean over "
    "the seeds that were scored with it)"
)
_TOGETHER = "; a line of several networks averages the probabilities of that many seeds"
_WHERE_AND_HOW = re.compile(r" --(?:set|out)[ =]\S+| --resume\b")  # options of a command


def records(runs: list[Path]) -> list[dict]:
    """Read the records of the runs, which may differ in nothing but the seed and where the data is.

    Each gets "initial", the record of what it started from, {} for random numbers.

    Raises:
        InputError: a run holds no network trained to the end, on other images than the table says,
            or does not go with the others; or nothing says what it started from.
    """
    found = []
    for run in runs:
        folder = run / "models" / NETWORK
        record, checkpoint = folder / "record.json", folder / CHECKPOINT
        if not (record.is_file() and checkpoint.is_file()) or _newer(checkpoint, record):
            raise InputError(f"{run}: holds no finished {NETWORK} of `fcnlib train`")
        found.append(files.read_json(record))
        config = found[-1]["config"] = current_names(found[-1]["config"])
        if (config["dataset"], config["train_split"], config["train_limit"]) != TRAINED_ON:
            raise InputError(f"{run}: was not trained on all of CamVid's training images")
        start = config.get("init_checkpoint")
        found[-1]["initial"] = _initial(start) if start else {}
    if any(settings(r["config"]) != settings(found[0]["config"]) for r in found):
        raise InputError("these runs differ in more than the seed; give those of one profile")
    if len({record["seed"] for record in found}) < len(found):
        raise InputError("two of these runs have one seed; give each seed once")
    return found


def _initial(path: str, *later: Path) -> dict:
    """Return the record of a checkpoint, under "initial" that of what it had started from."""
    record = (ROOT / path).with_suffix(".json")
    found = files.read_json(record)
    if not isinstance(found, dict) or not {"command", "config", "training_seconds"} <= set(found):
        raise InputError(f"{record}: no record of how {path} was made; make it anew")
    if record in later:
        raise InputError(f"{record}: says that it started from itself; make it anew")
    # A pretraining starts from random numbers, whatever its settings say of networks.
    start = current_names(found["config"]).get("init_checkpoint")
    random = found["command"].startswith("fcnlib pretrain") or not start
    return found | {"initial": {} if random else _initial(start, record, *later)}


def settings(config: dict) -> dict:
    """Return all settings of a record, those that it is too old to know included, but the seed's.

    Args:
        config: of a run's record.
    """
    known = Config().to_dict() | current_names(config)
    return {key: value for key, value in known.items() if key not in ("seed", "data_dir")}


def score(run: Path, record: dict, data: Path) -> list[dict]:
    """Return a row a reading of one run: seed, network, the figures and the classes' IoU."""
    return [_row([run], [record], data, name, reading) for name, reading in READINGS.items()]


def score_together(runs: list[Path], known: list[dict], data: Path) -> dict:
    """Return the row of the networks of several runs, averaged and read in the last way."""
    others = tuple(run / "models" / NETWORK for run in runs[1:])
    name = BEST.replace(",", f", {len(runs)} networks,", 1)
    return _row(runs, known, data, name, dataclasses.replace(READINGS[BEST], others=others))


def _row(
    runs: list[Path], known: list[dict], data: Path, name: str, reading: TestTimeAugmentation
) -> dict:
    folder = runs[0] / "models" / NETWORK
    path = folder / f"benchmark{reading.name}.json"
    changes = {"data_dir": str(data), "eval_split": "test", "eval_limit": 0}
    config = Config().replace(**known[0]["config"] | changes)
    dataset = prepare(config)
    images = split_digest(dataset, dataset.records("test"))
    if not _scored(path, images, folder, *reading.others):
        print(f"{runs[0].name}: {name}", flush=True)
        scoring.benchmark(config, folder, augmentation=reading)
    found = files.read_json(path)
    minutes = sum(record["training_seconds"] for record in known) / 60
    row = {"seed": " ".join(str(record["seed"]) for record in known), "network": name}
    row |= {"minutes": round(minutes, 1)} | {key: found[key] for key in FIGURES}
    row |= dict(zip(INTERVAL, found["mean IoU, 95 % of test sets"], strict=True))
    return row | found["iou"]


def _newer(one: Path, other: Path) -> bool:
    return one.stat().st_mtime > other.stat().st_mtime


def _scored(path: Path, images: str, folder: Path, *others: Path) -> bool:
    """Say whether a file holds the figures of these very networks on these very images."""
    if not path.is_file() or any(_newer(f / CHECKPOINT, path) for f in (folder, *others)):
        return False
    found = files.read_json(path)
    if not isinstance(found, dict) or found.get("others", []) != [
        run_record.relative(other) for other in others
    ]:
        return False
    return (found.get("data"), found.get("images")) == (images, TESTED)


def table(frame: pd.DataFrame) -> str:
    """Return the rows of ours and of the published, by rising mean IoU."""
    lines = []
    for name, group in frame.groupby("network"):
        cells = [f"{100 * group[key].mean():.1f}" for key in FIGURES]
        if len(group) > 1:
            cells[0] += f" ± {100 * group[FIGURES[0]].std():.1f}"
        drawn = 100 * group.reindex(columns=INTERVAL).dropna().mean()  # older rows have none
        if not drawn.isna().any():
            cells[0] += f" ({drawn.low:.1f} to {drawn.high:.1f})"
        lines.append((group[FIGURES[0]].mean(), f"**{name}** | **{cells[0]}**", cells[1:]))
    for row in experiments.comparable("camvid", "test", TESTED).to_dict("records"):
        values = (row["mean_iou"], row["pixel_accuracy"], row["mean_accuracy"])
        cells = ["" if pd.isna(value) else f"{value:.1f}" for value in values]
        mark = "" if "scratch" in row["source"] else "*"
        lines.append(
            (row["mean_iou"] / 100, f"{row['network']}{mark} | {cells[0]}", [*cells[1:], ""])
        )
    ranked = sorted(lines, key=lambda line: line[0])
    return "\n".join(f"| {head} | {' | '.join(cells)} |" for _, head, cells in ranked)


def classes(frame: pd.DataFrame, names: list[str]) -> str:
    """Return the table of the classes' IoU, a column a line of the other table."""
    means, networks = frame.groupby("network")[names].mean(), list(frame.network.unique())
    lines = [f"| class | {' | '.join(networks)} |", "|---|" + "--:|" * len(networks)]
    for name in names:
        values = " | ".join(f"{100 * means.loc[network, name]:.1f}" for network in networks)
        lines.append(f"| {name} | {values} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of CamVid")
    parser.add_argument("--together", action="store_true", help="a line of their average too")
    given = parser.parse_args()
    try:
        publish([run.resolve() for run in given.runs], given.data.resolve(), given.together)
    except InputError as error:
        print(f"benchmarks.front_page: error: {error}", file=sys.stderr)
        return 2
    return 0


def publish(runs: list[Path], data: Path, together: bool = False) -> None:
    """Score the runs, and their average if wanted; write the page and the README's part."""
    if together and len(runs) < 2:
        raise InputError("--together averages the networks of several runs; give two or more")
    known = records(runs)
    rows = [
        row for run, record in zip(runs, known, strict=True) for row in score(run, record, data)
    ]
    rows += [score_together(runs, known, data)] if together else []
    frame, about = merged(pd.DataFrame(rows), known)
    network, _ = load_fcn(runs[0] / "models" / NETWORK)
    trained = network.trainable(backbone=True, head=True)
    millions = sum(v.shape.num_elements() for v in trained.values()) / 1e6
    text = readme(frame, about, millions)
    names = [
        name for name in frame if name not in {"seed", "network", "minutes", *FIGURES, *INTERVAL}
    ]
    beside = text.replace("(results/README.md", "(../README.md")
    page = _PAGE.format(readme=beside, seeds=len(about["seeds"]), classes=classes(frame, names))
    # The table last but one: without its json nothing is taken over from it.
    (FOLDER / "best.json").unlink(missing_ok=True)
    files.write_text(FOLDER / "best.csv", frame.to_csv(index=False, float_format="%.6g"))
    files.write_json(FOLDER / "best.json", about)
    files.write_text(FOLDER / "best.md", page)
    into_readme(text, README, *MARKS)
    print(text)


def merged(frame: pd.DataFrame, known: list[dict]) -> tuple[pd.DataFrame, dict]:
    """Add what was published of other seeds, if their settings and readings were the same.

    Args:
        frame: rows of `score`.
        known: the records of their runs.

    Returns:
        (all rows by seed, then averages of networks, which go when one of their seeds is given
        again, or another average of as many; {"config", "seeds": {seed: where and how it was
        trained}}).
    """
    about = {"config": settings(known[0]["config"])}
    about["seeds"] = {str(r["seed"]): _origin(r) | _start(r["initial"]) for r in known}
    table, record = FOLDER / "best.csv", FOLDER / "best.json"
    old = files.read_json(record)
    if not table.is_file() or not isinstance(old, dict):
        return frame, about
    before = pd.read_csv(table, dtype={"seed": str})
    alone = before[~before.seed.str.contains(" ")]
    alike = settings(old["config"]) == about["config"] and set(alone.network) == set(READINGS)
    if not alike:
        print(f"{table}: of another recipe; replaced", file=sys.stderr)
        return frame, about
    about["seeds"] = old["seeds"] | about["seeds"]
    given, averages = set(frame.seed), set(frame.network) - set(READINGS)
    gone = before.seed.map(lambda text: not given.isdisjoint(text.split()))
    frame = pd.concat([before[~(gone | before.network.isin(averages))], frame])
    order = frame.seed.map(lambda text: (text.count(" "), [int(word) for word in text.split()]))
    return frame.iloc[order.argsort(kind="stable")].reset_index(drop=True), about


def _origin(record: dict) -> dict:
    """Return what a record says of where and how, its settings left out."""
    kept = ("command", "commit", "dirty", "machine", "versions", "threads", "training_seconds")
    return {key: record[key] for key in kept if key in record}


def _start(record: dict) -> dict:
    """Return the same of the record of what a run started from, and what that had learned."""
    if not record:
        return {}
    made = {"dataset": record["config"]["dataset"]}
    return {"initial": _origin(record) | made | _start(record["initial"])}


def readme(frame: pd.DataFrame, about: dict, millions: float) -> str:
    """Return the README's part: the table, and where its numbers are from."""
    origins = list(about["seeds"].values())
    learned = " and ".join(_lessons([origin.get("initial", {}) for origin in origins]))
    text = _README.format(
        rows=table(frame),
        spread=f"± is the standard deviation over {len(origins)} seeds"
        if len(origins) > 1
        else "one seed",
        drawn=_INTERVAL if frame.reindex(columns=INTERVAL).notna().any(axis=None) else "",
        width=about["config"]["depth_multiplier"],
        parameters=millions,
        start=f"learned {learned}" if learned else _DRAWN,
        together=_TOGETHER if frame.seed.str.contains(" ").any() else "",
        minutes=_span(_minutes(origins)),
        steps=about["config"]["coarse_steps"],
        machine="; ".join(sorted({_place(origin) for origin in origins})),
    )
    return text.strip()


def _lessons(starts: list[dict]) -> list[str]:
    """Return what the networks learned before, the first lesson first.

    Args:
        starts: for each seed what it began with, {} for random numbers.
    """
    if not all(starts):
        return []
    lesson = _LEARNED.format(
        things=starts[0]["dataset"],
        minutes=_span(_minutes(starts)),
        program=_WHERE_AND_HOW.sub("", starts[0]["command"]),
    )
    return [*_lessons([start.get("initial", {}) for start in starts]), lesson]


def _minutes(origins: list[dict]) -> list[float]:
    return [origin["training_seconds"] / 60 for origin in origins]


def _span(minutes: Iterable[float]) -> str:
    """Return "72", or "72 to 80" where they differ."""
    found = sorted(minutes)
    return " to ".join(dict.fromkeys(f"{found[i]:.0f}" for i in (0, -1)))


def _place(origin: dict) -> str:
    machine = origin["machine"]
    threads = origin.get("threads", {}).get(run_record.INTRA, machine["cores"])
    commit = f"commit {str(origin['commit'])[:10]}" + " with changes" * bool(origin.get("dirty"))
    return (
        f"{machine['cpu']}, {threads} of {machine['cores']} cores a training, "
        f"TensorFlow {origin['versions']['tensorflow']}, {commit}"
    )


if __name__ == "__main__":
    sys.exit(main())
