"""Pictures of `shapes`: the masks are true, the forms tell the class, fine strides pay."""

import numpy as np
import pytest

from fcnlib.labels import SHAPES, VOID
from fcnlib.metrics import confusion_matrix, scores
from fcntools.synthetic import shapes

SIZE = 129


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture(scope="module")
def scenes():
    """Return 64 scenes as (image, mask) pairs, every class first in 8 of them."""
    return [
        shapes.draw_scene(np.random.default_rng([11, index]), SIZE, 1 + index % 8)
        for index in range(64)
    ]


def test_every_class_occurs_and_background_prevails(scenes):
    masks = np.stack([mask for _, mask in scenes])
    share = np.bincount(masks.ravel(), minlength=256) / masks.size
    assert (share[: SHAPES.num_classes] > 0.004).all()
    assert 0.6 < share[0] < 0.9
    assert 0.01 < share[VOID] < 0.1
    assert share[: SHAPES.num_classes].sum() + share[VOID] == pytest.approx(1)


def test_scenes_hold_one_to_four_objects(monkeypatch):
    counts = []
    add = shapes._Painter.add
    monkeypatch.setattr(shapes._Painter, "add", lambda *a: counts.append(a[1]) or add(*a))
    numbers = []
    for index in range(40):
        counts.clear()
        shapes.draw_scene(np.random.default_rng([12, index]), SIZE, 5)
        assert counts[0] == 5  # the class asked for comes first
        numbers.append(len(counts))
    assert set(numbers) == {1, 2, 3, 4}


def test_a_border_is_void_on_both_sides():
    owner = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]], np.uint8)
    expected = [[0, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]]
    np.testing.assert_array_equal(shapes._borders(owner), np.array(expected, bool))


def test_void_parts_whatever_differs_and_is_thin(scenes):
    for _, mask in scenes:
        for one, other in ((mask[1:], mask[:-1]), (mask[:, 1:], mask[:, :-1])):
            assert ((one == other) | (one == VOID) | (other == VOID)).all()
    thick = []
    for _, mask in scenes:
        void = np.pad(mask == VOID, 1)
        buried = void[:-2, 1:-1] & void[2:, 1:-1] & void[1:-1, :-2] & void[1:-1, 2:]
        thick.append(buried.sum() / void.sum())
    assert np.mean(thick) < 0.1  # two pixels wide: hardly one has void on all four sides


def test_the_mask_lies_on_its_object(scenes):
    """The picture is steeper on the void borders than three pixels beside them."""

    def steepness(image, border):
        grey = image.astype(float).mean(axis=2)
        slope = np.hypot(*np.gradient(grey))
        return slope[border].mean()

    there, beside = [], []
    for image, mask in scenes:
        there.append(steepness(image, mask == VOID))
        beside += [
            steepness(image, np.roll(mask == VOID, (3 * sign, 3 * sign), (0, 1)))
            for sign in (-1, 1)
        ]
    assert np.mean(there) > 1.5 * np.mean(beside)


def test_outlines_are_true_to_a_quarter_pixel():
    center, radius = np.array([40.3, 38.6]), 20.0
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    circle = center + radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    hole = center + (circle - center) / 2
    cover = np.asarray(shapes._rasterized([(circle, 1), (hole, 0)], 80)) / 255
    assert cover.sum() == pytest.approx(np.pi * radius**2 * 0.75, rel=0.02)
    middles = np.stack(np.meshgrid(np.arange(80), np.arange(80)), axis=-1) + 0.5  # x, y
    mean = (cover[..., None] * middles).sum(axis=(0, 1)) / cover.sum()
    np.testing.assert_allclose(mean, center, atol=0.25)
    assert cover[38, 40] == 0


@pytest.mark.parametrize("name", shapes.FORMS)
def test_a_placed_form_fills_its_circle(name, rng):
    for _ in range(20):
        diameter = rng.uniform(28, 90)
        center = rng.uniform(30, 90, 2)
        form = shapes._placed(shapes.FORMS[name](rng), center, diameter, rng)
        solid = np.concatenate([points for points, fill in form if fill])
        reach = np.sqrt(((solid - center) ** 2).sum(axis=1))
        assert reach.max() == pytest.approx(diameter / 2)
        assert np.ptp(solid, axis=0).max() > 0.55 * diameter


def test_holes_show_what_is_behind(rng):
    for name, holed in (("disk", False), ("ring", True), ("gear", True)):
        form = [(points * 30 + 40, fill) for points, fill in shapes.FORMS[name](rng)]
        assert (np.asarray(shapes._rasterized(form, 80))[40, 40] == 0) == holed


def test_colour_does_not_tell_the_class(scenes):
    """The nearest mean colour, learned on half of the scenes, guesses hardly above chance."""
    seen = [
        [(c, image[mask == c].mean(axis=0)) for c in np.unique(mask) if 0 < c < VOID]
        for image, mask in scenes
    ]
    known = [pair for pairs in seen[:32] for pair in pairs]
    asked = [pair for pairs in seen[32:] for pair in pairs]
    means = {c: np.mean([v for d, v in known if d == c], axis=0) for c, _ in known}
    guesses = [min(means, key=lambda c: np.abs(means[c] - v).sum()) for _, v in asked]
    right = np.mean([g == c for g, (c, _) in zip(guesses, asked, strict=True)])
    assert len(asked) > 60
    assert right < 0.3  # chance is 1/8; mere chance passes 0.3 once in thousands of such trials


def test_finer_strides_earn_their_place(scenes):
    """Even a perfect network that answers once a cell loses what is finer than the cell."""

    def best(stride):
        matrix = 0
        at = np.minimum((np.arange(SIZE) + stride // 2) // stride * stride, SIZE - 1)
        for _, mask in scenes:
            answer = mask[np.ix_(at, at)]
            answer = np.where(answer == VOID, 0, answer)
            matrix += confusion_matrix(mask, answer, SHAPES.num_classes)
        return 100 * scores(matrix).mean_iou

    coarse, middle, fine = best(32), best(16), best(8)
    assert coarse + 10 < middle and middle + 10 < fine
    assert fine > 70  # so that 75 is within reach of interpolated answers


def test_a_single_object_stands_out_about_the_middle():
    for c in range(1, SHAPES.num_classes):
        mean = []
        for index in range(12):
            plain, drawn = (
                shapes._draw_object(np.random.default_rng([13, index]), 97, k).astype(float)
                for k in (0, c)
            )
            # the same generator draws the same clutter, so what differs is object and noise
            changed = np.abs(plain - drawn).mean(axis=2) > 60
            if changed.any():
                mean.append(np.argwhere(changed).mean(axis=0))
        assert len(mean) > 6
        np.testing.assert_allclose(np.mean(mean, axis=0), 48, atol=12)
