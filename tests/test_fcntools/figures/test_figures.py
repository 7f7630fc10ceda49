"""Figures: what is drawn where, and what is written to disk."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from fcnlib.blocks import INCEPTION_V3
from fcnlib.datasets.camvid import CAMVID
from fcnlib.geometry import fields
from fcnlib.labels import SHAPES, VOID
from fcntools.figures import charts, pictures, style
from fcntools.figures.style import DPI, title_height

LONG = "A finding that takes more than one line because it names every number, 12.3 %, and why " * 2


def drawn(figure):
    """Draw a figure; return its texts as namespaces of text and box in pixels, arrows left out."""
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    return [
        SimpleNamespace(text=artist.get_text(), box=Text.get_window_extent(artist, renderer))
        for artist in figure.findobj(lambda a: isinstance(a, Text) and a.get_visible())
        if artist.get_text()
    ]


def inside(figure, box):
    width, height = figure.get_size_inches() * DPI
    return box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    mask = np.zeros((40, 60), np.uint8)
    mask[5:20, 10:30] = 3
    mask[4, 10:30] = VOID
    return rng.integers(0, 256, (40, 60, 3), np.uint8), mask


def test_a_figure_is_saved_as_png_svg_and_json(tmp_path):
    figure = charts.bars(["a", "b"], [1, 2], "Two is more than one", "%")
    png = style.save_figure(figure, tmp_path / "deep" / "two.png", "Two", "Two bars.")
    assert sorted(p.name for p in png.parent.iterdir()) == ["two.json", "two.png", "two.svg"]
    with Image.open(png) as picture:
        about = {"title": "Two", "alt": "Two bars.", "size": list(picture.size)}
    assert json.loads(png.with_suffix(".json").read_text()) == about
    assert png.with_suffix(".svg").read_text().lstrip().startswith("<?xml")


def test_the_same_figure_gives_the_same_files(tmp_path):
    files = []
    for name in ("one", "two"):
        figure = charts.curves({"a": ([0, 1], [1, 2])}, "Up", "step", "loss")
        png = style.save_figure(figure, tmp_path / name / "f.png", "Up", "A line.")
        files.append((png.read_bytes(), png.with_suffix(".svg").read_bytes()))
    assert files[0] == files[1]


def test_a_failed_save_leaves_nothing(tmp_path):
    figure = charts.bars(["a"], [1], "One", "%")
    figure.savefig = lambda *args, **kwargs: 1 / 0
    with pytest.raises(ZeroDivisionError):
        style.save_figure(figure, tmp_path / "f.png", "One", "A bar.")
    assert list(tmp_path.iterdir()) == []


def test_overlay_leaves_background_clear_and_mixes_the_rest(pair):
    image, mask = pair
    found = pictures.overlay(image, mask, SHAPES, alpha=0.5)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[mask == 0], image[mask == 0])
    expected = np.round((image[10, 15].astype(float) + SHAPES.palette[3]) / 2)
    np.testing.assert_array_equal(found[10, 15], expected)
    # where class 0 is a thing like any other, it is painted
    np.testing.assert_array_equal(
        pictures.overlay(image, mask, CAMVID, 1)[30, 50], CAMVID.palette[0]
    )


def test_heat_overlay_is_dark_where_cold_and_bright_where_hot():
    image = np.full((2, 2, 3), 100, np.uint8)
    found = pictures.heat_overlay(image, np.array([[0, 0.5], [1, 7.0]]))
    sums = found.sum(axis=2)
    assert sums[0, 0] < sums[0, 1] < sums[1, 0] == sums[1, 1]


def test_spread_out_gives_every_pixel_its_nearest_sample_point():
    values = np.array([[0, 1, 2]])
    found = pictures.spread_out(values, 0, 4, (1, 9))[0]
    assert found.tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 2]
    assert pictures.spread_out(values, 5, 4, (1, 16))[0].tolist() == [0] * 7 + [1] * 4 + [2] * 5
    assert pictures.spread_out(np.zeros((2, 2, 5)), 0, 32, (33, 33)).shape == (33, 33, 5)


def test_spread_out_puts_every_value_on_its_own_sample_point():
    field = fields(INCEPTION_V3, 129, "SAME")["Mixed_7c"]
    values = np.arange(field.size**2).reshape(field.size, field.size)
    found = pictures.spread_out(values, field.start, field.stride, (129, 129))
    at = np.array(field.sample_points(), int)
    np.testing.assert_array_equal(found[np.ix_(at, at)], values)


def test_a_grid_has_its_pictures_names_captions_and_legend(pair):
    image, mask = pair
    rows = [[image, SHAPES.colorize(mask), None], [image, image, np.eye(3)]]
    figure = pictures.picture_grid(
        rows,
        ["one", "two"],
        ["image", "label map", "scores"],
        LONG,
        legend_of=(SHAPES, np.unique(mask)),
        captions=[["IoU 12.3 %", "", ""], ["", "", "x"]],
        marks={(1, 2): np.array([[1, 2]])},
    )
    texts = drawn(figure)
    said = [t.text for t in texts]
    assert len(figure.axes) == 6
    for word in ("one", "two", "image", "label map", "scores", "IoU 12.3 %", "x"):
        assert said.count(word) == 1
    assert [w for w in said if w in (*SHAPES.classes, "void")] == ["background", "star", "void"]
    assert all(inside(figure, t.box) for t in texts), [t.text for t in texts]
    for axes, picture in zip(figure.axes, itertools.chain(*rows), strict=True):
        if picture is None:
            assert not axes.images
        else:
            (shown,) = axes.images
            assert shown.get_array().shape == picture.shape


def test_texts_of_a_grid_do_not_overlap(pair):
    image, _ = pair
    figure = pictures.picture_grid(
        [[image] * 3] * 2,
        ["row"] * 2,
        ["a name", "a rather long name of a column that wraps", "c"],
        LONG,
        legend_of=(SHAPES, range(9)),
        captions=[["below", "below", "below"]] * 2,
    )
    boxes = [t.box for t in drawn(figure)] + [a.get_window_extent() for a in figure.axes]
    for i, one in enumerate(boxes):
        for other in boxes[i + 1 :]:
            wide = min(one.x1, other.x1) - max(one.x0, other.x0)
            high = min(one.y1, other.y1) - max(one.y0, other.y0)
            assert wide < 1 or high < 1


@pytest.mark.parametrize("width", [4.0, 8.5])
def test_a_title_is_wrapped_into_its_figure_and_stays_above_the_axes(width):
    figure = style.blank_figure(width, 5, LONG)
    axes = figure.subplots()
    title = next(t for t in drawn(figure) if t.text.startswith("A finding"))
    assert inside(figure, title.box)
    assert title.box.height / DPI <= title_height(LONG, width)
    assert title.box.y0 >= axes.get_window_extent().y1


def test_a_figure_without_title_has_none():
    figure = style.blank_figure(4, 3, "")
    figure.subplots()
    assert not [t for t in drawn(figure) if len(t.text) > 4]


def test_curves_name_their_lines_beside_the_plot():
    x = np.arange(30)
    series = {"FCN-32s": (x, x + 0.0), "FCN-16s": (x, x + 0.1, 0.5 + 0 * x), "FCN-8s": (x, x + 0.2)}
    figure = charts.curves(series, "All end alike", "step", "mean IoU (%)")
    texts = {t.text: t.box for t in drawn(figure)}
    boxes = [texts[name] for name in series]
    assert all(inside(figure, box) for box in boxes)
    assert all(box.x0 > figure.axes[0].get_window_extent().x1 for box in boxes)
    assert len(figure.axes[0].collections) == 1, "one band"


def test_one_curve_has_no_name_and_gaps_are_kept():
    figure = charts.curves({"loss": ([0, 1, 2], [3, np.nan, 1])}, "Down", "step", "loss", log=True)
    assert "loss" in [t.text for t in drawn(figure)], "the axis has"
    assert np.isnan(figure.axes[0].lines[0].get_ydata()[1])
    assert figure.axes[0].get_yscale() == "log"


def test_bars_write_their_values_and_a_dash_for_none():
    figure = charts.bars(
        ["a", "b", "c"],
        [10, np.nan, 30],
        "Three",
        "%",
        errors=[1, 0, 2],
        reference=(20, "floor"),
        colours=SHAPES.palette[:3],
    )
    said = [t.text for t in drawn(figure)]
    assert {"10.0", "–", "30.0", "floor", "a", "b", "c", "%"} <= set(said)
    patches = figure.axes[0].patches
    assert [p.get_width() for p in patches] == [10, 0, 30]
    np.testing.assert_allclose(patches[1].get_facecolor()[:3], SHAPES.palette[1] / 255)
    places = {
        t.get_text(): p for t, p in zip(figure.axes[0].get_yticklabels(), range(3), strict=True)
    }
    assert places == {"a": 0, "b": 1, "c": 2}
    assert figure.axes[0].yaxis_inverted(), "the first on top"


def test_groups_of_bars_have_a_legend():
    values = {"32s": [1, 2], "16s": [3, 4]}
    errors = {"32s": [0.1, 0.1], "16s": [0.2, 0.2]}
    figure = charts.bars(["a", "b"], values, "Two series", "%", errors=errors, digits=0)
    texts = drawn(figure)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["32s", "16s"]
    named = [t for t in texts if t.text in ("Two series", "a", "b", "%", "32s", "16s")]
    assert len(named) == 6 and all(inside(figure, t.box) for t in named)
    widths = [p.get_width() for p in figure.axes[0].patches]
    assert widths == [1, 2, 3, 4]
    bottoms = sorted((p.get_y(), p.get_height()) for p in figure.axes[0].patches)
    assert all(a + h <= b + 1e-9 for (a, h), (b, _) in itertools.pairwise(bottoms))


def test_a_confusion_matrix_is_in_percent_of_its_rows():
    matrix = np.array([[8, 2, 0], [0, 0, 0], [1, 1, 2]])
    figure = charts.confusion(matrix, ["a", "b", "c"], "Most are right")
    shown = np.asarray(figure.axes[0].images[0].get_array().filled(np.nan))
    np.testing.assert_allclose(shown[0], [80, 20, 0])
    assert np.isnan(shown[1]).all(), "a class without pixels has no percent"
    cells = {(t.get_position(), t.get_text()) for t in figure.axes[0].texts}
    assert cells == {
        ((0, 0), "80"),
        ((1, 0), "20"),
        ((0, 2), "25"),
        ((1, 2), "25"),
        ((2, 2), "50"),
    }


def test_co_occurrence_is_in_percent_of_the_images_of_the_rows_class():
    """Four images: a in all, b in two of them, c in none."""
    together = np.array([[4, 2, 0], [2, 2, 0], [0, 0, 0]])
    figure = charts.co_occurrence(together, ["a", "b", "c"], "b comes with a")
    shown = np.asarray(figure.axes[0].images[0].get_array().filled(np.nan))
    np.testing.assert_allclose(shown[:2], [[100, 50, 0], [100, 100, 0]])
    assert np.isnan(shown[2]).all()


def test_sample_points_are_drawn_where_the_geometry_says():
    image = np.zeros((129, 129, 3), np.uint8)
    panels = {
        padding: {
            name: fields(INCEPTION_V3, 129, padding)[name] for name in ("Mixed_6e", "Mixed_7c")
        }
        for padding in ("VALID", "SAME")
    }
    figure = pictures.sample_points(image, panels, "They meet")
    for axes, chosen in zip(figure.axes, panels.values(), strict=True):
        for dots, field in zip(axes.collections, chosen.values(), strict=True):
            at = field.sample_points()
            expected = {(x, y) for x in at for y in at}
            assert {tuple(p) for p in np.asarray(dots.get_offsets())} == expected
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["Mixed_6e", "Mixed_7c"]
