"""Ours and the peers, each as one process that does so many steps when told to.

`python -m benchmarks.contestants NAME` builds one, says "ready SECONDS" (imports and first step
included), then answers every number N on its standard input with the seconds of N steps; at the
end of its input it says its peak memory. `python -m benchmarks.contestants operations` counts what
each network costs instead.
"""

from __future__ import annotations

import functools
import json
import os
import resource
import sys
import time

import numpy as np

STARTED = time.monotonic()
CLASSES, BATCH = 21, 8
GRID_SIDE, EVEN_SIDE = 225, 224  # ours works on 32 k + 1 pixels, most others on 32 k


def images(side: int) -> np.ndarray:
    """Return the same noise for everybody, float32 [BATCH, side, side, 3] in [-1, 1]."""
    noise = np.random.default_rng(1).uniform(-1, 1, [BATCH, GRID_SIDE, GRID_SIDE, 3])
    return noise[:, :side, :side].astype(np.float32)


def labels(side: int) -> np.ndarray:
    return (
        np.random.default_rng(2)
        .integers(0, CLASSES, [BATCH, GRID_SIDE, GRID_SIDE])[:, :side, :side]
        .astype(np.uint8)
    )


def ours(precision: str, multiplier: float = 1.0, stride: int = 8):
    """FCN-8s, as `fcnlib train` builds and trains it."""
    from fcnlib.builders import build_fcn
    from fcnlib.config import Config

    changes = {"precision": precision, "depth_multiplier": multiplier}
    return build_fcn(Config().replace(**changes), CLASSES, stride)


def train_ours(precision: str, multiplier: float = 1.0):
    from fcnlib import losses
    from fcnlib.config import TrainConfig
    from fcnlib.optimizer import Optimizer, Stage
    from fcnlib.runtime.compat import tf

    network = ours(precision, multiplier)
    variables = list(network.trainable(backbone=True, head=True).values())
    optimizer = Optimizer(TrainConfig(precision=precision), Stage("all", 100, 1e-3), variables)
    x, y = tf.constant(images(GRID_SIDE)), tf.constant(labels(GRID_SIDE))

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            logits = network(x, training=True, dropout_seed=tf.constant([0, 0]))
            loss = losses.pixel_cross_entropy(logits, y)
        optimizer.apply(tape.gradient(loss, variables), tf.constant(1e-3))
        return loss

    return lambda: float(step())


def train_slim(bfloat16: bool):
    """tf-slim's own Inception-v3 with a 32s head, Keras' Adam, the graph rewritten to bfloat16."""
    tf, network, x = slim_network(bfloat16)
    y = tf.constant(labels(EVEN_SIDE).astype(np.int32))
    network(x, True)
    return train_with_keras(tf, lambda: network(x, True), y, network.trainable_variables)


def train_2017():
    """The network of 2017: no batch norm, its decoder of features, Keras' Adam."""
    from fcnlib.runtime.compat import tf
    from fcntools.analysis.networks_2017 import Decoder2017

    network = Decoder2017(CLASSES, batch_norm=False, raw_inputs=True)
    x = tf.constant(images(EVEN_SIDE))
    network(x[:1])
    variables = list(network.trainable(backbone=True, head=True).values())
    y = tf.constant(labels(EVEN_SIDE).astype(np.int32))
    return train_with_keras(tf, lambda: network(x, training=True), y, variables)


def train_with_keras(tf, answer, truth, variables):
    optimizer = tf.keras.optimizers.Adam(1e-5)
    optimizer.build(variables)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(truth, answer())
            loss = tf.reduce_mean(entropy)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return lambda: float(step())


def slim_network(bfloat16: bool):
    from tf_slim.nets import inception_v3

    from fcnlib.runtime.compat import slim, tf

    if bfloat16:
        options = {"auto_mixed_precision_onednn_bfloat16": True}
        tf.config.optimizer.set_experimental_options(options)

    def build(x, training):
        scope = inception_v3.inception_v3_arg_scope(updates_collections=None)
        with slim.arg_scope(scope), slim.arg_scope([slim.batch_norm], is_training=training):
            net, _ = inception_v3.inception_v3_base(x)
            net = slim.conv2d(net, CLASSES, 1, activation_fn=None, normalizer_fn=None)
        return tf.image.resize(net, [EVEN_SIDE, EVEN_SIDE])

    network = tf.compat.v1.make_template("slim", build, create_scope_now_=True)
    return tf, network, tf.constant(images(EVEN_SIDE))


