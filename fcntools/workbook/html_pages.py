"""An executed notebook as a page that opens without a network."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import nbformat
from jinja2 import FileSystemLoader
from nbconvert import HTMLExporter

from fcnlib.runtime.files import write_text

_WIDGET = "application/vnd.jupyter.widget-view+json"
_HEADING = re.compile(r"^#\s+(.+)$", re.MULTILINE)


def heading(path: Path) -> str:
    """Return the first heading of a notebook; the file's name where it has none or is broken."""
    try:
        cells = nbformat.read(path, as_version=4).cells
    except (OSError, ValueError):  # papermill was killed while it wrote
        return path.stem
    found = (_HEADING.search(c.source) for c in cells if c.cell_type == "markdown")
    return next((match[1].strip() for match in found if match), path.stem)


def write_page(path: Path) -> None:
    """Write an executed notebook (.ipynb) as HTML beside it, without anything from a server.

    A widget, which needs a kernel, is replaced by a sentence that says so. There is no page where
    there is no readable notebook.
    """
    try:
        node = nbformat.read(path, as_version=4)
    except (OSError, ValueError):
        return
    node.metadata.pop("widgets", None)
    node.metadata["title"] = heading(path)
    for output in (o for cell in node.cells for o in cell.get("outputs", [])):
        if output.get("data", {}).pop(_WIDGET, None):
            output["data"]["text/plain"] = "A widget: open this notebook in JupyterLab to use it."
    exporter = HTMLExporter(
        extra_loaders=[FileSystemLoader(Path(__file__).resolve().parent)],
        template_file="page.html.j2",
        embed_images=True,
        exclude_anchor_links=True,
        log=logging.getLogger("fcnlib.nbconvert"),
    )
    exporter.log.setLevel(logging.ERROR)  # it warns of figures without alt text
    resources = {"metadata": {"name": path.stem, "path": str(path.parent)}}
    write_text(path.with_suffix(".html"), exporter.from_notebook_node(node, resources)[0])
