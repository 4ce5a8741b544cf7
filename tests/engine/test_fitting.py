"""A batch that does not fit is refused with the accumulation that would do."""

import pytest
import torch

from slowfast.engine import train as loop
from slowfast.engine.fitting import check_fit
from slowfast.errors import UsageError
from slowfast.models.build import build_model
from slowfast.models.losses import build_loss
from tests.engine.tiny import tiny_cfg as run_cfg
from tests.models.conftest import tiny_cfg, tiny_files  # noqa: F401

SMALL = ("DATA.TRAIN_CROP_SIZE", 32, "DATA.NUM_FRAMES", 2)
OPTS = (*SMALL, "MODEL.LOSS_FUNC", "ost_contrastive", "TRAIN.BATCH_SIZE", 12)


@pytest.fixture
def memory_for(monkeypatch):
    """Return a function that makes the encoder run out of memory above so many clips."""

    def limit(model, clips):
        forward = model.encoder.forward
        tried = []

        def limited(towers, video):
            tried.append(len(video))
            if len(video) > clips:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return forward(towers, video)

        monkeypatch.setattr(model.encoder, "forward", limited)
        return tried

    return limit


def check(cfg, model) -> None:
    check_fit(cfg, model, build_loss(cfg), 3)


def test_what_fits_is_found_and_named(tiny_cfg, memory_for) -> None:  # noqa: F811
    cfg = tiny_cfg("OST", *OPTS, "TRAIN.TOTAL_BATCH_SIZE", 24)
    model = build_model(cfg)
    tried = memory_for(model, 5)
    with pytest.raises(UsageError) as error:
        check(cfg, model)
    assert tried == [12, 6, 4]
    assert str(error.value) == (
        "TRAIN.BATCH_SIZE 12: 12 clips do not fit into a GPU's memory; what fits is "
        "TRAIN.BATCH_SIZE 4 with TRAIN.TOTAL_BATCH_SIZE 24, which accumulates 6 steps; its "
        "contrastive loss then compares fewer videos"
    )
    memory_for(model, 0)
    with pytest.raises(UsageError, match="nor does one; set MODEL.ACT_CHECKPOINT True"):
        check(cfg, model)


@pytest.mark.parametrize("loss", ["ost_contrastive", "cross_entropy", "soft_cross_entropy"])
def test_nothing_stays_of_a_batch_that_fits(tiny_cfg, loss) -> None:  # noqa: F811
    more = ("MIXUP.ENABLE", True) if loss == "soft_cross_entropy" else ()
    cfg = tiny_cfg("OST", "MODEL.LOSS_FUNC", loss, "TRAIN.BATCH_SIZE", 4, *SMALL, *more)
    model = build_model(cfg)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    drawn = torch.get_rng_state()
    check(cfg, model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_first_step_that_runs_out_of_memory_is_one_line(tmp_path, monkeypatch) -> None:
    def out_of_memory(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(loop, "call_model", out_of_memory)
    with pytest.raises(UsageError, match="4 clips do not fit .* try TRAIN.BATCH_SIZE 2 with "
                       "TRAIN.TOTAL_BATCH_SIZE 4, which accumulates 2 steps$"):  # fmt: skip
        loop.train(run_cfg(tmp_path))
