"""Every registered model, encoder and head; what an outsider's file may rely on."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from slowfast.checkpoint.load import load_weights
from slowfast.errors import UsageError
from slowfast.models import (
    ENCODER_REGISTRY,
    HEAD_REGISTRY,
    LOSS_REGISTRY,
    MODEL_REGISTRY,
    VideoTextModel,
    build_loss,
    build_model,
    call_model,
)
from slowfast.models.clip.build import build_clip
from slowfast.models.encoders.build import build_encoder
from slowfast.solver.optimizer import construct_optimizer
from slowfast.structures import Encoded, VideoBatch
from slowfast.text import tokenize

OURS = [name for name in MODEL_REGISTRY.names() if hasattr(MODEL_REGISTRY.get(name), "head_name")]
HEADS = HEAD_REGISTRY.names()
FRAMES = 6
# Options under which an encoder is another one; those that stand here with none have no options.
VARIANTS = {
    "Text4VisEncoder": {
        "plain": ("TEXT4VIS.HEAD", "none"),
        "transf": ("TEXT4VIS.HEAD", "transf"),
        "joint": ("TEXT4VIS.HEAD", "none", "TEXT4VIS.JOINT", True),
        **{
            kind: ("TEXT4VIS.HEAD", "none", "TEXT4VIS.TEMPORAL", kind)
            for kind in ("tsm", "tokenshift", "tokent1d")
        },
    },
    "VideoTrunk": {
        name: ("TRUNK.ARCH", f"configs/demo/trunk_{name}_tiny.json")
        for name in ("x3d", "slow", "mvit")
    },
}
ENCODERS = [
    pytest.param(encoder, opts, id=f"{encoder}-{variant}" if variant else encoder)
    for encoder in ENCODER_REGISTRY.names()
    for variant, opts in VARIANTS.get(encoder, {"": ()}).items()
]


def batch_of(videos: torch.Tensor) -> VideoBatch:
    index = torch.arange(len(videos))
    return VideoBatch([videos], index % 3, index)


@pytest.fixture
def clips() -> torch.Tensor:
    """Return two videos of six frames."""
    generator = torch.Generator().manual_seed(6)
    return torch.randn(2, 3, FRAMES, 32, 32, generator=generator)


@pytest.fixture
def make_cfg(tiny_cfg):
    """Return ``make(model, KEY, value, ...)``: a config with a loss that the head can have."""

    def make(name, *opts, loss=""):
        size = ("DATA.TRAIN_CROP_SIZE", 32, "DATA.TEST_CROP_SIZE", 32)
        opts = ("DATA.NUM_FRAMES", FRAMES, *size, *opts)
        if loss:
            return tiny_cfg(name, *opts, "MODEL.LOSS_FUNC", loss)
        cfg = tiny_cfg(name, *opts, "MODEL.LOSS_FUNC", "ost_contrastive")
        head = cfg.MODEL.HEAD_NAME or MODEL_REGISTRY.get(name).head_name
        if hasattr(HEAD_REGISTRY.get(head), "needs_labels"):  # a head that never wants labels
            return tiny_cfg(name, *opts, "MODEL.LOSS_FUNC", "cross_entropy")
        return cfg

    return make


def check_scores_belong_to_a_video(model, videos):
    """A video's scores are the same alone, beside others, and in any place."""
    model.eval()
    with torch.no_grad():
        output = call_model(model, batch_of(torch.cat([videos, videos.flip(2)])))
        alone = torch.cat([model(part).logits for part in [videos[:1], videos[1:], videos.flip(2)]])
    assert output.logits.shape == (4, 3)
    assert output.logits.dtype == torch.float32
    assert output.logits.isfinite().all()
    assert_close(alone, output.logits, rtol=0, atol=2e-5)
    assert_close(model.score(Encoded(output.video_BTD, output.extras)), output.logits)
    # one feature for each of several times, if and only if the encoder says so
    assert output.video_BTD.shape[::2] == (4, 32)
    assert (output.video_BTD.shape[1] > 1) == ("frames" in model.encoder.provides)


