"""What a training is made of, put together from a config; and its state as one object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from slowfast.checkpoint.checkpointer import Checkpointer
from slowfast.config.derive import view_counts
from slowfast.config.describe import unread
from slowfast.datasets.loader import construct_loader, shuffle_dataset
from slowfast.datasets.samplers import MOST_LOST, TrainBatchSampler
from slowfast.datasets.transforms.mixup import MixUp
from slowfast.engine.batches import as_batch
from slowfast.engine.figures import open_writer
from slowfast.engine.fitting import check_fit
from slowfast.engine.precise_bn import measurable_batch_norms
from slowfast.engine.setup import (
    check_test_size,
    class_names,
    describe_model,
    display_mode,
    name_of_clip,
    with_views,
)
from slowfast.engine.state import Progress, RankState
from slowfast.engine.stepper import Stepper
from slowfast.engine.watch import LossWatch
from slowfast.engine.weights import check_factors
from slowfast.errors import DataError, UsageError
from slowfast.evaluation.meters import TrainMeter, ValMeter
from slowfast.launch.group import check_same_data
from slowfast.models.build import build_model, unwrap
from slowfast.models.losses import build_loss, whole_batches
from slowfast.solver.optimizer import construct_optimizer, set_lr
from slowfast.solver.schedule import LR_POLICY_REGISTRY, Schedule, find_policy
from slowfast.structures import ModelOutput, VideoBatch
from slowfast.utils import distributed as du
from slowfast.utils.logging import get_logger
from slowfast.utils.misc import is_due, is_eval_epoch

logger = get_logger(__name__)
SAMPLED_STEPS = 10_000  # of a schedule, of which the largest rate is looked at
LEAST_RATE = 0.01  # of BASE_LR that it must be
Loss = Callable[[ModelOutput, Tensor], dict[str, Tensor]]


class Job:
    """Everything that a training uses, put together from ``cfg``; nothing is loaded or computed.

    ``model`` may be wrapped for several processes, ``module`` is what is inside. ``iters`` are the
    micro-steps of an epoch on each rank, ``gflops`` the work on one clip, ``weights`` where the
    model's are from, in words. Lists are read first: they are quicker to get wrong than weights.

    Raises:
        UsageError, DataError: impossible settings, missing texts, weights or lists.
    """

    def __init__(self, cfg: Any) -> None:
        self.cfg = cfg
        self.loss: Loss = build_loss(cfg)
        self.train_loader = construct_loader(
            cfg, "train", whole_batches=whole_batches(cfg.MODEL.LOSS_FUNC, self.loss)
        )
        self.val_loader = construct_loader(cfg, "val")
        if cfg.TEST.ENABLE:
            _check_test_data(cfg)
        check_same_data("training", self.train_loader.dataset)
        check_same_data("validation", self.val_loader.dataset)
        self.model = build_model(cfg)
        self.module = unwrap(self.model)
        self.weights = cfg.CLIP.PRETRAINED if hasattr(self.module, "clip") else ""
        self.device = next(self.module.parameters()).device
        _check_ahead(cfg, self.module)
        self.gflops = describe_model(cfg, self.module)
        names = class_names(cfg, self.module)
        num_classes = cfg.MODEL.NUM_CLASSES or len(names)
        self.mix = _build_mix(cfg, num_classes)
        if self.device.type == "cuda":
            check_fit(cfg, self.module, self.loss, num_classes)

        self.iters = len(self.train_loader)
        self.max_epoch: int = cfg.SOLVER.MAX_EPOCH

        self.optimizer = construct_optimizer(self.model, cfg)
        self.stepper = Stepper.from_cfg(
            cfg, self.model, self.optimizer, cfg.TRAIN.ACCUMULATION_STEPS
        )
        self.stepper.last_share = _share_of_last(self.train_loader.batch_sampler)
        self.schedule = Schedule.from_cfg(cfg)

        self.progress = Progress(iters=self.iters)
        self.ranks = RankState()
        self.output_dir = Path(cfg.OUTPUT_DIR)
        keep_last = cfg.TRAIN.KEEP_LAST
        self.checkpointer = Checkpointer(cfg.OUTPUT_DIR, task=cfg.TASK, keep_last=keep_last)

        self.train_meter = TrainMeter.from_cfg(cfg, self.iters)
        self.val_meter = ValMeter.from_cfg(cfg, len(self.val_loader))
        dataset = self.train_loader.dataset
        self.watch = LossWatch(
            # No cycle back to the job: its loading processes end with the last reference to it.
            lambda index: name_of_clip(dataset, index),
            explosion_factor=cfg.TRAIN.KILL_LOSS_EXPLOSION_FACTOR,
        )
        self.display = display_mode(cfg)
        self.writer = open_writer(cfg, names)
        self.last_stats: dict[str, Any] = {}
        self.epoch_minutes: list[float] = []
        self.batch = _describe_batch(self)
        _check_rates(self)

    def rate(self, epoch: int, iteration: int) -> float:
        """Return the rate of a micro-step."""
        if self.cfg.TRAIN.SCHEDULE_UNIT == "epoch":
            iteration = 0
        step = epoch * self.iters + iteration
        stepper = self.stepper
        return self.schedule.lr_for_step(
            step, self.iters, stepper.accumulation, carry=stepper.carry
        )

    def set_lr(self, epoch: int, iteration: int) -> float:
        """Set and return the rate of a micro-step."""
        lr = self.rate(epoch, iteration)
        set_lr(self.optimizer, lr)
        return lr

    def batches(self, epoch: int, *, skip: int = 0, mixed: bool = True) -> Iterator[VideoBatch]:
        """Yield the training batches of ``epoch`` but the first ``skip``, on the device.

        ``mixed``: apply mixup or cutmix where the options ask for it.
        """
        shuffle_dataset(self.train_loader, epoch)
        sampler = self.train_loader.batch_sampler
        by_sampler = skip > 0 and hasattr(sampler, "skip")
        if by_sampler:
            sampler.skip(skip)  # type: ignore[union-attr]
        for position, item in enumerate(self.train_loader):
            if not by_sampler and position < skip:
                continue
            batch = as_batch(item).to(self.device)
            self.ranks.note(batch.meta.get("broken", []))
            if mixed and self.mix is not None:
                batch.inputs[0], batch.labels = self.mix(batch.inputs[0], batch.labels)
            yield batch

    def log_scalars(self, stats: Mapping[str, Any] | None, step: int) -> None:
        """Send a statistics line's values to TensorBoard under PySlowFast's tags, if it is on."""
        if self.writer is None or stats is None:
            return
        part = "Train" if stats["_type"].startswith("train") else "Val"
        tags = {"loss": "loss", "lr": "lr", "top1_err": "Top1_err", "top5_err": "Top5_err"}
        values = {f"{part}/{tag}": stats[key] for key, tag in tags.items() if key in stats}
        self.writer.add_scalars(values, global_step=step)

    def due(self, epoch: int) -> tuple[bool, bool]:
        """Return whether a checkpoint and an evaluation follow ``epoch``."""
        saving = is_due(epoch, self.cfg.TRAIN.CHECKPOINT_PERIOD, self.max_epoch)
        return saving, is_eval_epoch(self.cfg, epoch)

    def capture(self) -> dict[str, Any]:
        """Return the whole state; every rank calls it, and any one may then save it."""
        state = {
            "model_state": self.module.state_dict(),
            "optimizer_state": self.optimizer.state_dict(),
            "cfg": self.cfg.dump(),
            "progress": self.progress.state_dict(),
            "meter_state": self.train_meter.state_dict(),
            "best": self.val_meter.state_dict(),
            "watch": self.watch.state_dict(),
            "rng_state": self.ranks.state_dict(),
        }
        if self.stepper.scaler.is_enabled():
            state["scaler_state"] = self.stepper.scaler.state_dict()
        if self.stepper.carry:
            state["left_over_gradients"] = self.stepper.left_over()
        return state


def _check_ahead(cfg: Any, model: nn.Module) -> None:
    """Refuse what only the test after the training would refuse; warn of what does nothing."""
    if cfg.TEST.ENABLE:
        check_factors(cfg, model)
        check_test_size(cfg, model)
    if cfg.BN.USE_PRECISE_STATS and not measurable_batch_norms(model):
        logger.warning(
            "BN.USE_PRECISE_STATS does nothing: the model has no batch norm that takes statistics"
        )


def _check_test_data(cfg: Any) -> None:
    """Read the list of the test as the test will, so that it need not fail after the training."""
    try:
        construct_loader(with_views(cfg, view_counts(cfg)[0]), "test")
    except (UsageError, DataError) as error:
        kind = UsageError if isinstance(error, UsageError) else DataError
        raise kind(
            f"{error}. The test after this training would fail so: mend it, or set TEST.ENABLE to "
            "False"
        ) from error


def _build_mix(cfg: Any, num_classes: int) -> MixUp | None:
    if not cfg.MIXUP.ENABLE:
        return None
    return MixUp(
        mixup_alpha=cfg.MIXUP.ALPHA,
        cutmix_alpha=cfg.MIXUP.CUTMIX_ALPHA,
        mix_prob=cfg.MIXUP.PROB,
        switch_prob=cfg.MIXUP.SWITCH_PROB,
        label_smoothing=cfg.MIXUP.LABEL_SMOOTH_VALUE,
        num_classes=num_classes,
    )


def _check_rates(job: Job) -> None:
    """Refuse a schedule that stays near 0 over the whole training, whatever policy made it.

    Options that were set for another policy are warned of.
    """
    steps = job.max_epoch * job.iters
    some = range(0, steps, max(1, steps // SAMPLED_STEPS))
    largest = max(job.rate(*divmod(step, job.iters)) for step in some)
    solver = job.cfg.SOLVER
    for name, policy in LR_POLICY_REGISTRY:
        if idle := unread(job.cfg, find_policy(solver.LR_POLICY)[0], policy):
            logger.warning(
                f"{', '.join(idle)}: for SOLVER.LR_POLICY {name}; {solver.LR_POLICY} does not read "
                "it"
            )
    if spare := solver.LRS[len(solver.STEPS) :] if solver.STEPS else []:
        logger.warning(f"SOLVER.LRS: {spare} have no SOLVER.STEPS and are not used")
    if not largest >= LEAST_RATE * solver.BASE_LR:
        raise UsageError(
            f"the largest learning rate of all {steps} steps is {largest:g}, below "
            f"{LEAST_RATE:.0%} of SOLVER.BASE_LR {solver.BASE_LR:g}: nothing would be trained; "
            f"change SOLVER.LR_POLICY {solver.LR_POLICY}, MAX_EPOCH {solver.MAX_EPOCH}, "
            f"WARMUP_EPOCHS {solver.WARMUP_EPOCHS:g} (its rate rises to the policy's at that "
            f"epoch) or LR_UPDATE_PERIOD {solver.LR_UPDATE_PERIOD}"
        )


def _share_of_last(sampler: Any) -> float:
    """Return how much of a whole batch the last one of an epoch is."""
    share = sampler.last.share if isinstance(sampler, TrainBatchSampler) else 0
    return share / sampler.batch_size if share else 1.0


def _announce_last(sampler: Any) -> None:
    """Say how many listed clips an epoch leaves out, or that its last batch is smaller."""
    if not isinstance(sampler, TrainBatchSampler):
        return
    listed, used, last = sampler.num_items, sampler.num_used, sampler.last
    if last.share:
        size = last.share * sampler.world_size
        text = f"the last batch of an epoch has {size} clips ({last.reason})"
        logger.info(text, extra={"shown": True})
    if used < listed:
        say = logger.info if listed - used <= MOST_LOST * listed else logger.warning
        say(
            f"an epoch trains {used} of {listed} clips, each time others: {listed - used} are left "
            f"over by batches of {sampler.batch_size * sampler.world_size}"
            f"{'' if last.share else f' ({last.reason})'}",
            extra={"shown": True},
        )


def _describe_batch(job: Job) -> str:
    """Check the batch and return how many videos an optimizer step sees, and how many compare.

    The two differ (with accumulation a contrastive loss still compares one micro-batch, over all
    processes, with itself), and results depend on both.
    """
    train, world = job.cfg.TRAIN, du.get_world_size()
    sampler = job.train_loader.batch_sampler
    share = getattr(sampler, "batch_size", None) or job.train_loader.batch_size or 0
    share *= job.cfg.AUG.NUM_SAMPLE
    micro = share * world
    smallest = round(micro * job.stepper.last_share)
    if job.iters == 0 or micro == 0:
        raise UsageError(
            f"there is no training batch: the list gives {len(job.train_loader.dataset)} clips and "  # type: ignore[arg-type]
            f"TRAIN.BATCH_SIZE is {train.BATCH_SIZE}; lower it"
        )
    if job.stepper.carry and job.iters < job.stepper.accumulation:
        raise UsageError(
            f"TRAIN.ACCUMULATION_TAIL carry: {job.stepper.accumulation} iterations make a "
            f"step, and an epoch has {job.iters}, so that none would ever be made; lower "
            "TRAIN.ACCUMULATION_STEPS or TRAIN.TOTAL_BATCH_SIZE, or use step"
        )
    least = getattr(job.loss, "min_batch", 1)
    if smallest < least:
        raise UsageError(
            f"MODEL.LOSS_FUNC {job.cfg.MODEL.LOSS_FUNC} compares the videos of a batch and needs "
            f"at least {least}, but a batch has {smallest}; raise TRAIN.BATCH_SIZE"
            f"{', or set TRAIN.DROP_LAST True' if smallest < micro else ''}"
        )
    _announce_last(sampler)
    return (
        f"effective batch {micro * job.stepper.accumulation} = {share} on each of {world} "
        f"process{'' if world == 1 else 'es'} x {job.stepper.accumulation} accumulated; a "
        f"contrastive loss compares {micro} at a time; {job.iters} iterations an epoch"
    )
