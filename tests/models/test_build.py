from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from slowfast.config.load import load_cfg
from slowfast.errors import UsageError
from slowfast.models import MODEL_REGISTRY, build_loss, build_model, call_model, unwrap
from slowfast.structures import ModelOutput, VideoBatch


class PlainNet(nn.Module):
    """A model as PySlowFast's users write them."""

    answer = "tensor"

    def __init__(self, cfg):
        super().__init__()
        self.norm = nn.BatchNorm3d(3)
        self.head = nn.Linear(3, cfg.MODEL.NUM_CLASSES)

    def forward(self, x):
        logits = self.head(self.norm(x[0]).mean(dim=(2, 3, 4)))
        answers = {"tensor": logits, "list": [logits, None], "nested": ([logits, 1], [None, None])}
        return answers[self.answer]


@pytest.fixture
def plain(monkeypatch):
    monkeypatch.setitem(MODEL_REGISTRY._obj_map, "PlainNet", PlainNet)
    return PlainNet


@pytest.fixture
def batch(videos):
    return VideoBatch([videos], torch.tensor([0, 1]), torch.arange(2))


@pytest.mark.parametrize("answer", ["tensor", "list", "nested"])
def test_a_plain_pyslowfast_model_is_called_the_same_way(
    plain, tiny_cfg, batch, answer, monkeypatch
):
    monkeypatch.setattr(plain, "answer", answer)
    model = build_model(tiny_cfg("PlainNet", "MODEL.NUM_CLASSES", 3))
    output = call_model(model, batch)
    assert isinstance(output, ModelOutput)
    assert output.logits.shape == (2, 3)
    assert output.video_BTD is None
    assert output.further == {"tensor": (), "list": (None,), "nested": (1, [None, None])}[answer]


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (None, "None"),
        ({"logits": torch.zeros(2, 3)}, "a dict of 1"),
        ((), "a tuple of 0"),
        (torch.zeros(3, 2), r"a Tensor of shape \(3, 2\)"),
        (torch.zeros(2), r"a Tensor of shape \(2,\)"),
    ],
)
def test_a_model_that_returns_something_else_is_named(plain, tiny_cfg, batch, answer, found):
    model = build_model(tiny_cfg("PlainNet", "MODEL.NUM_CLASSES", 3))
    model.forward = lambda x: answer
    with pytest.raises(UsageError, match=f"MODEL PlainNet returned {found}; expected obj.cfg"):
        call_model(model, batch)


def test_sync_batch_norm(plain, tiny_cfg):
    cfg = tiny_cfg("PlainNet", "MODEL.NUM_CLASSES", 3, "BN.NORM_TYPE", "sync_batchnorm")
    assert isinstance(build_model(cfg).norm, nn.SyncBatchNorm)


def test_no_gpus_here(tiny_cfg, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="NUM_GPUS 1, but this machine has no usable CUDA devices"):
        build_model(tiny_cfg("CLIP", "NUM_GPUS", 1))


