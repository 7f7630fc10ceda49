"""The page of a run: everything on disk in a run folder on one index.html, without a network."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader
from tqdm import tqdm

from fcnlib.labels import voc_palette
from fcnlib.runtime.files import read_json, write_text
from fcntools.workbook.html_pages import heading

METRICS = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")
COMPARISON = "tables/comparison.csv"  # in a run folder: a row a system of `fcnlib compare`
_PLAIN = re.compile(r"FCN-\d+s")
_MOST_ROWS = 60


def build(run: Path) -> Path:
    """Write index.html from what is on disk in a run folder, and return its path.

    It shows what there is of record.json, models/*/metrics.json, notebooks/*.ipynb, inspector.html,
    figures/NAME/*.png (.svg and a .json {"title", "alt"} beside them) and tables/**/*.csv (a .json
    {"title", "note"} beside them).
    """
    loader = FileSystemLoader(Path(__file__).resolve().parent)
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": percent, "duration": tqdm.format_interval, "link": quote}
    record, rows = dictionary(run / "record.json"), networks(run)
    sections = {"networks": rows, "classes": classes(rows), "notebooks": []}
    for path in sorted(run.glob("notebooks/*.ipynb")):
        about = {"title": heading(path), "paged": path.with_suffix(".html").is_file()}
        sections["notebooks"].append({"name": path.stem, **about})
    sections |= {"figures": _figures(run), "tables": _tables(run), "record": record}
    page = environment.get_template("index.html").render(
        record={"config": {}, "machine": {}, "versions": {}, "notebooks": {}} | record,
        profile=record.get("profile") or run.resolve().name,
        palette=[f"rgb({r} {g} {b})" for r, g, b in voc_palette(21)[1:].tolist()],
        inspector="inspector.html" if (run / "inspector.html").is_file() else "",
        sections=sections,
    )
    write_text(run / "index.html", page)
    return run / "index.html"


def percent(value: float | None) -> str:
    """Return a share 0..1 as percent with one decimal, or a dash for None."""
    return "–" if value is None else f"{100 * value:.1f}"


def dictionary(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; an empty one where there is none."""
    tree = read_json(path)
    return tree if isinstance(tree, dict) else {}


def networks(run: Path) -> list[dict[str, Any]]:
    """Return a row a network from models/*/metrics.json of a run folder, coarsest stride first.

    It has name, the four METRICS (shares 0..1), iou (list or None), gain (points over the network
    of the chain before it, as text, or None), best (bool), and classes, dataset, split, images
    where the file tells them.
    """
    rows = []
    for path in (run / "models").glob("*/metrics.json"):
        tree = dictionary(path)
        values = tree.get("scores", tree)
        if isinstance(values.get("mean_iou"), int | float):
            name = tree.get("network") or path.parent.name.replace("fcn-", "FCN-")
            row = {"name": name, **{key: values.get(key) for key in (*METRICS, "iou")}}
            rows.append(row | {k: tree.get(k) for k in ("classes", "dataset", "split", "images")})
    rows.sort(key=lambda row: (-int((re.search(r"\d+", row["name"]) or "0")[0]), row["name"]))
    best, start = max((row["mean_iou"] for row in rows), default=None), None
    for row in rows:
        row["best"] = row["mean_iou"] == best
        row["gain"] = f"{100 * (row['mean_iou'] - start['mean_iou']):+.1f}" if start else None
        if _PLAIN.fullmatch(row["name"]):  # nothing starts from a control, "FCN-32s, same steps"
            start = row
    return rows


def classes(rows: list[dict[str, Any]]) -> list[tuple[str, list[float | None]]]:
    """Return [(class, [IoU of each network])] for the rows of `networks`, [] where one lacks it."""
    names = next((row["classes"] for row in rows if row["classes"]), ())
    if any(len(row["iou"] or ()) != len(names) for row in rows):
        return []
    return [(name, [row["iou"][i] for row in rows]) for i, name in enumerate(names)]


def _figures(run: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the figures of each notebook by its name."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(run.glob("figures/*/*.png")):
        # The page keeps a place of this size free, in pixels.
        about = {"title": path.stem.replace("_", " "), "size": (0, 0)}
        about |= dictionary(path.with_suffix(".json"))
        place = path.relative_to(run).with_suffix("").as_posix()
        about |= {"place": place, "svg": path.with_suffix(".svg").is_file()}
        groups.setdefault(path.parent.name, []).append(about)
    return groups


def _tables(run: Path) -> list[dict[str, Any]]:
    tables = []
    for path in sorted(run.glob("tables/**/*.csv")):
        with open(path, encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file)) or [[]]
        about = {"title": path.stem.replace("_", " ")} | dictionary(path.with_suffix(".json"))
        about |= {"path": path.relative_to(run).as_posix(), "header": header}
        about["rows"] = [[_cell(text) for text in row] for row in rows[:_MOST_ROWS]]
        tables.append(about | {"left_out": len(rows) - len(about["rows"])})
    return tables


def _cell(text: str) -> tuple[str, bool]:
    """Return a cell's text, a long number shortened, and whether it is a number."""
    try:
        value = float(text)
    except ValueError:
        return text, False
    return f"{value:.4g}" if len(text) > 7 and "." in text else text, True
