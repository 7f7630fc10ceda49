from __future__ import annotations

import html
import json
import re
from pathlib import Path
from urllib.parse import unquote

import nbformat
import numpy as np
import pytest
from notebook_maker import write_notebook
from PIL import Image

from fcnlib.config import Config
from fcnlib.labels import SHAPES
from fcnlib.runtime import files, run_record
from fcntools.workbook import html_pages, report


def picture(path: Path, width: int, height: int, told: dict | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height)).save(path)
    if told:
        path.with_suffix(".svg").write_text("<svg/>")
        files.write_json(path.with_suffix(".json"), told)


@pytest.fixture
def finished(tmp_path):
    """A run folder with something in every room."""
    out = tmp_path / "run 1"
    for name in ("00_data", "03_skip fusion"):
        path = write_notebook(out / "notebooks" / f"{name}.ipynb", "1 + 1")
        html_pages.write_page(path)
    told = {"title": "Skips help <b>borders</b>", "alt": 'Bars, "8s" highest', "size": [400, 300]}
    picture(out / "figures" / "03_skip fusion" / "bars #1.png", 400, 300, told)
    picture(out / "figures" / "03_skip fusion" / "wide.png", 900, 200, {"size": [900, 200]})
    picture(out / "figures" / "03_skip fusion" / "older.png", 300, 300)
    for stride, value in ((8, 0.7), (32, 0.5), (16, 0.625)):
        iou = [value] * 8 + [None]
        row = {"network": f"FCN-{stride}s", "split": "val", "images": 5, "mean_iou": value}
        row |= {
            "classes": SHAPES.classes,
            "pixel_accuracy": 0.9,
            "mean_accuracy": 0.8,
            "frequency_weighted_iou": 0.85,
        }
        folder = out / "models" / f"fcn-{stride}s"
        files.write_json(folder / "metrics.json", row | {"iou": iou})
    tables = out / "tables" / "00_data"
    tables.mkdir(parents=True)
    (tables / "costs.csv").write_text("what,seconds\n<i>all</i>,12.3456789\nrest,7\n")
    files.write_json(tables / "costs.json", {"title": "Costs & time", "note": "One."})
    (out / "tables" / "bare.csv").write_text("older\n" + "1\n" * 70)  # as of `fcnlib compare`
    extra = {"state": "finished", "profile": "quick", "notebooks": {"00_data": {"seconds": 75.0}}}
    record = run_record.capture(
        Config(), started=run_record.start(), device={"device": "CPU"}, extra=extra
    )
    files.write_json(out / "record.json", record)
    return out


def links(page: Path) -> list[str]:
    found = re.findall(r'(?:href|src)="([^"]*)"', page.read_text(encoding="utf-8"))
    return [html.unescape(link) for link in found]


def test_every_link_of_the_index_leads_somewhere_and_none_out(finished):
    page = report.build(finished)
    text = page.read_text(encoding="utf-8")
    found = links(page)
    assert len(found) > 12
    for link in found:
        if link.startswith("#"):
            assert f'id="{link[1:]}"' in text, link
        else:
            assert ":" not in link and not link.startswith("/")
            assert (finished / unquote(link)).is_file(), link
    assert "http" not in text
    assert str(finished) not in text


def test_the_index_shows_what_is_there(finished):
    text = report.build(finished).read_text(encoding="utf-8")
    rows = re.findall(r'<th scope="row">(FCN-\d+s)</th>\s*<td[^>]*><b>([\d.]+)</b>', text)
    assert rows == [("FCN-32s", "50.0"), ("FCN-16s", "62.5"), ("FCN-8s", "70.0")]
    assert "+12.5" in text and "+7.5" in text
    assert "FCN-8s reaches 70.0\N{NO-BREAK SPACE}% mean IoU on shapes" in text
    for name in SHAPES.classes:
        assert f'<th scope="row">{name}</th>' in text
    assert ">–</td>" in text  # the absent class
    assert "1:15" in text and "did not finish" in text  # 00 has a time, 03 has none
    assert "12.35" in text and "10 more rows" in text
    assert text.count("<summary>Costs &amp; time") == 1
    assert "5 images of shapes val" in text


def test_titles_are_text_and_alt_text_comes_from_the_notebook(finished):
    text = report.build(finished).read_text(encoding="utf-8")
    assert "Skips help &lt;b&gt;borders&lt;/b&gt;" in text
    assert 'alt="Bars, &#34;8s&#34; highest" width="400" height="300"' in text
    assert 'alt="wide" width="900" height="200"' in text
    assert 'alt="older" loading' in text, "its size was not kept"
    assert text.count('class="broad"') == 1
    assert "&lt;i&gt;all&lt;/i&gt;" in text
    assert "About 00_data &amp; more" in text


