"""The training loop: stages of steps, a log, checkpoints to resume from.

The loop is given its network, loss, batches and evaluation and knows none of them. Batches and
dropout are functions of the step, so a resumed run repeats what an undisturbed one would have done.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fcnlib import checkpoints
from fcnlib.config import TrainConfig, current_names
from fcnlib.errors import InputError
from fcnlib.optimizer import Optimizer, Stage, learning_rate
from fcnlib.runtime import distributed, files, progress
from fcnlib.runtime.compat import tf
from fcnlib.slim import SlimModule

CHECKPOINT = "checkpoint.npz"
LOG = "log.csv"
_COLUMNS = ("step", "stage", "learning_rate", "loss", "images_per_second", "seconds", "mean_iou")

Batch = dict[str, tf.Tensor]


class Trainer:
    """Runs the stages of one network and keeps its folder."""

    def __init__(
        self,
        network: SlimModule,
        stages: Sequence[Stage],
        batches: Callable[[int, int], Iterable[Batch]],
        loss: Callable[[SlimModule, Batch, Stage, tf.Tensor], tf.Tensor],
        config: TrainConfig,
        folder: Path,
        *,
        meta: dict[str, Any],
        names: Sequence[str] = (),
        evaluate: Callable[[], float] | None = None,
    ):
        """Set up.

        Args:
            network: what to train; built.
            stages: in order.
            batches: (first step, number of steps) -> batches, a pure function of the two.
            loss: (network, batch, stage, step) -> scalar.
            config: optimizer, schedule, intervals of checkpoints and evaluations.
            folder: gets checkpoint.npz and log.csv.
            meta: JSON-able description stored in the checkpoint (settings, classes).
            names: of the training images by index, for error messages.
            evaluate: returns the validation mean IoU, in [0, 1], of the weights or their EMA.
        """
        self.network, self.stages, self.batches, self.loss = network, tuple(stages), batches, loss
        self.config, self.folder, self.meta, self.names = config, folder, meta, names
        self.evaluate = evaluate
        self.step, self.rows, self.spent = 0, [], 0.0
        self.total_steps = sum(stage.steps for stage in self.stages)
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, label: str, resume: bool = False) -> int:
        """Train to the end, saving on the way and when interrupted; return the steps it took.

        Raises:
            InputError: the loss is no longer finite, or the checkpoint is of another configuration.
            KeyboardInterrupt: after saving, when the user stops the run.
        """
        arrays = self._read_checkpoint() if resume else {}
        before = self.step = int(distributed.broadcast([self.step])[0])
        if before < self.total_steps:
            bar = progress.bar(self.total_steps, label, "step", initial=before)
            with bar as bar, progress.defer_interrupt() as interrupted:
                first = 0
                for stage in self.stages:
                    if self.step < first + stage.steps:
                        self._run_stage(stage, first, arrays, bar, interrupted)
                    first += stage.steps
                self._optimizer.swap_ema()
                self._save(finished=True)
                if interrupted:
                    raise KeyboardInterrupt
        distributed.broadcast([self.step])  # the others wait until rank 0 has saved
        return self.step - before

    def _run_stage(self, stage: Stage, first: int, arrays: dict, bar, interrupted: list) -> None:
        train_step = self._prepare(stage, arrays if self.step > first else {})
        last = first + stage.steps
        started = saved = tick = time.monotonic()
        before, every = self.spent, max(self.total_steps // 200, 1)
        for batch in self.batches(self.step, last - self.step):
            rate = learning_rate(stage, self.step - first, self.config)
            loss = float(train_step(batch, tf.constant(rate), tf.constant(self.step)))
            self._require_number(loss, batch)
            self.step += 1
            now = time.monotonic()
            self.spent = before + now - started
            bar.update(1, loss=loss)
            due = self.config.val_every and self.step % self.config.val_every == 0
            score = None
            if self.evaluate and (due or self.step == last):
                self._optimizer.swap_ema()  # the EMA is scored
                score = self.evaluate()
                self._optimizer.swap_ema()
            if self.step % every == 0 or score is not None:
                speed = distributed.size() * batch["image"].shape[0] / max(now - tick, 1e-9)
                self._log(stage, rate, loss, speed, score)
            if interrupted and self.step < self.total_steps:
                self._save()
                raise KeyboardInterrupt
            if now - saved > self.config.checkpoint_seconds and self.step < last:
                self._save()
                saved = now
            tick = time.monotonic()

    def _prepare(self, stage: Stage, arrays: dict[str, np.ndarray]):
        """Create the optimizer of a stage, with its state if resumed; compile its step."""
        variables = list(self.network.trainable(backbone=stage.backbone, head=True).values())
        every = self.network.named_variables()
        optimizer = self._optimizer = Optimizer(self.config, stage, variables, every.values())
        if arrays:
            optimizer.restore(arrays)
        moving = []  # what each process changes by its own part of the batch
        if distributed.size() > 1:
            moving = [v for n, v in every.items() if "/moving_" in n and not stage.frozen]
            alike = [*every.values(), *optimizer.state]
            for variable, value in zip(alike, distributed.broadcast(alike), strict=True):
                variable.assign(value)

        @tf.function(autograph=False)  # autograph finds nothing here and traces five times as long
        def train_step(batch, rate, step):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(variables)
                loss = self.loss(self.network, batch, stage, step)
            gradients = tape.gradient(loss, variables)
            loss, gradients, sums = distributed.all_reduce_sum([loss, gradients, moving])
            for variable, total in zip(moving, sums, strict=True):
                variable.assign(total / distributed.size())
            optimizer.apply(gradients, rate)
            return loss

        return train_step

    def _require_number(self, loss: float, batch: Batch) -> None:
        if math.isfinite(loss):
            return
        index = np.zeros((distributed.size(), len(batch["index"])), np.int64)
        index[distributed.rank()] = batch["index"]
        index = np.asarray(distributed.all_reduce_sum(index)).ravel()
        images = ", ".join(self.names[i] for i in index if i < len(self.names))
        raise InputError(
            f"the loss is {loss} at step {self.step}, images {images}; "
            "lower the learning rate, or look at these files with `fcnlib data check`"
        )

    def _log(self, stage: Stage, rate: float, loss: float, speed: float, score) -> None:
        score = "" if score is None else f"{score:.5f}"
        values = (f"{rate:.3e}", f"{loss:.5f}", f"{speed:.1f}", f"{self.spent:.1f}", score)
        self.rows.append((self.step, stage.name, *values))
        if not distributed.rank():
            lines = (",".join(map(str, row)) + "\n" for row in (_COLUMNS, *self.rows))
            files.write_text(self.folder / LOG, "".join(lines))

    def _save(self, finished: bool = False) -> None:
        arrays = {n: v.numpy() for n, v in self.network.named_variables().items()}
        if not finished:
            state = enumerate(self._optimizer.state)
            arrays |= {f"optimizer/{i}": np.asarray(v) for i, v in state}
        position = {"step": self.step, "finished": finished, "seconds": self.spent}
        position["rows"] = self.rows
        if not distributed.rank():
            checkpoints.save(self.folder / CHECKPOINT, arrays, self._identity() | position)

    def _identity(self) -> dict[str, Any]:
        return self.meta | {"stages": [asdict(stage) for stage in self.stages]}

    def _read_checkpoint(self) -> dict[str, np.ndarray]:
        """Take over the checkpoint that is there; return what it holds, {} where there is none."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            return {}
        arrays, meta = checkpoints.load(path)
        meta |= {"settings": current_names(meta.get("settings", {}))}
        if changed := _changed(meta, self._identity()):
            raise InputError(
                f"{path}: made with other settings or data ({', '.join(changed)}); "
                "train without --resume, or choose another --out (`out` in a notebook)"
            )
        variables = self.network.named_variables()
        checkpoints.transplant(arrays, variables, may_skip=("optimizer/",), source=str(path))
        self.step, self.spent = meta["step"], meta["seconds"]
        self.rows = [tuple(row[: len(_COLUMNS)]) for row in meta["rows"]]  # older ones are longer
        return arrays


def _changed(found: Any, expected: Any, name: str = "") -> list[str]:
    """Return the keys of what differs; a checkpoint of an older version lacks newer keys."""
    if not (isinstance(found, dict) and isinstance(expected, dict)):
        return [name] * (found != expected)
    return [
        where
        for key, value in expected.items()
        for where in _changed(found.get(key, value), value, f"{name}.{key}".lstrip("."))
    ]
