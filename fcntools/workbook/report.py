"""The page of a run: everything on disk in a run folder on one index.html, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader

from fcnlib.errors import InputError
from fcnlib.labels import voc_palette
from fcnlib.runtime.files import read_json, write_text
from fcnlib.runtime.progress import duration
from fcntools.workbook import run_contents

_BEGIN, _END = "<!-- results:begin -->", "<!-- results:end -->"
_ROW_KEYS = (*run_contents.METRICS, "network", "mean_iou_spread", "seeds", "images")
_RUN_KEYS = ("command", "machine", "commit")
_INSPECTOR = "inspector.html"  # as `inspector_page` writes it; that one needs TensorFlow
_EYEBROW = b"FCN-GoogLeNet workbook"  # on every page
_TEMPLATES = Path(__file__).resolve().parent


def build(run: Path) -> Path:
    """Write index.html from what is on disk in a run folder; whatever is missing is left out.

    Args:
        run: the folder, with some of record.json, models/*/metrics.json, notebooks/*.ipynb,
            figures/NN_name/*.png (.svg and a .json {"title", "alt"} beside them) and tables/*.csv
            (a .json {"title", "note"} beside them), inspector.html.

    Returns:
        The path of index.html.

    Raises:
        InputError: there is no such folder, or a page in it that is no run's.
    """
    if not run.is_dir():
        raise InputError(f"{run}: no such folder; give the folder of a run")
    target = run / "index.html"
    if target.exists() and _EYEBROW not in target.read_bytes():
        raise InputError(f"{target}: is no page of a run; give the folder of a run")
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": percent, "duration": duration, "link": quote}
    page = environment.get_template("index.html").render(_content(run))
    write_text(target, page)
    return target


def percent(value: float | None) -> str:
    """Return a share 0..1 as percent with one decimal, or a dash for None."""
    return "–" if value is None else f"{100 * value:.1f}"


def _content(run: Path) -> dict[str, Any]:
    record = run_contents.dictionary(run / "record.json")
    networks = run_contents.networks(run)
    figures = run_contents.figures(run)
    counts = {group["name"]: len(group["figures"]) for group in figures}
    title, lead = _headline(run, record, networks)
    dataset = record.get("config", {}).get("dataset", "")
    sections = [
        ("networks", "Networks", networks),
        ("classes", "Classes", run_contents.classes(networks, dataset)),
        ("notebooks", "Notebooks", run_contents.notebooks(run, record, counts)),
        ("figures", "Figures", figures),
        ("tables", "Tables", run_contents.tables(run)),
        ("record", "Run record", record),
    ]
    return {
        "title": title,
        "lead": lead,
        "palette": [f"rgb({r} {g} {b})" for r, g, b in voc_palette(21)[1:].tolist()],
        "facts": _facts(record),
        "failure": _failure(record),
        "scope": _scope(networks, dataset),
        "record_parts": _record_parts(record),
        "sections": sections,
        "inspector": _INSPECTOR if (run / _INSPECTOR).is_file() else "",
        "empty": not any(there for _, _, there in sections),
        **{name: there for name, _, there in sections},
    }


def _scope(networks: list[dict[str, Any]], dataset: str) -> str:
    row = networks[-1] if networks else {}
    images = f"{row['images']} images of" if row.get("images") else ""
    return " ".join(filter(None, (images, row.get("dataset") or dataset, row.get("split"))))


def _headline(run: Path, record: dict[str, Any], networks: list[dict[str, Any]]) -> tuple[str, str]:
    profile = record.get("profile") or run.resolve().name
    if not networks:
        return f"Run “{profile}”", ""
    best = max(networks, key=lambda row: row["mean_iou"])
    data = best.get("dataset") or record.get("config", {}).get("dataset")
    title = f"{best['name']} reaches {percent(best['mean_iou'])}\N{NO-BREAK SPACE}% mean IoU"
    first = networks[0]
    lead = f"Run “{profile}”."
    if len(networks) > 1 and best is not first:
        gain = 100 * (best["mean_iou"] - first["mean_iou"])
        lead += f" {gain:.1f} points more than {first['name']}: what the skips are worth."
    return f"{title} on {data}" if data else title, lead


def _facts(record: dict[str, Any]) -> list[tuple[str, str]]:
    seconds = sum(n.get("seconds") or 0 for n in record.get("notebooks", {}).values())
    machine = record.get("machine", {})
    facts = [
        ("profile", record.get("profile")),
        ("data", record.get("config", {}).get("dataset")),
        ("device", ", ".join(filter(None, map(record.get, ("device", "computed_in"))))),
        (
            "processor",
            f"{machine['cpu']}, {machine.get('cores')} cores" if "cpu" in machine else "",
        ),
        ("notebooks took", duration(seconds) + _stolen(record) if seconds else ""),
        ("seed", record.get("seed")),
        ("started", str(record.get("started", "")).replace("T", " ").replace("Z", " UTC")),
        ("commit", _commit(record)),
    ]
    return [(name, str(value)) for name, value in facts if value not in (None, "")]


def _stolen(record: dict[str, Any]) -> str:
    share = record.get("steal") or 0.0
    return f" ({share:.0%} stolen by other machines)" if share >= 0.01 else ""


def _commit(record: dict[str, Any]) -> str:
    return f"{(record.get('commit') or '')[:10]}{' + changes' if record.get('dirty') else ''}"


def _failure(record: dict[str, Any]) -> str:
    states = {"failed": "The run failed: ", "interrupted": "The run was stopped before its end."}
    return states.get(record.get("state"), "") + record.get("failure", "")


def _record_parts(record: dict[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    titles = {"config": "Settings", "versions": "Versions", "machine": "Machine"}
    rest = {k: v for k, v in record.items() if k not in titles and not isinstance(v, dict)}
    parts = [("The run", rest), *((name, record.get(key, {})) for key, name in titles.items())]
    return [
        (name, [(k.replace("_", " "), _said(v)) for k, v in entries.items()])
        for name, entries in parts
        if entries
    ]


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "unknown" if value is None else str(value) or "–"


def readme_table(results: Path) -> str:
    """Return the results as Markdown: one table, then a line a data set on how they were made.

    Args:
        results: the folder with DATASET/summary.json: a list of {"network", the four metrics
            (shares 0..1), "mean_iou_spread" (share, or null for one seed), "seeds" (how many),
            "images", "command", "machine", "commit"}.

    Returns:
        The text, without the marks around it.

    Raises:
        InputError: no summary is there, or a row lacks a key.
    """
    summaries = sorted(results.glob("*/summary.json"))
    if not summaries:
        raise InputError(f"{results}: holds no DATASET/summary.json to make the table from")
    lines = [
        "| data | network | mean IoU | pixel accuracy | mean accuracy | freq. weighted IoU |",
        "|---|---|--:|--:|--:|--:|",
    ]
    notes = []
    for path in summaries:
        rows, name = _rows(path), path.parent.name
        lines += [_line(name, row) for row in rows]
        for note in dict.fromkeys(_note(row) for row in rows):
            found = {row["commit"]: None for row in rows if _note(row) == note and row["commit"]}
            said = f"commit {', '.join(c[:10] for c in found)}" if found else "no commit"
            notes.append(f"- {name}: {note}, {said}")
    return "\n".join([*lines, "", "Percent; ± is the standard deviation over seeds.", "", *notes])