def keras_model(policy: str):
    """Keras' InceptionV3 with a 32s head."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    keras.mixed_precision.set_global_policy(policy)
    shape = (EVEN_SIDE, EVEN_SIDE, 3)
    body = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=shape)
    net = keras.layers.Conv2D(CLASSES, 1, dtype="float32")(body.output)
    net = keras.layers.Resizing(EVEN_SIDE, EVEN_SIDE, dtype="float32")(net)
    return keras, keras.Model(body.input, net)


def train_keras(policy: str):
    keras, model = keras_model(policy)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-5), loss, jit_compile=False)
    x, y = images(EVEN_SIDE), labels(EVEN_SIDE)
    return lambda: model.train_on_batch(x, y)


def forward(tf, function, x):
    compiled = tf.function(function, autograph=False)
    return lambda: compiled(x).numpy()


def forward_ours(precision: str, engine: str = "tensorflow"):
    """Labels, as `fcnlib evaluate` gets them."""
    from fcnlib.evaluation import predictor
    from fcnlib.runtime.compat import tf
    from fcntools.inference.folding import Folded

    predict, x = predictor(Folded(ours(precision), engine)), tf.constant(images(GRID_SIDE))
    return lambda: predict(x).numpy()


def forward_slim(bfloat16: bool):
    tf, network, x = slim_network(bfloat16)
    return forward(tf, lambda x: tf.argmax(network(x, False), axis=-1), x)


def forward_slim_openvino():
    """OpenVINO on tf-slim's own net, saved by TensorFlow."""
    import tempfile

    import openvino

    tf, network, x = slim_network(False)
    module = tf.Module()
    module.network = network
    spec = tf.TensorSpec([None, EVEN_SIDE, EVEN_SIDE, 3], name="x")
    module.run = tf.function(lambda x: tf.argmax(network(x, False), axis=-1), [spec])
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=module.run)
        compiled = openvino.Core().compile_model(openvino.convert_model(folder), "CPU")
    array = x.numpy()
    return lambda: compiled([array])


def forward_2017():
    from fcnlib.runtime.compat import tf
    from fcntools.analysis.networks_2017 import Decoder2017

    network = Decoder2017(CLASSES, batch_norm=False, raw_inputs=True)
    x = tf.constant(images(EVEN_SIDE))
    network(x[:1])
    return forward(tf, lambda x: tf.argmax(network(x), axis=-1), x)


def forward_keras(policy: str):
    _, model = keras_model(policy)
    x = images(EVEN_SIDE)
    return lambda: model.predict_on_batch(x).argmax(axis=-1)


TRAINING = {
    "ours": functools.partial(train_ours, "auto"),
    "ours, float32": functools.partial(train_ours, "float32"),
    "tf-slim, float32": functools.partial(train_slim, False),
    "tf-slim, bfloat16 rewriting": functools.partial(train_slim, True),
    "Keras, float32": functools.partial(train_keras, "float32"),
    "Keras, mixed bfloat16": functools.partial(train_keras, "mixed_bfloat16"),
    "2017": train_2017,
}
FORWARD = {
    "ours": functools.partial(forward_ours, "auto"),
    "ours, float32": functools.partial(forward_ours, "float32"),
    "ours, OpenVINO": functools.partial(forward_ours, "float32", "openvino"),
    "ours, ONNX Runtime": functools.partial(forward_ours, "float32", "onnxruntime"),
    "tf-slim, float32": functools.partial(forward_slim, False),
    "tf-slim, bfloat16 rewriting": functools.partial(forward_slim, True),
    "tf-slim, OpenVINO": forward_slim_openvino,
    "Keras, float32": functools.partial(forward_keras, "float32"),
    "Keras, mixed bfloat16": functools.partial(forward_keras, "mixed_bfloat16"),
    "2017": forward_2017,
}
GROUPS = {"training": TRAINING, "forward": FORWARD}


def operations() -> dict[str, float]:
    """Count what a forward pass costs each network, in billions of operations an image.

    Twice the multiply-adds of its convolutions; ours pads to keep the sample points of all strides,
    the published classifier does not and computes on smaller maps.
    """
    from fcntools.analysis import systems
    from fcntools.analysis.networks_2017 import Decoder2017

    _, slim, _ = slim_network(False)
    decoder = Decoder2017(CLASSES, batch_norm=False, raw_inputs=True)
    networks = {
        "ours": (ours("float32"), GRID_SIDE),
        "tf-slim": (lambda x: slim(x, False), EVEN_SIDE),
        "Keras": (keras_model("float32")[1], EVEN_SIDE),
        "2017": (decoder, EVEN_SIDE),
    }
    return {
        name: 2e-9 * systems.operations(network, side) for name, (network, side) in networks.items()
    }


def serve(step) -> None:
    """Do the first step and say so, then steps as told, then say the memory."""
    step()
    answer(f"ready {time.monotonic() - STARTED:.2f}")
    for line in sys.stdin:
        begin = time.monotonic()
        for _ in range(int(line)):
            step()
        answer(f"{time.monotonic() - begin:.5f}")
    answer(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f}")  # GiB


def answer(text: str) -> None:
    sys.__stdout__.write(f"> {text}\n")
    sys.__stdout__.flush()


if __name__ == "__main__":
    if sys.argv[1:] == ["operations"]:
        answer(json.dumps(operations()))
    else:
        serve(GROUPS[sys.argv[1]][sys.argv[2]]())
