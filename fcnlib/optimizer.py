"""How variables learn: stages, learning-rate schedules, optimizers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fcnlib import checkpoints
from fcnlib.config import TrainConfig
from fcnlib.runtime.compat import tf

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-7  # of Adam, as in Keras
_MOMENTUM = 0.9  # of SGD


@dataclass(frozen=True)
class Stage:
    """A run of steps in which the same variables learn at one learning-rate schedule."""

    name: str
    steps: int
    learning_rate: float
    backbone: bool = True  # the backbone learns too
    frozen: bool = False  # its batch norm stays on the moving averages
    summed_over: int = 1  # pixels that the loss adds up where it is no mean


def learning_rate(stage: Stage, step: int, config: TrainConfig) -> float:
    """Return the learning rate of a step, with the warm-up of every stage.

    Where SGD minimizes a sum over pixels it is that of the mean (Adam's steps know no scale).

    Args:
        stage: where the step is.
        step: steps done in this stage, from 0.
        config: gives schedule ("cosine" to 0, "poly" with power 0.9, "constant") and warm-up.
    """
    done = step / max(stage.steps, 1)
    shapes = {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "poly": (1 - done) ** 0.9}
    shape = shapes.get(config.schedule, 1.0)
    rate = stage.learning_rate / _loss_scale(config, stage)
    return rate * shape * min(1.0, (step + 1) / max(config.warmup_steps, 1))


def _loss_scale(config: TrainConfig, stage: Stage) -> int:
    return stage.summed_over if config.optimizer == "sgd" else 1


class Optimizer(tf.Module):
    """Adam or SGD with momentum by TensorFlow's fused kernels, one operation a variable.

    Keras takes a dozen, an eighth of every step of a thin Inception-v3 with its 190 variables.
    The EMA of all weights is one flat variable; it moves faster at first and begins anew with each
    stage.

    Source: https://www.tensorflow.org/api_docs/python/tf/raw_ops/ResourceApplyAdam,
    ResourceApplyMomentum; decoupled weight decay https://arxiv.org/abs/1711.05101; EMA
    https://arxiv.org/abs/1512.00567, section 8.
    """

    def __init__(
        self,
        config: TrainConfig,
        stage: Stage,
        trained: Sequence[tf.Variable],
        averaged: Iterable[tf.Variable] = (),
    ):
        """Create the state for the `trained` variables and the EMA of the `averaged` ones."""
        super().__init__()
        self._adam, self._trained = config.optimizer == "adam", tuple(trained)
        # The decay is taken times the rate, so what divides the one multiplies the other.
        self._decay = config.weight_decay * _loss_scale(config, stage)
        self._count = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._moments = [
            [tf.Variable(tf.zeros_like(v), trainable=False) for _ in range(1 + self._adam)]
            for v in trained
        ]
        self._ema_decay = config.ema_decay
        self._averaged = tuple(averaged) if config.ema_decay else ()
        self._ema = [tf.Variable(self._flat(), trainable=False)] if self._averaged else []

    @property
    def state(self) -> list[tf.Variable]:
        """All that a resumed run needs, in a fixed order."""
        moments = [m for moments in self._moments for m in moments]
        return [self._count, *moments, *self._ema]

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue from the state that a checkpoint holds as "optimizer/0" and so on."""
        state = {f"optimizer/{i}": variable for i, variable in enumerate(self.state)}
        checkpoints.transplant(arrays, state, may_skip=("",), source="optimizer state")

    def _flat(self) -> tf.Tensor:
        return tf.concat([tf.reshape(variable, [-1]) for variable in self._averaged], axis=0)

    def swap_ema(self) -> None:
        """Exchange the weights and their EMA, if there is one."""
        for ema in self._ema:
            weights, parts = self._flat(), tf.split(ema, [tf.size(v) for v in self._averaged])
            for variable, part in zip(self._averaged, parts, strict=True):
                variable.assign(tf.reshape(part, variable.shape))
            ema.assign(weights)

    def apply(self, gradients: Sequence[tf.Tensor], rate: tf.Tensor) -> None:
        """Take one step at a learning rate."""
        count = tf.cast(self._count.assign_add(1), tf.float32)
        powers = {"beta1_power": _BETA1**count, "beta2_power": _BETA2**count}
        betas = {"beta1": _BETA1, "beta2": _BETA2, "epsilon": _EPSILON}
        for variable, moments, grad in zip(self._trained, self._moments, gradients, strict=True):
            if self._decay and variable.name.endswith("/weights:0"):  # no biases, no batch norm
                variable.assign_sub(variable * (rate * self._decay))
            step = {"var": variable.handle, "lr": rate, "grad": grad}
            if self._adam:
                m, v = (moment.handle for moment in moments)
                tf.raw_ops.ResourceApplyAdam(m=m, v=v, **step, **powers, **betas)
            else:
                accum = moments[0].handle
                tf.raw_ops.ResourceApplyMomentum(accum=accum, momentum=_MOMENTUM, **step)
        for ema in self._ema:
            share = 1 - tf.minimum(self._ema_decay, (1 + count) / (10 + count))
            ema.assign_add(share * (self._flat() - ema))
