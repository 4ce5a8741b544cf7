"""Read the weights of any file that people have, without ever running code from it.

Known forms: PySlowFast's and ours (``model_state``), the OST line's (``model``, with a pickled
config), open_clip's training files (``state_dict``), ``model_state_dict``, a bare dict of tensors,
OpenAI's TorchScript archives, safetensors.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from slowfast.checkpoint.jit_archive import is_jit_archive, read_jit_archive
from slowfast.checkpoint.safe_pickle import PICKLE_MODULE, RefusedGlobal
from slowfast.errors import UsageError
from slowfast.utils.env import checkpoint_pathmgr

ENVELOPES = ("model_state", "model", "state_dict", "model_state_dict")
APART = "fusion_model_state_dict"  # beside one of these; without it a model would be half loaded
# What a damaged file may make torch, zipfile or pickle raise.
DAMAGE = (
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    NotImplementedError,
)
SIGNS = (
    (b"version https://git-lfs", "a Git LFS pointer: fetch the file itself (git lfs pull)"),
    (b"<", "a web page or XML: the download gave an error page instead of the file"),
    (b"\x1f\x8b", "gzip-compressed: unpack it first"),
    (b"{", "JSON or other text"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"RIFF", "an AVI or WAV file"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
)


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Args:
        state: tensors under the file's own keys.
        source: the form: an envelope's key, "bare", "jit" or "safetensors".
        extra: the envelope's other entries (epoch, cfg, optimizer_state, ...).
    """

    state: dict[str, Tensor]
    source: str
    extra: dict[str, Any] = field(default_factory=dict)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read weights on the CPU from a file in any known form.

    Raises:
        UsageError: no such file; empty, truncated or of an unknown kind, and then the message says
            what it looks like; or a pickle that asks for more than tensors and plain values.
    """
    content = read_content(path)
    if isinstance(content, Checkpoint):
        return content
    if not isinstance(content, Mapping) or not content:
        raise UsageError(f"{path}: holds {_describe(content)}, expected a dict of weights")
    if content.get(APART):
        raise UsageError(
            f"{path}: written by Text4Vis' contrastive trainer, which keeps its head apart "
            f"({APART}): such files are not supported"
        )
    for name in ENVELOPES:
        if isinstance(content.get(name), Mapping):
            extra = {key: value for key, value in content.items() if key != name}
            return Checkpoint(_only_tensors(content[name], f"{path}: {name}"), name, extra)
    return Checkpoint(_only_tensors(content, str(path)), "bare")


def read_content(path: str | Path) -> Any:
    """Return the unpickled content of a torch file, or a Checkpoint for the other kinds.

    Raises:
        UsageError: as ``read_checkpoint``.
    """
    local = _local(path)
    with local.open("rb") as file:
        head = file.read(64)
    try:
        if head[8:9] == b"{" and 0 < int.from_bytes(head[:8], "little") < local.stat().st_size:
            return Checkpoint(safetensors.torch.load_file(local), "safetensors")
        if head[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(local) as archive:
                if is_jit_archive(archive):
                    return Checkpoint(read_jit_archive(archive), "jit")
                if not any(name.endswith("data.pkl") for name in archive.namelist()):
                    raise UsageError(f"{path}: a zip archive, but not one that torch.save wrote")
                _check_sums(archive)
        elif head[:1] != b"\x80":
            raise UsageError(f"{path}: not a checkpoint; it looks like {_look(head)}")
        return _load(local)
    except RefusedGlobal as error:
        raise UsageError(
            f"{path}: refused, since reading it could run code: it asks for {error.name}"
        ) from None
    except (*DAMAGE, safetensors.SafetensorError) as error:
        if isinstance(error, UsageError):
            raise
        size = local.stat().st_size
        raise UsageError(
            f"{path}: truncated or damaged ({size:,} bytes; it begins like a checkpoint, but "
            f"cannot be read: {_first_line(error)}); copy or download it again"
        ) from None


def _local(path: str | Path) -> Path:
    """Return the path of a file that is here, fetching a remote one; refuses what is no file."""
    local = Path(path)
    if "://" in str(path):
        try:
            local = Path(checkpoint_pathmgr.get_local_path(str(path)))
        except (OSError, RuntimeError) as error:
            raise UsageError(f"{path}: cannot be fetched: {_first_line(error)}") from None
    if not local.is_file():
        kind = "a folder, expected a file" if local.is_dir() else "no such file"
        raise UsageError(f"{path}: {kind}")
    if local.stat().st_size == 0:
        raise UsageError(f"{path}: empty (0 bytes); copy or download it again")
    return local


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=PICKLE_MODULE)


def _check_sums(archive: zipfile.ZipFile) -> None:
    """Raise BadZipFile if some records' bytes are not those that were written.

    torch can be told to write no check sums; then none fits and nothing can be said.
    """
    bad, records = [], archive.infolist()
    for record in records:
        try:
            with archive.open(record) as data:
                while data.read(1 << 20):
                    pass
        except zipfile.BadZipFile:
            bad.append(record.filename)
    if 0 < len(bad) < len(records):
        raise zipfile.BadZipFile(f"the bytes of {bad[0]} have changed since they were written")


def _only_tensors(state: Mapping[Any, Any], where: str) -> dict[str, Tensor]:
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            known = ", ".join(ENVELOPES)
            raise UsageError(
                f"{where}: entry {key!r} is {_describe(value)}, expected tensors by name, or a "
                f"dict with one of {known}"
            )
    if not state:
        raise UsageError(f"{where}: holds no weights at all")
    return dict(state)


def _describe(value: Any) -> str:
    if isinstance(value, Mapping):
        return "an empty dict" if not value else f"a dict of {', '.join(map(str, list(value)[:5]))}"
    return f"a {type(value).__name__}"


def _look(head: bytes) -> str:
    for sign, meaning in SIGNS:
        if head.lstrip().startswith(sign):
            return meaning
    if head[4:8] == b"ftyp":
        return "an MP4 or MOV video"
    if head.isascii() and head.decode().replace("\n", "").replace("\r", "").isprintable():
        return f"text, beginning with {head[:30].decode()!r}"
    return f"binary data, beginning with {head[:8].hex(' ')}"


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