def check_one_step_reaches_every_trained_parameter(model, cfg, videos):
    """A training step gives each trained parameter a finite gradient, and no other one."""
    loss, batch = build_loss(cfg), batch_of(videos)
    model.train()
    terms = loss(call_model(model, batch), batch.labels)
    sum(terms.values()).backward()
    for name, parameter in model.named_parameters():
        has_gradient = parameter.grad is not None and bool(parameter.grad.isfinite().all())
        assert has_gradient == parameter.requires_grad, name
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    optimizer = construct_optimizer(model, cfg)
    for group in optimizer.param_groups:
        group["lr"] = 0.1
    optimizer.step()
    assert any(not p.equal(before[n]) for n, p in model.named_parameters() if n in before)


def check_a_file_of_it_loads_and_holds_no_texts(model, again, path, videos):
    """Weights come back from a file; nothing in it depends on the classes."""
    keys = model.state_dict()
    assert {key.split(".")[0] for key in keys} <= {"clip", "encoder", "head"}
    assert not [key for key in keys if "ids_" in key or "rows_" in key]
    torch.save({"model_state": keys}, path)
    report = load_weights(again, path)
    assert report.clean
    with torch.no_grad():
        assert_close(again.eval()(videos).logits, model.eval()(videos).logits)


@pytest.mark.parametrize("name", OURS)
def test_every_system(name, make_cfg, clips, tmp_path):
    cfg = make_cfg(name)
    model = build_model(cfg)
    assert model.training
    check_scores_belong_to_a_video(model, clips)
    check_one_step_reaches_every_trained_parameter(model, cfg, clips)
    path = tmp_path / "weights.pyth"
    check_a_file_of_it_loads_and_holds_no_texts(model, build_model(cfg), path, clips)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("loss", ["cross_entropy", "ost_contrastive"])
def test_every_system_takes_either_loss_or_says_why_not(name, loss, make_cfg, clips):
    cfg = make_cfg(name, loss=loss)
    head = HEAD_REGISTRY.get(MODEL_REGISTRY.get(name).head_name)
    if loss == "ost_contrastive" and hasattr(head, "needs_labels"):
        with pytest.raises(UsageError, match="use cross_entropy"):
            build_model(cfg)
        return
    model = build_model(cfg)
    assert model.needs_labels == (loss == "ost_contrastive")
    check_one_step_reaches_every_trained_parameter(model, cfg, clips)


@pytest.mark.parametrize(("encoder", "opts"), ENCODERS)
@pytest.mark.parametrize("head", HEADS)
def test_every_pair_works_or_is_refused_with_the_reason(
    encoder, opts, head, make_cfg, clips, tmp_path
):
    cfg = make_cfg("CLIP", "MODEL.ENCODER", encoder, "MODEL.HEAD_NAME", head, *opts)
    provided = build_encoder(cfg, build_clip(cfg.CLIP.ARCH), default="").provides
    requires = HEAD_REGISTRY.get(head).requires
    if missing := set(requires) - set(provided):
        with pytest.raises(UsageError, match="encoders that do: ") as refusal:
            build_model(cfg)
        assert all(requires[name] in str(refusal.value) for name in missing)
        return
    model = build_model(cfg)
    assert type(model.encoder).__name__ == encoder
    assert type(model.head).__name__ == head
    check_scores_belong_to_a_video(model, clips)
    check_one_step_reaches_every_trained_parameter(model, cfg, clips)
    path = tmp_path / "weights.pyth"
    check_a_file_of_it_loads_and_holds_no_texts(model, build_model(cfg), path, clips)


