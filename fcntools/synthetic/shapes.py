"""The embedded data set `shapes`: generated scenes in VOC layout, and single objects in folders.

The backgrounds are cluttered, the objects lit and textured. A form is a list of outlines, each
filled with 1 (solid) or 0 (hole), drawn one over the other.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage

from fcnlib.config import ShapesConfig
from fcnlib.datasets import Dataset, open_dataset
from fcnlib.datasets.voc import IMAGES, LISTS, MASKS
from fcnlib.labels import SHAPES, VOID
from fcntools.synthetic import generate
from fcntools.synthetic.scene_canvas import cloud

VERSION = 1  # of the generator: raise it when the pictures change
OBJECT_SIZE = 97  # side of a single-object image, pixels
SPLITS = ("train", "val")
# What decides the pictures, and the least that each can be.
_LEAST = {"shapes_seed": 0, "train_images": 1, "val_images": 1, "image_size": 65}
_LEAST |= {"objects_per_class": 0, "objects_val_per_class": 0}

_SMALLEST, _LARGEST = 28.0, 90.0  # diameter of an object, pixels
_PLACES_TRIED = 24
_CLEARANCE = 0.5  # of the sum of two radii: how near the middles of two objects may come
_SAMPLES = 4  # fine pixels a side of a pixel
_ROUND = 56  # corners of a circle: under 0.1 px from round at 90 px
_NOISE = 5.0  # standard deviation of the sensor, grey levels

_Pair = tuple[np.ndarray, np.ndarray]
_Outline = tuple[np.ndarray, int]  # points [n, 2] and fill
_Image = tuple[str, int, int]  # split, class (-1: a scene), index


def ensure(root: Path, config: ShapesConfig) -> Dataset:
    """Return the data set, generated first where the folder is not there."""
    about, images = {"generator": VERSION, "classes": list(SHAPES.classes)}, list(_images(config))
    how = images, partial(_draw, config), partial(_write_lists, config)
    generate.ensure(root, generate.GeneratorSpec("shapes", config, _LEAST, about, *how))
    return open_dataset("shapes", root)


def _scene_name(split: str, index: int) -> str:
    return f"{split}_{index:05d}"


def _object_folder(root: Path, split: str, class_index: int) -> Path:
    return root / "objects" / split / SHAPES.classes[class_index]


def _images(config: ShapesConfig) -> Iterator[_Image]:
    scenes = config.train_images, config.val_images
    objects = config.objects_per_class, config.objects_val_per_class
    for split, count, each in zip(SPLITS, scenes, objects, strict=True):
        yield from ((split, -1, index) for index in range(count))
        for class_index in range(SHAPES.num_classes):
            yield from ((split, class_index, index) for index in range(each))


def _draw(config: ShapesConfig, root: Path, image: _Image) -> None:
    split, class_index, index = image
    rng = np.random.default_rng([config.shapes_seed, SPLITS.index(split), class_index + 1, index])
    if class_index >= 0:
        picture = Image.fromarray(_draw_object(rng, OBJECT_SIZE, class_index))
        generate.write(_object_folder(root, split, class_index) / f"{index:04d}.jpg", picture)
        return
    first_class = 1 + index % (SHAPES.num_classes - 1)  # every class occurs in any 8 scenes
    picture, mask = draw_scene(rng, config.image_size, first_class)
    generate.write(root / IMAGES / f"{_scene_name(split, index)}.jpg", Image.fromarray(picture))
    indexed = Image.fromarray(mask)
    indexed.putpalette(SHAPES.png_palette())
    generate.write(root / MASKS / f"{_scene_name(split, index)}.png", indexed)


def _write_lists(config: ShapesConfig, root: Path) -> None:
    train = [_scene_name("train", index) for index in range(config.train_images)]
    val = [_scene_name("val", index) for index in range(config.val_images)]
    (root / LISTS).mkdir(parents=True)
    for split, names in (("train", train), ("val", val), ("trainval", train + val)):
        (root / LISTS / f"{split}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    for split in SPLITS:
        for class_index in range(SHAPES.num_classes):  # a class without any object, too
            _object_folder(root, split, class_index).mkdir(parents=True, exist_ok=True)


def draw_scene(
    rng: np.random.Generator, size: int, first_class: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return an image with 1 to 4 objects, later ones in front, and its mask, VOID on the borders.

    Args:
        rng: the image's own generator.
        size: side of the image, pixels.
        first_class: class index of the first object; the others are of any class.
    """
    painter = _Painter(rng, size)
    owner = np.zeros((size, size), np.uint8)  # 0 background, else the object's number
    classes = [0, first_class]
    classes += rng.integers(1, SHAPES.num_classes, rng.choice(4, p=(0.15, 0.35, 0.3, 0.2))).tolist()
    for number, place in enumerate(_places(rng, size, len(classes) - 1), start=1):
        owner[painter.add(classes[number], *place) >= 0.5] = number
    mask = np.array(classes, np.uint8)[owner]
    mask[_borders(owner)] = VOID
    return painter.finish(), mask