def _rows(path: Path) -> list[dict[str, Any]]:
    rows = read_json(path)
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path}: is no list of results")
    for number, row in enumerate(rows):
        missing = [k for k in (*_ROW_KEYS, *_RUN_KEYS) if k not in row]
        if missing:
            raise InputError(f"{path}: row {number} lacks {', '.join(missing)}")
    return rows


def _line(dataset: str, row: dict[str, Any]) -> str:
    spread = row["mean_iou_spread"]
    mean_iou = f"**{percent(row['mean_iou'])}**" + (f" ± {percent(spread)}" if spread else "")
    others = ("pixel_accuracy", "mean_accuracy", "frequency_weighted_iou")
    cells = [dataset, row["network"], mean_iou, *(percent(row[key]) for key in others)]
    return f"| {' | '.join(cells)} |"


def _note(row: dict[str, Any]) -> str:
    seeds = f"{row['seeds']} seed{'s' if row['seeds'] != 1 else ''}"
    return f"{row['images']} images, {seeds}, `{row['command']}`, {row['machine']}"


def update_readme(readme: Path, results: Path, check: bool = False) -> bool:
    """Put the table of results between the two marks of the README.

    Args:
        readme: the file; it holds the lines `<!-- results:begin -->` and `<!-- results:end -->`.
        results: the folder with DATASET/summary.json.
        check: change nothing.

    Returns:
        Whether the file was up to date before.

    Raises:
        InputError: the marks are missing, or the results are, or are not complete.
    """
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise InputError(f"{readme}: lacks {_BEGIN} ... {_END} to put the results between")
    new = f"{before}{begin}\n{readme_table(results)}\n{end}{after}"
    if new != text and not check:
        write_text(readme, new)
    return new == text