def test_all_gpus_of_a_machine_without_any_are_the_cpu(tiny_cfg, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    model = build_model(tiny_cfg("CLIP", "NUM_GPUS", -1))
    assert {p.device.type for p in model.parameters()} == {"cpu"}


def test_more_gpus_than_present(tiny_cfg, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match=r"has 1 usable CUDA device: set NUM_GPUS 1"):
        build_model(tiny_cfg("CLIP", "NUM_GPUS", 2))


@pytest.mark.gpu
def test_on_a_gpu(tiny_cfg, batch):
    cpu = build_model(tiny_cfg("OST")).eval()
    gpu = build_model(tiny_cfg("OST", "NUM_GPUS", 1)).eval()
    gpu.load_state_dict(cpu.state_dict())
    assert {t.device.type for t in (*gpu.parameters(), *gpu.buffers())} == {"cuda"}
    with torch.no_grad():
        found = call_model(gpu, batch.to("cuda")).logits.cpu()
        assert_close(found, call_model(cpu, batch).logits, rtol=0, atol=1e-3)


@pytest.mark.gpu
def test_a_training_step_in_half_precision_on_a_gpu(tiny_cfg, batch):
    model = build_model(tiny_cfg("OST", "NUM_GPUS", 1))
    with torch.autocast("cuda", dtype=torch.bfloat16):
        logits = call_model(model, batch.to("cuda")).logits
    assert logits.dtype == torch.float32
    logits.sum().backward()


def test_activation_checkpointing(tiny_cfg, batch, plain):
    plainly = build_model(tiny_cfg("OST"))
    saving = build_model(tiny_cfg("OST", "MODEL.ACT_CHECKPOINT", True))
    saving.load_state_dict(plainly.state_dict())
    assert saving.clip.visual.transformer.grad_checkpointing
    for model in (plainly, saving):
        call_model(model, batch).logits.sum().backward()
    assert_close(saving.clip.visual.conv1.weight.grad, plainly.clip.visual.conv1.weight.grad)
    with pytest.raises(UsageError, match="PlainNet has no set_grad_checkpointing"):
        build_model(tiny_cfg("PlainNet", "MODEL.NUM_CLASSES", 3, "MODEL.ACT_CHECKPOINT", True))


def test_compile_covers_the_encoder_and_leaves_names_alone(tiny_cfg, monkeypatch, plain):
    compiled = []
    monkeypatch.setattr(nn.Module, "compile", lambda module: compiled.append(type(module).__name__))
    keys = build_model(tiny_cfg("OST")).state_dict().keys()
    assert build_model(tiny_cfg("OST", "TRAIN.COMPILE", True)).state_dict().keys() == keys
    build_model(tiny_cfg("PlainNet", "MODEL.NUM_CLASSES", 3, "TRAIN.COMPILE", True))
    assert compiled == ["FrameWise", "PlainNet"]


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.gpu)])
def test_compiled_features_are_the_same(tiny_cfg, batch, monkeypatch, backend):
    # "eager" traces the graph as every backend gets it, and runs it without compiling code.
    compile_module = nn.Module.compile
    monkeypatch.setattr(
        nn.Module, "compile", lambda module: compile_module(module, backend=backend)
    )
    gpus = int(backend == "inductor")
    expected = build_model(tiny_cfg("OST", "NUM_GPUS", gpus)).eval()
    model = build_model(tiny_cfg("OST", "NUM_GPUS", gpus, "TRAIN.COMPILE", True)).eval()
    model.load_state_dict(expected.state_dict())
    batch = batch.to("cuda" if gpus else "cpu")
    with torch.no_grad():
        found = call_model(model, batch).logits
        assert_close(found, call_model(expected, batch).logits, rtol=0, atol=1e-4)


def test_unwrap_is_the_model_itself_without_processes(tiny_cfg):
    model = build_model(tiny_cfg("CLIP"))
    assert unwrap(model) is model


def test_an_unchanged_pyslowfast_model_file(batch, monkeypatch):
    monkeypatch.setattr(MODEL_REGISTRY, "_obj_map", dict(MODEL_REGISTRY._obj_map))
    path = Path(__file__).resolve().parent.parent / "assets" / "pyslowfast_model.py"
    opts = ["MODEL.MODEL_NAME", "MyTwoLineNet", "MODEL.NUM_CLASSES", 5, "NUM_GPUS", 0]
    cfg = load_cfg([], [*opts, "EXTENSIONS", [str(path)]], env={})
    model, loss = build_model(cfg), build_loss(cfg)
    terms = loss(call_model(model, batch), batch.labels)
    sum(terms.values()).backward()
    assert model.stem.weight.grad is not None
    with torch.no_grad():
        scores = call_model(model.eval(), batch).logits
    assert_close(scores.sum(dim=1), torch.ones(2))