def _draw_object(rng: np.random.Generator, size: int, class_index: int) -> np.ndarray:
    """Return an image with a single object about its middle; class 0 is the clutter alone."""
    painter = _Painter(rng, size)
    if class_index:
        diameter = rng.uniform(_SMALLEST, min(_LARGEST, size))
        center = size / 2 + rng.uniform(-0.08 * size, 0.08 * size, 2)
        painter.add(class_index, center, diameter)
    return painter.finish()


def _places(rng: np.random.Generator, size: int, count: int) -> list[tuple[np.ndarray, float]]:
    chosen = []  # x and y of a middle, and a diameter, pixels
    for _ in range(count):
        diameter = rng.uniform(_SMALLEST, min(_LARGEST, 0.7 * size))
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
    return low != ndimage.maximum_filter(owner, footprint=cross)


class _Painter:
    """A picture, float32 [size, size, 3] in 0..255, that starts as clutter."""

    def __init__(self, rng: np.random.Generator, size: int):
        self.rng, self.size = rng, size
        self.picture = self._background()
        angle = rng.uniform(-0.8, 0.8) - np.pi / 2  # from above, more or less
        self.light = np.array([np.cos(angle), np.sin(angle)])

    def add(self, class_index: int, center: np.ndarray, diameter: float) -> np.ndarray:
        """Draw an object; return how much of each pixel it covers, float32 [size, size]."""
        rng, size = self.rng, self.size
        form = FORMS[SHAPES.classes[class_index]](rng)
        drawn = _rasterized(_placed(form, center, diameter, rng), size)
        coverage = np.asarray(drawn, np.float32) / 255
        column, row = np.clip(center, 0, size - 1).astype(int)
        surface = self._texture(*self._colour_pair(self.picture[row, column]))
        relief = _moved(drawn, -2 * self.light) - _moved(drawn, 2 * self.light)
        surface *= (1 + rng.uniform(0.25, 0.45) * relief)[..., None]
        cast = rng.uniform(3, 6) * -self.light
        shadow = rng.uniform(0.35, 0.6) * _moved(drawn, cast, blur=2.5) * (1 - coverage)
        picture = self.picture * (1 - shadow)[..., None]
        self.picture = picture + coverage[..., None] * (surface - picture)
        return coverage

    def finish(self) -> np.ndarray:
        """Return the picture under light and noise, uint8."""
        lit = self.picture * (0.85 + 0.3 * self._ramp())[..., None]
        noise = self.rng.standard_normal(lit.shape, np.float32)
        lit += noise * np.float32(self.rng.uniform(0.3, 1.3) * _NOISE)
        return np.clip(lit, 0, 255).astype(np.uint8)

    def _background(self) -> np.ndarray:
        rng, hue = self.rng, self.rng.uniform()
        drawn = [rng.uniform((-0.15, 0.1, 0.25), (0.15, 0.55, 0.9)) for _ in range(2)]
        ground = [_rgb(hue + shift, *others) for shift, *others in drawn]
        picture = _mix(0.5 * self._ramp() + 0.5 * self._cloud(3, 9), *ground)
        for _ in range(rng.integers(0, 3)):
            patch = self._cloud(3, 6)
            cover = np.clip((patch - rng.uniform(0.55, 0.75)) * 12, 0, 1)[..., None]
            picture += cover * (self._texture(*self._colour_pair()) - picture)
        return self._scribble(picture)

    def _scribble(self, picture: np.ndarray) -> np.ndarray:
        rng, fine = self.rng, 2 * self.size
        layer = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).resize((fine, fine))
        draw, t = ImageDraw.Draw(layer), np.linspace(0, 1, 12)[:, None]
        for _ in range(rng.integers(1, 6)):
            colour = tuple(int(v) for v in self._colour_pair()[0])
            start, step = rng.uniform(-0.1, 1.1, 2), rng.normal(0, 0.35, 2)
            bend = rng.normal(0, 0.25, 2)
            points = (start + t * step * 2 + t * t * bend * 2) * fine
            width = int(rng.integers(2, 9))
            draw.line(points.ravel().tolist(), fill=colour, width=width, joint="curve")
        return np.asarray(layer.reduce(2), np.float32)

    def _texture(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        kind = self.rng.choice(5)
        if kind == 0:
            return _mix(self._ramp(), one, other)
        if kind == 1:
            return _mix(self._cloud(8, 30), one, other)
        u, v = self._axes(period=self.rng.uniform(5, 14))
        wave = (np.sin(u), np.sin(u) * np.sin(v), np.sin(u) + np.sin(v) - 0.8)[kind - 2]
        # steep, so stripes and dots have soft edges
        return _mix(np.clip(0.5 + 2.0 * wave, 0, 1), one, other)

    def _axes(self, period: float) -> _Pair:
        angle = self.rng.uniform(0, np.pi)
        c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        step = np.arange(self.size, dtype=np.float32) * np.float32(2 * np.pi / period)
        phase = self.rng.uniform(0, 2 * np.pi, 2).astype(np.float32)
        x, y = step[None, :], step[:, None]
        return c * x + s * y + phase[0], c * y - s * x + phase[1]

    def _ramp(self) -> np.ndarray:
        u, _ = self._axes(period=2 * np.pi)
        return (u - u.min()) / np.ptp(u)

    def _cloud(self, fewest: int, most: int) -> np.ndarray:
        cells = int(self.rng.integers(fewest, most))
        return np.clip(cloud(self.rng.uniform(0, 1, (cells, cells)), self.size), 0, 1)

    def _colour_pair(self, around: np.ndarray | None = None) -> _Pair:
        for _ in range(12):
            hue, saturation, value = self.rng.uniform((0, 0.35, 0.35), (1, 1, 1))
            one = _rgb(hue, saturation, value)
            change = self.rng.uniform(0.2, 0.4) * (1 if value < 0.65 else -1)
            hue += self.rng.uniform(-0.1, 0.1)
            other = _rgb(hue, saturation * self.rng.uniform(0.5, 1), value + change)
            if around is None or np.abs((one + other) / 2 - around).sum() > 150:
                break
        return one, other


def _moved(drawn: Image.Image, by: np.ndarray, blur: float = 1.5) -> np.ndarray:
    moved = Image.new("L", drawn.size)
    moved.paste(drawn, tuple(round(float(v)) for v in by))
    return np.asarray(moved.filter(ImageFilter.GaussianBlur(blur)), np.float32) / 255


def _mix(weight: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return one + weight[..., None].astype(np.float32) * (other - one)


def _rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    return 255 * np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value), np.float32)


