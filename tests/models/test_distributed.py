"""OST's objective over two gloo processes against one process with the whole batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close

from slowfast.errors import UsageError
from slowfast.models import build_loss, build_model, call_model, unwrap
from slowfast.structures import VideoBatch
from slowfast.utils.distributed import get_rank, get_world_size
from tests.distributed import run_two_processes

LABELS = torch.tensor([2, 0, 2, 1])


def _videos() -> Tensor:
    return torch.randn(4, 3, 2, 32, 32, generator=torch.Generator().manual_seed(3))


def _step(cfg: Any) -> dict[str, Any]:
    """Run one training step on this process's share; return what it computed."""
    torch.manual_seed(1)
    model = build_model(cfg).train()
    rank, world = get_rank(), get_world_size()
    share = slice(rank * 4 // world, (rank + 1) * 4 // world)
    batch = VideoBatch([_videos()[share]], LABELS[share], torch.arange(4)[share])
    output = call_model(model, batch)
    terms = build_loss(cfg)(output, batch.labels)
    sum(terms.values()).backward()
    return {
        "wrapped": isinstance(model, DistributedDataParallel),
        "logits": output.logits.detach(),
        "labels": output.extras.get("labels"),
        "loss": sum(terms.values()).item(),
        "gradients": {
            name: p.grad for name, p in unwrap(model).named_parameters() if p.grad is not None
        },
    }


@pytest.mark.parametrize("head", ["OSTHead", "CategoryHead", "TemplateEnsembleHead"])
@pytest.mark.parametrize(("gradient", "factor"), [("sum", 1.0), ("local", 0.5)])
def test_gradients_of_two_processes(tiny_cfg, head, gradient, factor):
    cfg = tiny_cfg("OST", "MODEL.HEAD_NAME", head, "OST.GATHER_GRADIENT", gradient)
    single, pair = _step(cfg), run_two_processes(_step, cfg)
    assert not single["wrapped"]
    for rank in pair:
        assert rank["wrapped"]
        assert torch.equal(rank["labels"], LABELS)
        assert_close(rank["logits"], single["logits"], rtol=0, atol=1e-5)
        assert rank["loss"] == pytest.approx(single["loss"], abs=1e-5)
        assert rank["gradients"].keys() == single["gradients"].keys()
        for name, expected in single["gradients"].items():
            ratio = 1.0 if name == "clip.logit_scale" else factor
            tolerance = 1e-4 * float(expected.abs().max()) + 1e-7
            assert_close(
                rank["gradients"][name], ratio * expected, rtol=0, atol=tolerance, msg=name
            )


def _distribute(cfg: Any) -> tuple[str, bool, bool]:
    model = build_model(cfg)
    inner = unwrap(model)
    logits = inner.eval()(_videos()).logits
    assert logits.isfinite().all()
    wrapped = isinstance(model, DistributedDataParallel)
    return type(model).__name__, wrapped, wrapped and model.broadcast_buffers


@pytest.mark.parametrize(
    ("opts", "wrapped"),
    [((), True), (("CLIP.TRAINABLE", "none"), False), (("MODEL.FP16_ALLREDUCE", True), True)],
)
def test_wrapped_when_something_is_trained(tiny_cfg, opts, wrapped):
    for _, found, buffers in run_two_processes(_distribute, tiny_cfg("OST", *opts)):
        assert found == wrapped
        assert not buffers  # token ids are the same everywhere


def _rows(cfg: Any) -> Tensor:
    torch.manual_seed(get_rank())
    model = unwrap(build_model(cfg))
    return model.head.rows(model.clip)


@pytest.mark.parametrize("kind", ["random", "orthogonal"])
def test_drawn_rows_are_the_same_everywhere(tiny_cfg, kind):
    cfg = tiny_cfg("CLIP", "MODEL.HEAD_NAME", "FrozenClassifier", "CLASSIFIER.KIND", kind)
    first, second = run_two_processes(_rows, cfg)
    assert torch.equal(first, second)


def _refused(cfg: Any) -> str:
    with pytest.raises(UsageError) as caught:
        build_model(cfg)
    return str(caught.value)


def test_statistics_are_not_shared_between_cpus(tiny_cfg):
    cfg = tiny_cfg("CLIP", "BN.NORM_TYPE", "sync_batchnorm")
    for said in run_two_processes(_refused, cfg):
        assert "sync_batchnorm needs GPUs, and NUM_GPUS is 0: use batchnorm" in said


class Unused(nn.Module):
    find_unused_parameters = True

    def __init__(self, cfg: Any) -> None:
        super().__init__()
        self.norm = nn.BatchNorm3d(3)
        self.used = nn.Linear(3, 2)
        self.unused = nn.Linear(3, 2)

    def forward(self, x: list[Tensor]) -> Tensor:
        return self.used(self.norm(x[0]).mean(dim=(2, 3, 4)))


def _two_steps_with_unused_parameters(cfg: Any) -> bool:
    from slowfast.models import MODEL_REGISTRY

    MODEL_REGISTRY.register(Unused)
    model = build_model(cfg)
    for _ in range(2):
        call_model(model, VideoBatch([_videos()], LABELS, LABELS)).logits.sum().backward()
    return model.broadcast_buffers


def test_a_models_own_wish_about_unused_parameters(tiny_cfg):
    cfg = tiny_cfg("CLIP", "MODEL.MODEL_NAME", "Unused")
    assert run_two_processes(_two_steps_with_unused_parameters, cfg) == [True, True]


def _two_steps(cfg: Any) -> dict[str, Any]:
    model, rank = build_model(cfg).train(), get_rank()
    for _ in range(2):  # DistributedDataParallel complains of unused parameters at the second
        logits = model(_videos()[2 * rank : 2 * rank + 2]).logits
        nn.functional.cross_entropy(logits, LABELS[2 * rank : 2 * rank + 2]).backward()
    return _step(cfg)


@pytest.mark.parametrize(
    "options",
    [
        ("TEXT4VIS.JOINT", True),
        ("TEXT4VIS.TEMPORAL", "tokent1d"),
        ("TEXT4VIS.TEMPORAL", "tsm", "MODEL.ACT_CHECKPOINT", True),
    ],
)
def test_text4vis_over_two_processes(tiny_cfg, options):
    cfg = tiny_cfg("Text4Vis", "DATA.NUM_FRAMES", 2, *options)
    single, pair = _step(cfg), run_two_processes(_two_steps, cfg)
    for rank in pair:
        assert rank["wrapped"]
        assert rank["gradients"].keys() == single["gradients"].keys()
        assert any("temporal" in name for name in single["gradients"]) == (
            "JOINT" not in options[0]
        )
        for name, expected in single["gradients"].items():
            tolerance = 1e-4 * float(expected.abs().max()) + 1e-6
            assert_close(rank["gradients"][name], expected, rtol=0, atol=tolerance, msg=name)