@pytest.mark.parametrize("name", OURS)
def test_the_same_weights_serve_other_classes(name, make_cfg, tmp_path, clips):
    model = build_model(make_cfg(name))
    (tmp_path / "two.txt").write_text("riding a horse\nkicking a ball\n")
    other = build_model(make_cfg(name, "TEXT.SUBSET", str(tmp_path / "two.txt")))
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        three, two = model.eval()(clips).logits, other.eval()(clips).logits
    assert_close(two, three[:, [2, 0]])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OST", "a video of a person pouring tea."),
        ("ViFiCLIP", "a photo of a pouring tea."),
        ("CLIP", "pouring tea"),
        ("Text4Vis", "a video of a person pouring tea."),
        ("OSTText4Vis", "a video of a person pouring tea."),
    ],
)
def test_published_prompts_unless_others_are_named(name, text, tiny_cfg):
    def second_name(*opts):
        bank = build_model(tiny_cfg(name, "MODEL.HEAD_NAME", "CategoryHead", *opts)).head.bank
        where = int(bank.where_KN[1, 0])
        return bank.ids_UL[where, : int(bank.lengths_U[where])].tolist()

    assert second_name() == tokenize([text])[0].tolist()
    assert second_name("TEXT.TEMPLATES", "vanilla_clip") == tokenize(["pouring tea"])[0].tolist()


def test_training_without_labels_is_refused(tiny_cfg, videos):
    model = build_model(tiny_cfg("OST"))
    with pytest.raises(UsageError, match="pass labels, or call eval"):
        model(videos)


def test_two_pathways_are_refused(tiny_cfg, videos):
    with pytest.raises(UsageError, match="takes one pathway, not 2: set MODEL.ARCH clip"):
        build_model(tiny_cfg("OST"))([videos[:, :, ::2], videos])


def test_labels_are_ignored_in_evaluation(tiny_cfg, videos):
    model = build_model(tiny_cfg("OST")).eval()
    assert model(videos, torch.tensor([0, 1])).logits.shape == (2, 3)


def test_ost_says_when_it_is_trained_with_another_loss(tiny_cfg, caplog):
    build_model(tiny_cfg("OST", "MODEL.LOSS_FUNC", "cross_entropy"))
    assert "trains OST otherwise than published: its loss is ost_contrastive" in caplog.text


def test_linear_head_refuses_the_contrastive_loss(tiny_cfg):
    with pytest.raises(
        UsageError, match="LinearHead scores all classes at once: use cross_entropy"
    ):
        build_model(tiny_cfg("OST", "MODEL.HEAD_NAME", "LinearHead"))


class NeedsContext(nn.Module):
    requires = {"context_BLD": "its texts depend on the video"}


def test_an_unsuitable_pair_is_refused_with_the_reason(tiny_clip):
    encoder = ENCODER_REGISTRY.get("FrameWise")()
    with pytest.raises(
        UsageError,
        match=r"NeedsContext needs \['context_BLD'\] of the encoder \(its texts depend on the video"
        r"\), which MODEL.ENCODER FrameWise does not provide",
    ):
        VideoTextModel(clip=tiny_clip, encoder=encoder, head=NeedsContext())


class ContextEncoder(nn.Module):
    """Frame means, and one context token."""

    provides = frozenset({"context_BLD"})

    def forward(self, clip, video_BCTHW):
        features = ENCODER_REGISTRY.get("FrameWise")()(clip, video_BCTHW).video_BTD
        return Encoded(features, {"context_BLD": features[:, :1]})


class ContextHead(NeedsContext):
    """Texts that depend on the video."""

    def forward(self, clip, encoded, labels=None):
        return torch.einsum(
            "btd,bld->bl", encoded.video_BTD, encoded.extras["context_BLD"].expand(-1, 4, -1)
        )


def test_a_head_may_use_what_its_encoder_provides(tiny_clip, videos):
    model = VideoTextModel(clip=tiny_clip, encoder=ContextEncoder(), head=ContextHead())
    output = model(videos)
    assert output.logits.shape == (2, 4)
    assert "context_BLD" in output.extras


@pytest.mark.parametrize("name", ["OST", "ViFiCLIP", "Text4Vis"])
def test_a_last_layer_that_is_not_there_cannot_be_trained_alone(tiny_cfg, name):
    with pytest.raises(UsageError, match="DETACH_FINAL_FC is True, but .* use LinearHead"):
        build_model(tiny_cfg(name, "MODEL.DETACH_FINAL_FC", True))