def _polar(radii: np.ndarray, angles: np.ndarray) -> np.ndarray:
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=-1)


def _circle(radius: float, x: float = 0.0) -> np.ndarray:
    angles = np.arange(_ROUND) * (2 * np.pi / _ROUND)
    return _polar(np.full(_ROUND, radius), angles) + np.array([x, 0.0])


def _disk(rng: np.random.Generator) -> list[_Outline]:
    return [(_circle(1.0), 1)]


def _triangle(rng: np.random.Generator) -> list[_Outline]:
    angles = np.arange(3) * (2 * np.pi / 3) + rng.uniform(-0.16, 0.16, 3)
    return [(_polar(np.ones(3), angles), 1)]


def _star(rng: np.random.Generator) -> list[_Outline]:
    points = int(rng.integers(5, 7))
    radii = np.tile([1.0, rng.uniform(0.38, 0.5)], points)
    return [(_polar(radii, np.arange(2 * points) * (np.pi / points)), 1)]


def _ring(rng: np.random.Generator) -> list[_Outline]:
    return [(_circle(1.0), 1), (_circle(rng.uniform(0.52, 0.72)), 0)]


def _cross(rng: np.random.Generator) -> list[_Outline]:
    w = rng.uniform(0.17, 0.29)
    r = np.sqrt(1 - w * w)
    arm = np.array([(r, -w), (r, w), (w, w)])
    quarter = arm[:, ::-1] * (-1, 1)
    return [(np.concatenate([arm, quarter, -arm, -quarter]), 1)]


