"""Every known form of file is read, every other one is described, and none is executed."""

import gzip
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from yacs.config import CfgNode

from slowfast.checkpoint.reader import read_checkpoint
from slowfast.checkpoint.safe_pickle import ForeignConfig
from slowfast.errors import UsageError

from .weights import save

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.tensor([1, 2])}


def equal(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


@pytest.mark.parametrize("envelope", ["model_state", "model", "state_dict", "model_state_dict"])
@pytest.mark.parametrize("zipped", [True, False])
def test_envelopes(tmp_path, envelope, zipped):
    path = tmp_path / "x.pyth"
    content = {envelope: OrderedDict(STATE), "epoch": 3}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(path)
    assert equal(found.state, STATE)
    assert (found.source, found.extra) == (envelope, {"epoch": 3})


def test_bare_dicts_and_safetensors(tmp_path):
    assert read_checkpoint(save(tmp_path / "x.pt", STATE)).source == "bare"
    safetensors.torch.save_file(STATE, tmp_path / "x.safetensors")
    found = read_checkpoint(str(tmp_path / "x.safetensors"))
    assert equal(found.state, STATE)
    assert found.source == "safetensors"


class Leaf(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.attn_mask = torch.full((2, 2), float("-inf"))

    def forward(self, x):
        return self.norm(x)


class Tree(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Parameter(torch.randn(4, 6).T)
        self.blocks = nn.Sequential(Leaf(), Leaf())
        self.names = ["a", "b"]
        self.register_buffer("input_resolution", torch.tensor(224))
        self.register_buffer("nothing", torch.zeros(0))

    def forward(self, x):
        return self.blocks(x) @ self.proj.T


@pytest.mark.parametrize("way", ["trace", "script"])
def test_torchscript_archives_give_what_their_state_dict_gives(tmp_path, way):
    tree = Tree().half().float()
    tree.blocks[1].norm.half()
    module = torch.jit.trace(Tree(), torch.ones(1, 4)) if way == "trace" else torch.jit.script(tree)
    module.save(tmp_path / "clip.pt")
    found = read_checkpoint(tmp_path / "clip.pt")
    assert found.source == "jit"
    kept = {k: v for k, v in found.state.items() if not k.endswith("attn_mask")}
    assert equal(kept, dict(torch.jit.load(tmp_path / "clip.pt").state_dict()))


def published_envelope(state=None, **extra):
    config = CfgNode({"TRAINER": {"OST": {"N": 4}}, "OUTPUT": "x", "BASE": [""]})
    config.freeze()
    optimizer = torch.optim.AdamW([nn.Parameter(torch.ones(2))])
    return {
        "model": OrderedDict(STATE if state is None else state),
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": {"t": {1, 2}},
        "max_accuracy": np.float64(75.5),
        "epoch": np.int64(9),
        "config": config,
        **extra,
    }


@pytest.mark.parametrize("zipped", [True, False])
def test_published_envelopes_with_a_live_config(tmp_path, zipped):
    path = tmp_path / "best.pth"
    torch.save(published_envelope(), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    found = read_checkpoint(path)
    assert equal(found.state, STATE)
    assert type(found.extra["config"]) is ForeignConfig
    assert found.extra["config"]["TRAINER"]["OST"] == {"N": 4}
    assert (found.extra["max_accuracy"], found.extra["epoch"]) == (75.5, 9)


@pytest.mark.parity
def test_recorded_envelope_of_the_released_code(parity):
    path = parity("ost/ost_checkpoint_layout.pth")
    found = read_checkpoint(path)
    assert len(found.state) == 49
    assert all(key.startswith("module.") for key in found.state)
    assert found.extra["config"]["TRAINER"]["OST"]["N"] == 4


class Malicious:
    def __init__(self, call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("call", "name"),
    [
        ((os.system, ("touch {}",)), "system"),
        ((exec, ("open('{}', 'w')",)), "exec"),
        ((getattr, (os, "getcwd")), ""),
        ((torch.load, ("{}",)), "torch.serialization.load"),
        ((np.load, ("{}",)), "load"),
    ],
)
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, zipped, call, name):
    mark = tmp_path / "mark"
    function, arguments = call
    arguments = tuple(a.format(mark) if isinstance(a, str) else a.__name__ for a in arguments)
    bad = published_envelope(extra=Malicious((function, arguments)))
    torch.save(bad, tmp_path / "bad.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UsageError, match=f"refused, since reading it could run code.*{name}"):
        read_checkpoint(tmp_path / "bad.pth")
    assert not mark.exists()


def test_object_scalars_of_numpy_are_refused(tmp_path):
    inner = pickle.dumps(Malicious((os.system, ("true",))))
    scalar = np.float64(0).__reduce__()[0]
    bad = published_envelope(extra=Malicious((scalar, (np.dtype("O"), inner))))
    with pytest.raises(UsageError, match="numpy scalar of type 'O"):
        read_checkpoint(save(tmp_path / "bad.pth", bad))


def test_code_in_a_torchscript_tree_is_refused(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "bad.pt", "w") as archive:
        archive.writestr("bad/data.pkl", pickle.dumps(Malicious((os.system, ("true",)))))
        archive.writestr("bad/constants.pkl", pickle.dumps(()))
    with pytest.raises(UsageError, match="refused.*system"):
        read_checkpoint(tmp_path / "bad.pt")


@pytest.mark.parametrize("keep", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("kind", ["zip", "legacy", "jit", "safetensors"])
def test_truncated_files(tmp_path, kind, keep):
    path = tmp_path / "x.pth"
    if kind == "jit":
        torch.jit.script(Tree()).save(path)
    elif kind == "safetensors":
        safetensors.torch.save_file(STATE, path)
    else:
        save_zip = kind == "zip"
        torch.save(published_envelope(), path, _use_new_zipfile_serialization=save_zip)
    data = path.read_bytes()
    path.write_bytes(data[: max(20, int(keep * len(data)))])
    with pytest.raises(UsageError, match=r"x\.pth: ") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_flipped_bytes_are_noticed(tmp_path):
    path = save(tmp_path / "x.pth", {"model_state": {"w": torch.ones(1000)}})
    data = bytearray(path.read_bytes())
    where = data.index(torch.ones(8).numpy().tobytes())
    data[where + 40] ^= 255
    path.write_bytes(data)
    with pytest.raises(UsageError, match="damaged"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>Sign in</html>", "web page"),
        (b"abseiling,0\nair drumming,1\n", "text, beginning with 'abseiling"),
        (gzip.compress(b"x"), "gzip"),
        (b"\x00\x00\x00\x20ftypisom" + bytes(60), "MP4"),
        (bytes(range(200, 256)), "binary data, beginning with c8 c9"),
        (b"\x89PNG\r\n", "binary data"),
    ],
)
def test_other_files_are_described(tmp_path, data, message):
    (tmp_path / "w.pth").write_bytes(data)
    with pytest.raises(UsageError, match=rf"w\.pth: .*{message}"):
        read_checkpoint(tmp_path / "w.pth")


def test_content_without_weights(tmp_path):
    np.savez(tmp_path / "w.npz", a=np.ones(3))
    with pytest.raises(UsageError, match="not one that torch.save wrote"):
        read_checkpoint(tmp_path / "w.npz")
    for content, message in (
        ([1, 2], "holds a list, expected a dict"),
        ({}, "holds an empty dict"),
        ({"model_state": {}}, "no weights at all"),
        ({"epoch": 3, "cfg": "x"}, "entry 'epoch' is a int, expected tensors"),
        ({"model": {"w": [1.0]}}, "model: entry 'w' is a list"),
    ):
        with pytest.raises(UsageError, match=message):
            read_checkpoint(save(tmp_path / "w.pth", content))


def test_absent_files_and_folders(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read_checkpoint(tmp_path / "absent.pth")
    with pytest.raises(UsageError, match="a folder"):
        read_checkpoint(tmp_path)
