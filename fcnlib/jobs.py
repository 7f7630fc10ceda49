"""What to train, in which order, from which start: the chain of networks and its control."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fcnlib.config import Config
from fcnlib.training import CHECKPOINT, Stage


def stages_of(config: Config, first: bool) -> tuple[Stage, ...]:
    """Return the stages of a network's training.

    Args:
        config: gives steps and rates.
        first: it is the coarsest of the chain: its new layers learn alone before everything does.

    Returns:
        Two stages for the first network, one for each later one (Long et al. 2015, section 4.3).
    """
    train = config.train
    if not first:
        return (end_to_end(config, train.skip_steps, train.skip_lr),)
    return (
        head_only(config, train.head_steps),
        end_to_end(config, train.coarse_steps, train.base_lr),
    )


def head_only(config: Config, steps: int) -> Stage:
    """Return a stage in which the new layers learn and the backbone stays as it is."""
    rate, pixels = config.train.head_lr, _summed_over(config)
    return Stage("head", steps, rate, backbone=False, frozen=True, summed_over=pixels)


def end_to_end(config: Config, steps: int, rate: float) -> Stage:
    """Return a stage in which everything learns, batch norm as the configuration says.

    Args:
        config: gives batch norm and the loss.
        steps: how many.
        rate: learning rate of the mean loss.

    Returns:
        The stage.
    """
    frozen, pixels = config.train.batch_norm == "frozen", _summed_over(config)
    return Stage("all", steps, rate, frozen=frozen, summed_over=pixels)


def _summed_over(config: Config) -> int:
    pixels = config.train.batch_size * config.data.crop_size**2
    return pixels if config.train.loss == "sum" else 1


@dataclass(frozen=True)
class Job:
    """One network to train: its stride, where it starts, how, its folder, and what to call it."""

    stride: int
    folder: Path
    start: Path | None
    stages: tuple[Stage, ...]
    title: str = ""

    @property
    def name(self) -> str:
        """The title, or "FCN-8s" and the like."""
        return self.title or f"FCN-{self.stride}s"


def chain(config: Config, models: Path) -> list[Job]:
    """List the networks of a configuration, coarse to fine, each starting from the one before.

    Args:
        config: gives chain, initial weights and stages.
        models: folder of the networks; each gets `fcn-32s` and the like in it.

    Returns:
        The jobs in order.
    """
    jobs, start = [], config.path("initial") if config.network.initial else None
    for number, stride in enumerate(config.network.chain):
        folder = models / f"fcn-{stride}s"
        jobs.append(Job(stride, folder, start, stages_of(config, first=number == 0)))
        start = folder / CHECKPOINT
    return jobs


def longer_job(config: Config, models: Path) -> Job:
    """Return the chain's control: the coarsest network, trained for as long as the finest was.

    Args:
        config: as for `chain`.
        models: as for `chain`.

    Returns:
        The job, which starts from the chain's first network.
    """
    first = chain(config, models)[0]
    steps = config.train.skip_steps * (len(config.network.chain) - 1)
    stage = end_to_end(config, steps, config.train.skip_lr)
    folder = first.folder.with_name(first.folder.name + "-longer")
    return Job(
        first.stride, folder, first.folder / CHECKPOINT, (stage,), f"{first.name}, same steps"
    )
