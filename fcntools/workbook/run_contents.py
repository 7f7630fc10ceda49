"""What lies in the folder of a run, read into plain dictionaries for its page."""

from __future__ import annotations

import csv
import re
import struct
from pathlib import Path
from typing import Any

from fcnlib.datasets.camvid import CAMVID
from fcnlib.datasets.voc import VOC
from fcnlib.labels import SHAPES
from fcnlib.runtime.files import read_json
from fcntools.workbook.html_pages import heading

METRICS = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")
COMPARISON = "tables/comparison.csv"  # in a run folder: a row a system of notebook 08
_PLAIN = re.compile(r"FCN-\d+s")
_MOST_ROWS = 60
_BROAD = 1.7  # a figure wider than this many heights gets a row of its own


def dictionary(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; an empty one where there is none."""
    tree = read_json(path)
    return tree if isinstance(tree, dict) else {}


def networks(run: Path) -> list[dict[str, Any]]:
    """Read models/*/metrics.json.

    Args:
        run: the run folder.

    Returns:
        A row a network, coarsest stride first: name, the four METRICS (shares 0..1), iou (list or
        None), gain (points over the network of the chain before it, as text, or None), best (bool),
        and classes, dataset, split, images where the file tells them.
    """
    rows = []
    for path in (run / "models").glob("*/metrics.json"):
        tree = dictionary(path)
        values = tree.get("scores", tree)
        if not _is_scored(values):
            continue
        name = str(tree.get("network") or path.parent.name.replace("fcn-", "FCN-"))
        row = {key: values.get(key) for key in METRICS} | {"name": name, "iou": values.get("iou")}
        rows.append(row | {k: tree.get(k) for k in ("classes", "dataset", "split", "images")})
    rows.sort(key=lambda row: (-_stride(row["name"]), row["name"]))
    best = max((row["mean_iou"] for row in rows), default=None)
    start = None
    for row in rows:
        row["best"] = row["mean_iou"] == best
        row["gain"] = f"{100 * (row['mean_iou'] - start['mean_iou']):+.1f}" if start else None
        if _PLAIN.fullmatch(
            row["name"]
        ):  # "FCN-32s, same steps" is a control; nothing starts there
            start = row
    return rows


def _is_scored(values: Any) -> bool:
    """Return whether these are scores: a file of another make must not stop the whole report."""
    if not isinstance(values, dict) or values.get("mean_iou") is None:
        return False
    numbers = [values.get(key) for key in METRICS]
    ious = values.get("iou") or []
    numbers += ious if isinstance(ious, list) else [ious]
    return all(n is None or isinstance(n, (int, float)) for n in numbers)


def _stride(name: str) -> int:
    found = re.search(r"\d+", name)
    return int(found[0]) if found else 0


def classes(rows: list[dict[str, Any]], dataset: str) -> list[tuple[str, list[float | None]]]:
    """Turn the IoU lists of `networks` into rows of classes.

    Args:
        rows: from `networks`.
        dataset: names the label set where no row lists its classes.

    Returns:
        [(class, [IoU of each network])], empty where a network's IoU or the names are not known.
    """
    known = {labels.name: labels.classes for labels in (VOC, CAMVID, SHAPES)}
    names = next((row["classes"] for row in rows if row["classes"]), known.get(dataset))
    if not names or any(len(row["iou"] or ()) != len(names) for row in rows):
        return []
    return [(name, [row["iou"][i] for row in rows]) for i, name in enumerate(names)]


def notebooks(run: Path, record: dict[str, Any], figures: dict[str, int]) -> list[dict[str, Any]]:
    """List the executed notebooks.

    Args:
        run: the run folder.
        record: its record.json, which has the seconds of those that finished.
        figures: {name of a notebook: how many figures it left}.

    Returns:
        A row a notebook: name, number, title, ipynb, page, seconds, figures; paths are relative.
    """
    return [_notebook(path, run, record, figures) for path in sorted(run.glob("notebooks/*.ipynb"))]


def _notebook(
    path: Path, run: Path, record: dict[str, Any], figures: dict[str, int]
) -> dict[str, Any]:
    page = path.with_suffix(".html")
    return {
        "name": path.stem,
        "number": path.stem.partition("_")[0],
        "title": heading(path),
        "ipynb": path.relative_to(run).as_posix(),
        "page": page.relative_to(run).as_posix() if page.is_file() else None,
        "seconds": record.get("notebooks", {}).get(path.stem, {}).get("seconds"),
        "figures": figures.get(path.stem, 0),
    }


def figures(run: Path) -> list[dict[str, Any]]:
    """List the figures by notebook.

    Args:
        run: the run folder.

    Returns:
        A group a folder of figures/ (name, number, title, figures); a figure has title, alt, png,
        svg (or None), width and height in pixels, and broad where it needs a row of its own.
    """
    groups = []
    for folder in sorted(p for p in (run / "figures").glob("*") if p.is_dir()):
        found = [_figure(path, run) for path in sorted(folder.glob("*.png"))]
        if found:
            number, _, name = folder.name.partition("_")
            book = run / "notebooks" / f"{folder.name}.ipynb"
            title = heading(book) if book.is_file() else name.replace("_", " ")
            groups.append({"name": folder.name, "number": number, "title": title, "figures": found})
    return groups


def _figure(path: Path, run: Path) -> dict[str, Any]:
    told = dictionary(path.with_suffix(".json"))
    title = told.get("title") or path.stem.replace("_", " ")
    with open(path, "rb") as file:
        head = file.read(24)
    # A PNG gives its size in pixels, big-endian, at byte 16: the page keeps the place free.
    width, height = struct.unpack(">II", head[16:24]) if len(head) == 24 else (0, 0)
    svg = path.with_suffix(".svg")
    return {
        "title": title,
        "alt": told.get("alt") or title,
        "png": path.relative_to(run).as_posix(),
        "svg": svg.relative_to(run).as_posix() if svg.is_file() else None,
        "width": width,
        "height": height,
        "broad": width > _BROAD * height,
    }


def tables(run: Path) -> list[dict[str, Any]]:
    """Read tables/*.csv with the titles and notes beside them.

    Args:
        run: the run folder.

    Returns:
        A row a table: title, note, path, header, rows of (text, is a number), and left_out, the
        number of rows beyond the first 60.
    """
    return [_table(path, run) for path in sorted((run / "tables").glob("*.csv"))]


def _table(path: Path, run: Path) -> dict[str, Any]:
    told = dictionary(path.with_suffix(".json"))
    with open(path, encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    return {
        "title": told.get("title") or path.stem.replace("_", " "),
        "note": told.get("note", ""),
        "path": path.relative_to(run).as_posix(),
        "header": header,
        "rows": [[_cell(text) for text in row] for row in rows[:_MOST_ROWS]],
        "left_out": max(len(rows) - _MOST_ROWS, 0),
    }


def _cell(text: str) -> tuple[str, bool]:
    try:
        value = float(text)
    except ValueError:
        return text, False
    short = f"{value:.4g}" if len(text) > 7 and "." in text else text
    return short, True