def _crescent(rng: np.random.Generator) -> list[_Outline]:
    return [(_circle(1.0), 1), (_circle(rng.uniform(0.78, 0.88), rng.uniform(0.42, 0.54)), 0)]


def _gear(rng: np.random.Generator) -> list[_Outline]:
    teeth = int(rng.integers(7, 10))
    root = rng.uniform(0.68, 0.76)
    pitch = 2 * np.pi / teeth
    corners = np.array([0.04, 0.16, 0.38, 0.50]) * pitch
    angles = (np.arange(teeth)[:, None] * pitch + corners).ravel()
    radii = np.tile([root, 1.0, 1.0, root], teeth)
    return [(_polar(radii, angles), 1), (_circle(rng.uniform(0.24, 0.36)), 0)]


def _arrow(rng: np.random.Generator) -> list[_Outline]:
    shaft, head, neck = rng.uniform(0.10, 0.19), rng.uniform(0.48, 0.62), rng.uniform(0.0, 0.25)
    half = [(1.0, 0.0), (neck, head), (neck, shaft), (-0.98, shaft)]
    return [(np.array(half + [(x, -y) for x, y in half[:0:-1]]), 1)]


# {class: a function that returns its outlines in the unit circle, their proportions at random}
FORMS = {
    form.__name__.removeprefix("_"): form
    for form in (_disk, _triangle, _star, _ring, _cross, _crescent, _gear, _arrow)
}


def _placed(
    outlines: list[_Outline], center: np.ndarray, diameter: float, rng: np.random.Generator
) -> list[_Outline]:
    """Turn, squeeze, tilt and scale a form, and put it at a place; pixel (0, 0) covers 0..1."""
    turn, tilt_to, squeeze_to = rng.uniform(0, 2 * np.pi, 3)
    tilt = rng.uniform(0, 0.18) * np.array([np.cos(tilt_to), np.sin(tilt_to)])
    along = np.array([[np.cos(squeeze_to), np.sin(squeeze_to)]])
    squeeze = np.eye(2) - (1 - rng.uniform(0.74, 1.0)) * along.T @ along
    rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    moved = []
    for points, fill in outlines:
        flat = points @ (squeeze @ rotate).T
        moved.append((flat / (1 + flat @ tilt)[:, None], fill))
    solid = np.concatenate([points for points, fill in moved if fill])
    low, high = solid.min(axis=0), solid.max(axis=0)
    middle = (low + high) / 2
    scale = diameter / 2 / np.sqrt(((solid - middle) ** 2).sum(axis=1).max())
    return [((points - middle) * scale + center, fill) for points, fill in moved]


def _rasterized(outlines: list[_Outline], size: int) -> Image.Image:
    """Return PIL mode L [size, size], 0..255 = share of the pixel inside a placed form."""
    fine = Image.new("L", (size * _SAMPLES, size * _SAMPLES))
    draw = ImageDraw.Draw(fine)
    for points, fill in outlines:
        # PIL puts corners on whole fine pixels: true to 1/4 px, and the same for image and mask
        draw.polygon((points * _SAMPLES - 0.5).ravel().tolist(), fill=255 * fill)
    return fine.reduce(_SAMPLES)