def test_a_gain_counts_from_where_the_network_starts(finished):
    row = files.read_json(finished / "models" / "fcn-32s" / "metrics.json")
    row |= {"network": "FCN-32s, same steps", "mean_iou": 0.55}
    files.write_json(finished / "models" / "fcn-32s-longer" / "metrics.json", row)
    rows = [(row["name"], row["gain"]) for row in report.networks(finished)]
    names = ["FCN-32s", "FCN-32s, same steps", "FCN-16s", "FCN-8s"]
    assert rows == list(zip(names, [None, "+5.0", "+12.5", "+7.5"], strict=True))


def test_a_failed_run_says_so(finished):
    record = files.read_json(finished / "record.json")
    record |= {"state": "failed", "failure": "03_skip failed in cell 2 of 9"}
    files.write_json(finished / "record.json", record)
    text = report.build(finished).read_text(encoding="utf-8")
    assert "The run failed: 03_skip failed in cell 2 of 9" in text
    assert 'role="alert"' in text


@pytest.mark.parametrize("seed", [0, 1])
def test_a_number_is_not_taken_for_yes_or_no(finished, seed):
    record = files.read_json(finished / "record.json") | {"seed": seed, "dirty": False}
    files.write_json(finished / "record.json", record)
    text = report.build(finished).read_text(encoding="utf-8")
    assert f"<dt>seed</dt><dd>{seed}</dd>" in text
    assert "<dt>dirty</dt><dd>no</dd>" in text


def test_an_empty_folder_gives_a_page(tmp_path):
    assert "Nothing has been written" in report.build(tmp_path).read_text(encoding="utf-8")


def test_half_written_files_do_not_stop_the_page(finished):
    for name in ("record.json", "models/fcn-8s/metrics.json", "notebooks/00_data.ipynb"):
        (finished / name).write_text("{")
    (finished / "tables" / "bare.csv").write_text("")
    text = report.build(finished).read_text(encoding="utf-8")
    assert "FCN-16s reaches 62.5" in text
    assert "FCN-8s" not in text


def test_classes_need_a_value_each():
    rows = [{"classes": ["a", "b"], "iou": [0.5, 0.25]}, {"classes": None, "iou": [0.75, None]}]
    assert report.classes(rows) == [("a", [0.5, 0.75]), ("b", [0.25, None])]
    assert report.classes([{"classes": ["a", "b"], "iou": [0.5]}]) == []


def test_a_page_needs_no_network(tmp_path):
    new = nbformat.v4
    view = "application/vnd.jupyter.widget-view+json"
    data = {view: {"model_id": "m", "version_major": 2}, "text/plain": "VBox(children=())"}
    cell = new.new_code_cell("w", outputs=[new.new_output("display_data", data=data)])
    node = new.new_notebook(cells=[new.new_markdown_cell("# Maps"), cell])
    state = {"version_major": 2, "version_minor": 0, "state": {"m": {"model_name": "VBoxModel"}}}
    node.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": state}
    nbformat.write(node, tmp_path / "01_a.ipynb")
    html_pages.write_page(tmp_path / "01_a.ipynb")
    text = (tmp_path / "01_a.html").read_text(encoding="utf-8")
    assert re.findall(r'<script[^>]*src="([^"]*)"', text) == []
    assert re.findall(r'<link[^>]*href="([^"]*)"', text) == []
    assert re.findall(r'(?:src|href)="(https?:[^"]*)"', text) == []
    assert "A widget: open this notebook in JupyterLab" in text and "VBox(" not in text


def test_no_notebook_no_page(tmp_path):
    html_pages.write_page(tmp_path / "01_a.ipynb")
    assert list(tmp_path.iterdir()) == []
    assert html_pages.heading(tmp_path / "01_a.ipynb") == "01_a"


def test_metrics_written_by_numpy_are_read(tmp_path):
    scores = {"mean_iou": np.float64(0.5), "iou": np.array([0.5, np.nan])}
    files.write_json(tmp_path / "models" / "fcn-4s" / "metrics.json", {"scores": scores})
    (row,) = report.networks(tmp_path)
    assert (row["name"], row["mean_iou"], row["iou"]) == ("FCN-4s", 0.5, [0.5, None])
    assert json.dumps(row)
