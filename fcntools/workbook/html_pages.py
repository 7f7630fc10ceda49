"""An executed notebook as a page that opens without a network."""

from __future__ import annotations

import base64
import copy
import html
import io
import logging
import re
import threading
from pathlib import Path

import nbformat
from jinja2 import DictLoader
from matplotlib import mathtext, rc_context
from matplotlib.font_manager import FontProperties
from nbconvert import HTMLExporter

from fcnlib.runtime.files import write_text

_WIDGET = "application/vnd.jupyter.widget-view+json"
# Code is matched first, so that a dollar sign in it is left alone.
_FORMULA = re.compile(
    r"```.*?```|`[^`\n]*`|\$\$(?P<block>.+?)\$\$|(?<![\\$\w])\$(?P<inline>[^\s$](?:[^$\n]*[^\s$])?)\$(?!\d)",
    re.DOTALL,
)
_SHORT = re.compile(r"(\\[lg]e)(?![A-Za-z])")  # Matplotlib knows \leq and \geq only
_ONE_AT_A_TIME = threading.Lock()  # Matplotlib's reader of formulas is shared by all threads
_HEADING = re.compile(r"^#\s+(.+)$", re.MULTILINE)
# nbconvert's own page waits for require.js, MathJax and mermaid from other people's servers.
_TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block jupyter_widgets %}{% endblock %}
{% block extra_css %}<style>
body.jp-Notebook { max-width: 62rem; margin: 0 auto; padding: 1rem; }
.back { font: 14px system-ui, sans-serif; padding: .5rem 0 1rem; }
.back a { color: #2f6f8f; text-decoration: underline; }
.jp-RenderedImage img { height: auto; }
.formula { vertical-align: middle; }
.formula.block { display: block; margin: .8rem auto; max-width: 100%; }
@media (max-width: 45rem) {
  .jp-InputPrompt, .jp-OutputPrompt { display: none; }
  body.jp-Notebook { padding: .5rem; }
}
</style>{% endblock %}
{% block body_header %}{{ super() }}
<nav class="back"><a href="../index.html">The whole run</a></nav>
{% endblock %}
"""


def heading(path: Path) -> str:
    """Find the title of a notebook.

    Args:
        path: the .ipynb file; it need not be readable.

    Returns:
        Its first heading, or the file's name where it has none.
    """
    try:
        cells = nbformat.read(path, as_version=4).cells
    except (OSError, ValueError, nbformat.ValidationError):
        return path.stem
    found = (_HEADING.search(c.source) for c in cells if c.cell_type == "markdown")
    return next((match.group(1).strip() for match in found if match), path.stem)


def write_page(path: Path) -> Path | None:
    """Write an executed notebook as HTML beside it.

    The page asks no server for anything: formulas are drawn into it (one that Matplotlib cannot
    draw stays TeX), and a widget, which needs a kernel, is replaced by a sentence that says so.

    Args:
        path: the .ipynb file.

    Returns:
        The page, or None where there is no readable notebook.
    """
    with _ONE_AT_A_TIME:
        return _write_page(path)


def _write_page(path: Path) -> Path | None:
    try:
        node = nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError):
        return None
    exporter = HTMLExporter(
        extra_loaders=[DictLoader({"page.html.j2": _TEMPLATE})],
        template_file="page.html.j2",
        embed_images=True,
        exclude_anchor_links=True,
        log=logging.getLogger("fcnlib.nbconvert"),
    )
    exporter.log.setLevel(logging.ERROR)  # it warns of figures without alt text
    node = _readable(node)
    node.metadata["title"] = heading(path)
    resources = {"metadata": {"name": path.stem, "path": str(path.parent)}}
    page, _ = exporter.from_notebook_node(node, resources)
    target = path.with_suffix(".html")
    write_text(target, page)
    return target


def _readable(node: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a copy with formulas drawn and without widgets: no MathJax, no kernel is needed."""
    node = copy.deepcopy(node)
    node.metadata.pop("widgets", None)
    for cell in node.cells:
        if cell.cell_type == "markdown":
            cell.source = _FORMULA.sub(_drawn, cell.source)
        for output in cell.get("outputs", []):
            if _WIDGET in output.get("data", {}):
                del output["data"][_WIDGET]
                output["data"]["text/plain"] = (
                    "A widget: open this notebook in JupyterLab to use it."
                )
    return node


def _drawn(match: re.Match[str]) -> str:
    tex = match["block"] or match["inline"]
    if tex is None:
        return match[0]
    picture, plain = io.BytesIO(), _SHORT.sub(r"\1q", " ".join(tex.split()))
    try:
        with rc_context({"mathtext.fontset": "cm"}):
            size = FontProperties(size=13)
            depth = mathtext.math_to_image(f"${plain}$", picture, size, format="svg")
    except ValueError:  # a command that mathtext does not know
        return match[0]
    data = base64.b64encode(picture.getvalue()).decode()
    kind, style = ("block", "") if match["block"] else ("", f"vertical-align: -{depth:.1f}pt")
    return (
        f'<img class="formula {kind}" style="{style}" alt="{html.escape(tex)}"'
        f' src="data:image/svg+xml;base64,{data}">'
    )
