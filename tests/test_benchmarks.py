"""The tables that `make bench` writes, from rows worked out by hand."""

import pandas as pd
import pytest

from benchmarks import accuracy, bench, front_page, growth, profiling

RECORD = {
    "machine": {"cpu": "a processor", "cores": 2},
    "versions": {"tensorflow": "2.21.0"},
    "commit": "0123456789abcdef",
}


def test_the_summary_sets_ours_beside_each_peers_fastest():
    rows = [
        ("training", "ours", 8.0),
        ("training", "ours, float32", 4.0),
        ("training", "Keras, float32", 2.0),
        ("training", "Keras, mixed bfloat16", 4.0),
        ("training", "2017", 1.6),
        ("metric", "ours", 400.0),
        ("metric", "Keras MeanIoU", 6.0),
    ]
    rows += [("ceiling", "convolution, bfloat16", 442.0)]
    rows = [dict(zip(("group", "what", "value"), row, strict=True)) for row in rows]
    rows = bench.with_operations(rows, {"ours": 10.0, "Keras": 5.0})
    frame = pd.DataFrame(rows, columns=["group", "what", "value", "gflops"])
    training = next(t for t in bench.summary(frame, RECORD).splitlines() if "| training" in t)
    assert training == "| training | 8 | 4 (2.00 times) |  | 1.6 (5.00 times) |"
    text = bench.summary(frame, RECORD)
    assert "| training, GFLOP/s | 240 | 60 |  |  |" in text  # 3 x 8 x 10, 3 x 4 x 5
    assert "reaches 442 GFLOP/s" in text
    assert "ours 400, Keras MeanIoU 6." in text and "commit 0123456789;" in text


def test_the_readme_keeps_what_is_around_the_marks(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"above\n{bench.BEGIN}\nold\n{bench.END}\nbelow\n")
    for text in ("new", "newer"):
        bench.into_readme(text, path)
    assert path.read_text() == f"above\n{bench.BEGIN}\nnewer\n{bench.END}\nbelow\n"


def test_the_page_of_growth_by_hand(monkeypatch):
    """A step twice as long for 150 classes, ten billion operations an image, 60 of 100 GFLOP/s."""
    monkeypatch.setattr(growth, "operations", lambda side: 10e9)
    rows = [("side", s, 2.0, 2.0) for s in growth.CASES["side"]]
    rows += [("batch", b, 1.0 + b / 4, b / (1.0 + b / 4)) for b in growth.CASES["batch"]]
    rows += [("classes", c, s, 4 / s) for c, s in ((21, 2.0), (150, 4.0), (1000, 20.0))]
    rows += [("threads", t, 3.0 / t, t) for t in growth.CASES["threads"]]
    frame = pd.DataFrame(rows, columns=["changed", "to", "seconds", "images/s"])
    page = growth.page(frame, 100.0, 88_000_000, RECORD)
    assert "**The machine's share.** 60%" in page  # 3 x 10e9 x 4 images in 2 s
    assert "takes 2.00 times as long, to 1000\n10.0 times" in page
    assert "Two threads do 2.00 times" in page
    an_image = 3 * 10e9 / (0.6 * growth.GPU_PEAK)
    hours = an_image * 10_582 * growth.EPOCHS / 3600
    assert f"| PASCAL VOC 2012, trainaug | 321 | {60 * hours:.1f} min |" in page
    step, ring = an_image * growth.GPU_BATCH, 2 * 7 / 8 * 88e6 / 12.5e9
    assert f"| {60 * hours / 8 * (step + ring) / step:.1f} min |" in page
    assert hours == pytest.approx(0.0236, rel=0.01)
    assert len(growth.draw(frame).axes) == 4


def test_the_page_of_accuracy_by_hand():
    """50 ± 1 against 53 ± 1 over three seeds: three points lost, an error of 1.41 / sqrt 3."""
    rows = [
        (precision, seed, network, middle + spread)
        for network, middles in (("FCN-32s", (50, 53)), ("FCN-8s", (60, 61)))
        for precision, middle in zip(accuracy.PRECISIONS, middles, strict=True)
        for seed, spread in ((1, -1.0), (2, 0.0), (3, 1.0))
    ]
    frame = pd.DataFrame(rows, columns=["precision", "seed", "network", "mean_iou"])
    text = accuracy.page(frame, "bfloat16", "a processor")
    assert "| FCN-32s | 50.0 ± 1.0 | 53.0 ± 1.0 | -3.0 | 0.8 |" in text
    assert "| FCN-8s | 60.0 ± 1.0 | 61.0 ± 1.0 | -1.0 | 0.8 |" in text
    assert "A loss of more than twice its standard error: FCN-32s. 2 of 2 means are lower;" in text
    even = frame.assign(mean_iou=50.0 + frame.seed)
    assert "No difference is a loss" in accuracy.page(even, "bfloat16", "a processor")


def test_the_share_of_the_ceiling_by_hand(monkeypatch):
    """Two images a batch at 10 GFLOP forward in half a second: 120 GFLOP/s, of 240 one half."""
    monkeypatch.setattr(profiling, "operations", lambda side: 10e9)
    monkeypatch.setattr(profiling.contestants, "BATCH", 2)
    rows = [{"what": f"convolution, {t}", "value": 240.0} for t in ("float32", "bfloat16")]
    monkeypatch.setattr(profiling.small, "ceiling", lambda: rows)
    times = {("wide", "as it is"): 0.5, ("wide", "float32"): 1.0}
    text = profiling.against_the_ceiling(times)
    assert "- as it is: 120 GFLOP/s" in text and "50% of what one large bfloat16" in text
    assert "- float32: 60 GFLOP/s" in text and "25% of what one large float32" in text


def test_a_profile_counts_operations_and_nothing_else():
    from fcnlib.compat import tf

    x = tf.random.normal([4, 33, 33, 8])
    kernel = tf.random.normal([3, 3, 8, 8])
    step = tf.function(lambda: tf.reduce_sum(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME"))))
    found = profiling.profiled(step)
    kinds = {kind.removeprefix("_MklNative").removeprefix("_").split("Conv2D")[0] for kind in found}
    assert sum(share for share, _ in found.values()) == pytest.approx(1.0)
    assert any("Conv2D" in kind for kind in found) and "Process" not in kinds


def test_the_front_page_by_hand():
    """Two seeds, 58 and 60 points for the plain network: above FCN-8 of others, below Tiramisu."""
    rows = [
        {"seed": seed, "network": name, "mean IoU": (50 + 2 * place + 2 * seed) / 100}
        | dict.fromkeys(front_page.FIGURES[1:], 0.9)
        | {"sky": 0.9, "pole": 0.1 * seed}
        for seed in (1, 2)
        for place, name in enumerate(front_page.READINGS)
    ]
    frame = pd.DataFrame(rows)
    lines = front_page.table(frame).splitlines()
    assert "| **FCN-4s** | **59.0 ± 1.4** | 90.0 | 90.0 | 90.0 |" in lines
    order = [line.split("|")[1].strip(" *") for line in lines]
    assert order.index("FCN-8") < order.index("FCN-4s") < order.index("FC-DenseNet103")
    assert (
        "| FCN-8* | 57.0 | 88.0 |  |  |" in lines
        and "| FC-DenseNet103 | 66.9 | 91.5 |  |  |" in lines
    )
    assert "| pole | 15.0 | 15.0 |" in front_page.classes(frame, ["sky", "pole"])
