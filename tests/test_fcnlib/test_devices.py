from __future__ import annotations

import pytest
from tensorflow.python.eager import context

from fcnlib.builders import build_fcn, describe_device
from fcnlib.config import Config
from fcnlib.optimizer import Optimizer, Stage
from fcnlib.runtime import compat, run_record
from fcnlib.runtime.compat import slim, tf
from fcnlib.slim import compute_dtype
from fcntools.analysis import networks_2017  # noqa: F401  (builds networks of 2017)
from fcntools.pretrained.shapes_classifier import Classifier

TINY = {"depth_multiplier": 0.125, "min_depth": 4}
NETWORKS = {
    "scores": {},
    "features": {"fusion": "feature", "upsampling": "learned"},
    "2017": {"fusion": "2017"},
    "vgg": {"backbone": "vgg_16"},
}


def devices_of_variables(make):
    """Return the device that is named in the eager context while each variable is made."""
    named = []

    def create(make_variable, **given):
        named.append(context.context().device_name)
        return make_variable(**given)

    with tf.variable_creator_scope(create):
        make()
    return named


def build(settings):
    return build_fcn(Config().replace(**TINY, **settings), 3, 8)


# On a GPU a variable made under the CPU's name lies apart from its optimizer's moments, and the
# first step of every training fails ("Cannot place the graph").
@pytest.mark.parametrize("name", NETWORKS)
def test_tensorflow_chooses_where_a_networks_variables_lie(name):
    named = devices_of_variables(lambda: build(NETWORKS[name]))
    assert len(named) > 20
    assert set(named) <= {"", None}


def test_tensorflow_chooses_where_a_classifiers_variables_lie():
    classifier = Classifier(3, **TINY)
    named = devices_of_variables(lambda: classifier.score_map(tf.zeros([1, 75, 75, 3])))
    assert len(named) > 100
    assert set(named) <= {"", None}


@pytest.mark.parametrize(
    "settings",
    [{"optimizer": "adam", "ema_decay": 0.9}, {"optimizer": "sgd"}],
)
def test_tensorflow_chooses_where_an_optimizers_state_lies(settings):
    network = build({})
    variables = list(network.trainable(backbone=True, head=True).values())
    config = Config().replace(**settings).train

    def make():
        Optimizer(config, Stage("all", 1, 0.1), variables, network.named_variables().values())

    named = devices_of_variables(make)
    assert named
    assert set(named) <= {"", None}


def test_a_device_that_the_caller_names_is_kept():
    with tf.device("CPU:0"):
        named = devices_of_variables(lambda: slim.variable("here", shape=[1]))
    assert [name.rpartition("device:")[2] for name in named] == ["CPU:0"]
    named = devices_of_variables(lambda: slim.variable("there", shape=[1], device="CPU:0"))
    assert [name.rpartition("device:")[2] for name in named] == ["CPU:0"]


def test_a_record_names_the_type_computed_in_and_not_just_what_was_asked():
    found = describe_device("auto")
    assert found["device"] == compat.device_name()
    assert found["computed_in"] == compute_dtype("auto", run_record.machine()["cpu_flags"]).name
    assert describe_device("bfloat16")["computed_in"] == "bfloat16"