def test_linear_head_trains_without_the_text_tower(tiny_cfg):
    options = ("MODEL.HEAD_NAME", "LinearHead", "MODEL.LOSS_FUNC", "cross_entropy")
    model = build_model(tiny_cfg("CLIP", *options))
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained
    assert not any(name.startswith(("clip.text.", "clip.logit")) for name in trained)


def test_linear_head_knows_its_class_names(tiny_cfg, videos):
    options = ("MODEL.HEAD_NAME", "LinearHead", "MODEL.NUM_CLASSES", 3)
    named = build_model(tiny_cfg("CLIP", *options))
    assert len(named.head.vocabulary) == 3
    unnamed = build_model(tiny_cfg("CLIP", *options, "TEXT.CLASSES", ""))
    assert unnamed.head.vocabulary is None
    assert unnamed(videos).logits.shape == (2, 3)


@pytest.mark.parametrize(("encoder", "options"), ENCODERS)
def test_nothing_before_detached_features_is_trained(tiny_cfg, clips, encoder, options):
    head = ("MODEL.HEAD_NAME", "LinearHead", "MODEL.DETACH_FINAL_FC", True)
    sizes = ("DATA.NUM_FRAMES", FRAMES, "DATA.TRAIN_CROP_SIZE", 32, "DATA.TEST_CROP_SIZE", 32)
    model = build_model(tiny_cfg("CLIP", "MODEL.ENCODER", encoder, *options, *head, *sizes))
    model.train()(clips).logits.sum().backward()
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {name for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {"head.projection.weight", "head.projection.bias"}


@pytest.mark.parametrize("option", [("TEMPORAL", "tokent1d"), ("JOINT", True)])
def test_what_an_encoder_adds_learns_in_a_frozen_tower(tiny_cfg, option):
    options = ("MODEL.ENCODER", "Text4VisEncoder", "TEXT4VIS.HEAD", "none", "CLIP.TRAINABLE")
    model = build_model(tiny_cfg("CLIP", *options, "none", f"TEXT4VIS.{option[0]}", option[1]))
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained
    assert all("control_point" in name or "time_embedding" in name for name in trained)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("TEXT4VIS.JOINT", True), "TEXT4VIS.JOINT True: for MODEL.ENCODER Text4VisEncoder"),
        (("TRUNK.ARCH", "x3d_m"), "TRUNK.ARCH x3d_m: for MODEL.ENCODER VideoTrunk"),
        (("CLASSIFIER.KIND", "random"), "this model has CategoryHead, and does not read it"),
        (("MODEL.ENCODER", "Text4VisEncoder", "TEXT4VIS.JOINT", True), ""),
    ],
)
def test_options_of_another_part_are_worth_a_word(tiny_cfg, caplog, options, message):
    build_model(tiny_cfg("CLIP", *options))
    assert message in caplog.text
    assert ("does not read it" in caplog.text) == bool(message)


def test_the_backbone_learns_at_its_own_rate(tiny_cfg):
    options = ("MODEL.HEAD_NAME", "LinearHead", "MODEL.LOSS_FUNC", "cross_entropy")
    cfg = tiny_cfg("CLIP", *options, "SOLVER.BACKBONE_LR_RATIO", 0.1)
    groups = construct_optimizer(build_model(cfg), cfg).param_groups
    scales = {group["lr_scale"]: group["param_names"] for group in groups}
    assert set(scales) == {0.1, 1.0}
    assert all(name.startswith("clip.") for name in scales[0.1])
    assert all(name.startswith("head.") for name in scales[1.0])


def test_evaluation_may_use_a_scale_of_its_own(tiny_cfg, videos):
    model = build_model(tiny_cfg("CLIP", "TEST.LOGIT_SCALE", 100.0))
    cosines = model(videos).logits / model.clip.logit_scale.exp()
    assert_close(model.eval()(videos).logits, 100 * cosines)


