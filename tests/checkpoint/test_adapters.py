"""Key maps of each system, on tiny weights and on the real names and shapes of ViT-B/16."""

import numpy as np
import open_clip
import pytest
import torch

from slowfast.checkpoint.adapters import ADAPTERS, Adapter, adapt, recognise, register_adapter
from slowfast.checkpoint.adapters.openai_clip import to_clip_keys
from slowfast.errors import UsageError

from . import weights

SYSTEMS = {
    "slowfast": lambda state: state,
    "ost": weights.ost,
    "vifi_clip": weights.vifi,
    "openai_clip": weights.flat,
    "open_clip": weights.custom,
}


@pytest.fixture(scope="module")
def vit_b16():
    config = open_clip.get_model_config("ViT-B-16-quickgelu")
    config.pop("custom_text", None)
    with torch.device("meta"):
        custom = open_clip.CustomTextCLIP(**config).state_dict()
        clip = open_clip.CLIP(**config).state_dict()
    return {f"clip.{key}": value for key, value in custom.items()}, clip


def shapes(state):
    return {key: tuple(value.shape) for key, value in state.items()}


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("prefix", ["", "module.", "module._orig_mod."])
def test_every_system_with_and_without_wrappers(system, prefix):
    state = weights.ours()
    named = {k.removeprefix("module."): v for k, v in SYSTEMS[system](state).items()}
    for kind in ("auto", "pytorch", system):
        adapted = adapt({prefix + key: value for key, value in named.items()}, kind)
        assert adapted.kind == system
        expected = {k: v for k, v in state.items() if k not in adapted.absent}
        assert adapted.state.keys() == expected.keys()
        assert all(torch.equal(adapted.state[key], expected[key]) for key in expected)


@pytest.mark.parametrize("system", SYSTEMS)
def test_real_names_and_shapes(vit_b16, system):
    ours, _ = vit_b16
    named = SYSTEMS[system](ours)
    adapted = adapt(named)
    assert adapted.kind == system
    assert shapes(adapted.state) == {
        k: v for k, v in shapes(ours).items() if k not in adapted.absent
    }
    # The sheet counts of the published files: 302 tensors, ViFi-CLIP 301 and a buffer.
    assert len(named) == 302
    assert len(adapted.state) == (301 if system == "vifi_clip" else 302)


def test_open_clips_own_class_is_openai_naming(vit_b16):
    ours, clip = vit_b16
    assert shapes(adapt(clip).state) == shapes(ours)
    there, rest = to_clip_keys({**ours, "head.weight": torch.ones(1)})
    assert shapes(there) == shapes(clip)
    assert rest == ["head.weight"]
    assert shapes(to_clip_keys(ours, custom_text=True)[0]) == shapes(weights.custom(ours))


def test_what_openai_archives_hold_besides_weights_is_dropped():
    state = {
        **{k: v.half() for k, v in weights.flat(weights.ours()).items()},
        "input_resolution": torch.tensor(224),
        "context_length": torch.tensor(77),
        "vocab_size": torch.tensor(49408),
        "transformer.resblocks.0.attn_mask": torch.zeros(2, 2),
    }
    adapted = adapt(state)
    assert adapted.kind == "openai_clip"
    assert len(adapted.dropped) == 4
    assert adapted.state.keys() == weights.ours().keys()
    assert {value.dtype for value in adapted.state.values()} == {torch.float32}


def test_vifi_drops_its_prompt_buffers_only():
    state = weights.vifi(weights.ours())
    for name in ("token_prefix", "token_suffix", "ctx"):
        state[f"module.prompt_learner.{name}"] = torch.zeros(1)
    adapted = adapt(state)
    assert len(adapted.dropped) == 3
    assert "prompt_learner.ctx" in adapted.state, "a learned prompt is not thrown away unseen"


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "kind"), [("ost/ost_tiny", "ost"), ("vificlip/vifi_tiny", "vifi_clip")]
)
def test_recorded_key_lists(parity, name, kind):
    data = np.load(parity(f"{name}.npz"))
    state = {k[3:]: torch.from_numpy(data[k]) for k in data.files if k.startswith("sd/")}
    adapted = adapt(state)
    assert adapted.kind == kind
    assert len(adapted.state) == (74 if kind == "ost" else 73)
    assert all(
        k.startswith(("clip.visual.", "clip.text.", "clip.logit_scale")) for k in adapted.state
    )


def test_models_of_no_known_system_are_taken_as_they_are():
    state = {"module.s1.conv.weight": torch.ones(1), "head.bias": torch.ones(1)}
    assert recognise(state) is ADAPTERS["slowfast"]
    assert list(adapt(state).state) == ["s1.conv.weight", "head.bias"]


def test_a_wrong_kind_is_refused():
    with pytest.raises(UsageError, match="choose auto or one of slowfast, ost"):
        adapt(weights.ours(), "xclip")
    with pytest.raises(UsageError, match="looks like openai_clip"):
        adapt(weights.flat(weights.ours()), "vifi_clip")
    doubled = {"module.visual.proj": torch.ones(1), "visual.proj": torch.ones(1)}
    with pytest.raises(UsageError, match=r"two keys of these .* become clip\.visual\.proj"):
        adapt(doubled, "openai_clip")


@pytest.fixture
def foreign():
    """Another system's adapter, registered from outside the package, for one test."""
    kept = dict(ADAPTERS)
    renames = (("tower.", "clip.visual."), ("words.", "clip.text."), ("scale", "clip.logit_scale"))
    yield register_adapter(Adapter("foreign", lambda keys: "scale" in keys, renames, ("loss.*",)))
    ADAPTERS.clear()
    ADAPTERS.update(kept)


def as_foreign(state):
    renamed = {
        key.replace("clip.visual.", "tower.")
        .replace("clip.text.", "words.")
        .replace("clip.logit_scale", "scale"): value
        for key, value in state.items()
    }
    return {**renamed, "loss.weight": torch.ones(1)}


def test_an_adapter_may_be_registered_from_outside(foreign):
    ours = weights.ours()
    for kind in ("auto", "foreign"):
        adapted = adapt(as_foreign(ours), kind)
        assert (adapted.kind, adapted.dropped) == ("foreign", ["loss.weight"])
        assert adapted.state.keys() == ours.keys()
    for system, rename in SYSTEMS.items():  # the others are recognised as before
        assert adapt(rename(ours)).kind == system


def test_a_second_adapter_of_the_same_name_replaces_the_first(foreign):
    second = register_adapter(Adapter("foreign", lambda keys: "scale" in keys, ()))
    assert recognise(["scale"]) is second
    assert list(ADAPTERS).count("foreign") == 1
