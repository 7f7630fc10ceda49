"""How variables learn: stages, learning-rate schedules, optimizers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fcnlib.compat import tf
from fcnlib.config import TrainConfig


@dataclass(frozen=True)
class Stage:
    """A run of steps in which the same variables learn at one learning-rate schedule."""

    name: str
    steps: int
    learning_rate: float
    backbone: bool = True  # the backbone learns too
    frozen: bool = False  # its batch norm stays on the moving averages


def learning_rate(stage: Stage, step: int, config: TrainConfig) -> float:
    """Return the learning rate of a step.

    Args:
        stage: where the step is.
        step: steps done in this stage, from 0.
        config: gives schedule ("cosine" to 0, "poly" with power 0.9, "constant") and warm-up.

    Returns:
        The rate; it rises linearly over the warm-up steps of every stage.
    """
    done = step / max(stage.steps, 1)
    shape = {
        "cosine": 0.5 * (1 + math.cos(math.pi * done)),
        "poly": (1 - done) ** 0.9,
        "constant": 1.0,
    }[config.schedule]
    return stage.learning_rate * shape * min(1.0, (step + 1) / max(config.warmup_steps, 1))


def make_optimizer(config: TrainConfig, variables: Sequence[tf.Variable]):
    """Build the optimizer with its state for these variables.

    Args:
        config: gives the kind and the weight decay (decoupled; biases and batch norm have none).
        variables: what will be trained, in a fixed order.

    Returns:
        A Keras optimizer.
    """
    kinds = {
        "adam": lambda: tf.keras.optimizers.Adam(1e-3, weight_decay=config.weight_decay),
        "sgd": lambda: tf.keras.optimizers.SGD(
            1e-3, momentum=0.9, weight_decay=config.weight_decay
        ),
    }
    optimizer = kinds[config.optimizer]()
    optimizer.exclude_from_weight_decay(
        var_list=[v for v in variables if not v.name.endswith("/weights:0")]
    )
    optimizer.build(variables)
    return optimizer