def test_a_scale_of_cosines_is_refused_where_there_are_none(tiny_cfg):
    options = ("MODEL.HEAD_NAME", "LinearHead", "TEST.LOGIT_SCALE", 100.0)
    with pytest.raises(UsageError, match="TEST.LOGIT_SCALE is 100, a factor of cosines.* LinearH"):
        build_model(tiny_cfg("Text4Vis", *options))


def test_unknown_names_list_the_known_ones(tiny_cfg):
    for key, known in (("MODEL.HEAD_NAME", "OSTHead"), ("MODEL.ENCODER", "FrameWise")):
        with pytest.raises(UsageError, match=f"named 'osthead'; known: .*{known}"):
            build_model(tiny_cfg("OST", key, "osthead"))
    with pytest.raises(UsageError, match="no MODEL named 'Ost'.*did you mean 'OST'"):
        build_model(tiny_cfg("OST", "MODEL.MODEL_NAME", "Ost"))


def test_a_loss_of_ones_own_may_compare_the_batch(tiny_cfg, videos, monkeypatch):
    def diagonal(cfg):
        return lambda output, labels: {"diagonal": -output.logits.log_softmax(1).diag().mean()}

    diagonal.in_batch = True
    monkeypatch.setitem(LOSS_REGISTRY._obj_map, "diagonal", diagonal)
    cfg = tiny_cfg("ViFiCLIP", "MODEL.LOSS_FUNC", "diagonal")
    output = call_model(build_model(cfg), batch_of(videos))
    assert output.logits.shape == (2, 2)
    assert build_loss(cfg)(output, torch.tensor([0, 1]))["diagonal"] > 0


class Broken(nn.Module):
    """An encoder or a head that returns whatever it is told to."""

    answer = None

    def __init__(self, cfg, clip, templates=""):
        super().__init__()

    def forward(self, *inputs):
        return self.answer


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (torch.zeros(2, 3, 32), r"a Tensor of shape \(2, 3, 32\)"),
        (Encoded(torch.zeros(2, 32), {}), r"a Tensor of shape \(2, 32\)"),
        (None, "None"),
    ],
)
def test_an_encoder_that_breaks_the_contract_is_named(tiny_cfg, videos, monkeypatch, answer, found):
    monkeypatch.setitem(ENCODER_REGISTRY._obj_map, "Broken", Broken)
    monkeypatch.setattr(Broken, "answer", answer)
    model = build_model(tiny_cfg("CLIP", "MODEL.ENCODER", "Broken"))
    with pytest.raises(UsageError, match=f"ENCODER Broken returned {found}; expected obj.cfg"):
        model(videos)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (torch.zeros(3, 2), r"a Tensor of shape \(3, 2\)"),
        (torch.zeros(2), r"a Tensor of shape \(2,\)"),
        ([], "a list of 0"),
    ],
)
def test_a_head_that_breaks_the_contract_is_named(tiny_cfg, videos, monkeypatch, answer, found):
    monkeypatch.setitem(HEAD_REGISTRY._obj_map, "Broken", Broken)
    monkeypatch.setattr(Broken, "answer", answer)
    model = build_model(tiny_cfg("CLIP", "MODEL.HEAD_NAME", "Broken"))
    with pytest.raises(UsageError, match=f"HEAD Broken returned {found}; expected obj.cfg"):
        model(videos)


def test_parts_that_take_other_arguments_are_named(tiny_cfg, monkeypatch):
    class Plain(nn.Module):
        def __init__(self, dim_in): ...

    for registry, key in ((ENCODER_REGISTRY, "ENCODER"), (HEAD_REGISTRY, "HEAD_NAME")):
        monkeypatch.setitem(registry._obj_map, "Plain", Plain)
        with pytest.raises(UsageError, match=r"Plain takes \(dim_in\): .*; expected obj.cfg, clip"):
            build_model(tiny_cfg("CLIP", f"MODEL.{key}", "Plain"))
    monkeypatch.setitem(MODEL_REGISTRY._obj_map, "Plain", lambda: None)
    with pytest.raises(UsageError, match=r"takes \(\): too many positional .*; expected obj.cfg"):
        build_model(tiny_cfg("Plain"))
