"""Pictures of `shapes`: cluttered backgrounds, lit and textured objects, their masks."""

from __future__ import annotations

import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage

from fcnlib.labels import SHAPES, VOID
from fcntools.synthetic import shape_forms
from fcntools.synthetic.scene_canvas import cloud

SMALLEST = 28.0  # diameter of an object, pixels
LARGEST = 90.0
_PLACES_TRIED = 24
_CLEARANCE = 0.5  # of the sum of two radii: how near the middles of two objects may come
_NOISE = 5.0  # standard deviation of the sensor, grey levels


def draw_scene(
    rng: np.random.Generator, size: int, first_class: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw an image with 1 to 4 objects, later ones in front, and its mask.

    Args:
        rng: the image's own generator.
        size: side of the image, pixels.
        first_class: class index of the first object; the others are of any class.

    Returns:
        (RGB uint8 [size, size, 3], mask uint8 [size, size]: class indices, VOID on the borders).
    """
    picture = _background(rng, size)
    light = _light(rng)
    owner = np.zeros((size, size), np.uint8)  # 0 background, else the object's number
    classes = [0, first_class]
    classes += rng.integers(1, SHAPES.num_classes, rng.choice(4, p=(0.15, 0.35, 0.3, 0.2))).tolist()
    for number, (center, diameter) in enumerate(_places(rng, size, len(classes) - 1), start=1):
        picture, coverage = _add(rng, picture, classes[number], center, diameter, light)
        owner[coverage >= 0.5] = number
    mask = np.array(classes, np.uint8)[owner]
    mask[_borders(owner)] = VOID
    return _finish(rng, picture), mask


def draw_object(rng: np.random.Generator, size: int, class_index: int) -> np.ndarray:
    """Draw a single object about the middle of a cluttered background.

    Args:
        rng: the image's own generator.
        size: side of the image, pixels.
        class_index: class of the object; 0 draws the clutter alone.

    Returns:
        RGB uint8 [size, size, 3].
    """
    picture = _background(rng, size)
    light = _light(rng)
    if class_index:
        diameter = rng.uniform(SMALLEST, min(LARGEST, size))
        play = 0.08 * size
        center = size / 2 + rng.uniform(-play, play, 2)
        picture, _ = _add(rng, picture, class_index, center, diameter, light)
    return _finish(rng, picture)


def _places(rng: np.random.Generator, size: int, count: int) -> list[tuple[np.ndarray, float]]:
    chosen: list[tuple[np.ndarray, float]] = []
    for _ in range(count):
        diameter = rng.uniform(SMALLEST, min(LARGEST, 0.7 * size))
        edge = 0.4 * diameter
        tries = rng.uniform(edge, size - edge, (_PLACES_TRIED, 2))
        free = np.ones(_PLACES_TRIED, bool)
        for center, other in chosen:
            distance = np.hypot(*(tries - center).T)
            free &= distance > _CLEARANCE * (diameter + other) / 2 + 0.25 * min(diameter, other)
        if free.any():
            chosen.append((tries[np.argmax(free)], diameter))
    return chosen


def _borders(owner: np.ndarray) -> np.ndarray:
    cross = ndimage.generate_binary_structure(2, 1)
    low = ndimage.minimum_filter(owner, footprint=cross)
    high = ndimage.maximum_filter(owner, footprint=cross)
    return low != high


def _light(rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(-0.8, 0.8) - np.pi / 2  # from above, more or less
    return np.array([np.cos(angle), np.sin(angle)])


def _add(
    rng: np.random.Generator,
    picture: np.ndarray,
    class_index: int,
    center: np.ndarray,
    diameter: float,
    light: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    size = picture.shape[0]
    form = shape_forms.random_form(SHAPES.classes[class_index], rng)
    drawn = shape_forms.rasterize(shape_forms.place(form, center, diameter, rng), size)
    coverage = np.asarray(drawn, np.float32) / 255
    around = picture[int(np.clip(center[1], 0, size - 1)), int(np.clip(center[0], 0, size - 1))]
    surface = _texture(rng, size, *_colour_pair(rng, around))
    relief = _moved(drawn, -2 * light) - _moved(drawn, 2 * light)
    surface *= (1 + rng.uniform(0.25, 0.45) * relief)[..., None]
    cast = rng.uniform(3, 6) * -light
    shadow = rng.uniform(0.35, 0.6) * _moved(drawn, cast, blur=2.5) * (1 - coverage)
    picture = picture * (1 - shadow)[..., None]
    return picture + coverage[..., None] * (surface - picture), coverage


def _moved(drawn: Image.Image, by: np.ndarray, blur: float = 1.5) -> np.ndarray:
    x, y = (round(float(v)) for v in by)
    moved = Image.new("L", drawn.size)
    moved.paste(drawn, (x, y))
    return np.asarray(moved.filter(ImageFilter.GaussianBlur(blur)), np.float32) / 255


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    hue = rng.uniform()
    ground = []
    for _ in range(2):
        shift = rng.uniform(-0.15, 0.15)
        ground.append(_rgb(hue + shift, *rng.uniform((0.1, 0.25), (0.55, 0.9))))
    weight = 0.5 * _ramp(rng, size) + 0.5 * _cloud(rng, size, int(rng.integers(3, 9)))
    picture = _mix(weight, *ground)
    for _ in range(rng.integers(0, 3)):
        patch = _cloud(rng, size, int(rng.integers(3, 6)))
        cover = np.clip((patch - rng.uniform(0.55, 0.75)) * 12, 0, 1)[..., None]
        picture += cover * (_texture(rng, size, *_colour_pair(rng, None)) - picture)
    return _scribble(rng, picture)


def _scribble(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    size = picture.shape[0]
    fine = 2 * size
    layer = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).resize((fine, fine))
    draw = ImageDraw.Draw(layer)
    for _ in range(rng.integers(1, 6)):
        colour = tuple(int(v) for v in _colour_pair(rng, None)[0])
        start, step = rng.uniform(-0.1, 1.1, 2), rng.normal(0, 0.35, 2)
        bend = rng.normal(0, 0.25, 2)
        t = np.linspace(0, 1, 12)[:, None]
        points = (start + t * step * 2 + t * t * bend * 2) * fine
        width = int(rng.integers(2, 9))
        draw.line(points.ravel().tolist(), fill=colour, width=width, joint="curve")
    return np.asarray(layer.reduce(2), np.float32)


def _finish(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    size = picture.shape[0]
    lit = picture * (0.85 + 0.3 * _ramp(rng, size))[..., None]
    lit += rng.standard_normal(lit.shape, np.float32) * np.float32(rng.uniform(0.3, 1.3) * _NOISE)
    return np.clip(lit, 0, 255).astype(np.uint8)


def _texture(rng: np.random.Generator, size: int, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    kind = rng.choice(5)
    if kind == 0:
        weight = _ramp(rng, size)
    elif kind == 1:
        weight = _cloud(rng, size, int(rng.integers(8, 30)))
    else:
        u, v = _axes(rng, size, period=rng.uniform(5, 14))
        wave = (np.sin(u), np.sin(u) * np.sin(v), np.sin(u) + np.sin(v) - 0.8)[kind - 2]
        weight = np.clip(0.5 + 2.0 * wave, 0, 1)  # steep, so stripes and dots have soft edges
    return _mix(weight, one, other)


def _axes(rng: np.random.Generator, size: int, period: float) -> tuple[np.ndarray, np.ndarray]:
    angle = rng.uniform(0, np.pi)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    step = np.arange(size, dtype=np.float32) * np.float32(2 * np.pi / period)
    phase = rng.uniform(0, 2 * np.pi, 2).astype(np.float32)
    x, y = step[None, :], step[:, None]
    return c * x + s * y + phase[0], c * y - s * x + phase[1]


def _ramp(rng: np.random.Generator, size: int) -> np.ndarray:
    u, _ = _axes(rng, size, period=2 * np.pi)
    return (u - u.min()) / np.ptp(u)


def _cloud(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    return np.clip(cloud(rng, size, cells, low=0.0), 0, 1)


def _mix(weight: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return one + weight[..., None].astype(np.float32) * (other - one)


def _rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    return 255 * np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value), np.float32)


def _colour_pair(
    rng: np.random.Generator, around: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    for _ in range(12):
        hue, saturation, value = rng.uniform((0, 0.35, 0.35), (1, 1, 1))
        one = _rgb(hue, saturation, value)
        change = rng.uniform(0.2, 0.4) * (1 if value < 0.65 else -1)
        other = _rgb(hue + rng.uniform(-0.1, 0.1), saturation * rng.uniform(0.5, 1), value + change)
        if around is None or np.abs((one + other) / 2 - around).sum() > 150:
            break
    return one, other
