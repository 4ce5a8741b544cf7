"""Turn a checkpoint of any known system into ours, or into OpenAI's or open_clip's naming.

Prints what became of the keys. Reads files of this project, PySlowFast, OST, ViFi-CLIP, Text4Vis,
OpenAI and open_clip, and never runs code from them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slowfast.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from slowfast.checkpoint.adapters import Adapted

TARGETS = {
    "ours": "this project's file (model_state), for TEST.CHECKPOINT_FILE_PATH",
    "open_clip": "state dict of open_clip's CLIP class",
    "open_clip_custom": "state dict of open_clip's CustomTextCLIP class",
    "openai": "state dict in OpenAI's naming (the same names as open_clip)",
}


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    meanings = "\n".join(f"  {name:17} {meaning}" for name, meaning in TARGETS.items())
    parser = argparse.ArgumentParser(
        prog="ost convert",
        description=__doc__,
        epilog=f"targets:\n{meanings}\n\nA name that ends in .safetensors is written as such.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, help="file to read")
    parser.add_argument("output", type=Path, help="file to write")
    parser.add_argument("--to", choices=TARGETS, default="ours", help="form of the result")
    parser.add_argument("--from", dest="kind", default="auto", help="system that wrote the source")
    parser.add_argument(
        "--clip",
        type=Path,
        help="original CLIP that supplies what ViFi-CLIP and Text4Vis files never hold",
    )
    parser.add_argument("--half", action="store_true", help="write float16")
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    convert(build_parser().parse_args(argv))
    return 0


def convert(args: argparse.Namespace) -> None:
    """Read, rename, report and write."""
    from slowfast.checkpoint.adapters.openai_clip import to_clip_keys
    from slowfast.checkpoint.sources import (
        Source,
        check_target,
        read_adapted,
        sha256,
        write_bare,
        write_result,
    )

    inputs = [path for path in (args.source, args.clip) if path]
    check_target(args.output, inputs, force=args.force)
    adapted = read_adapted(args.source, args.kind)
    state = dict(adapted.state)
    print(
        f"{args.source}: {adapted.kind}, {len(state)} tensors, {len(adapted.renamed)} renamed, "
        f"{len(adapted.dropped)} dropped"
    )
    for key in adapted.dropped:
        print(f"  dropped {key}")
    _supply(adapted, state, args)
    if args.to != "ours":
        state, left = to_clip_keys(state, custom_text=args.to == "open_clip_custom")
        if not state:
            raise UsageError(f"{args.source}: holds no CLIP weights, so none for {args.to}")
        for key in left:
            print(f"  left out {key}: no part of CLIP")
    if args.half:
        state = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    if args.to == "ours" and args.output.suffix != ".safetensors":
        sources = [Source(str(path), sha256(path), adapted.kind, 1.0) for path in inputs]
        write_result(args.output, state, {"method": "convert"}, sources)
    else:
        write_bare(args.output, state)
    print(f"wrote {args.output}: {args.to}, {len(state)} tensors")


def _supply(adapted: Adapted, state: dict[str, Tensor], args: argparse.Namespace) -> None:
    """Take from --clip what this kind of file never holds."""
    from slowfast.checkpoint.sources import read_adapted
    from slowfast.utils.patterns import matches

    absent = [name for name in adapted.absent if not any(matches(key, [name]) for key in state)]
    if not absent:
        return
    if args.clip is None:
        raise UsageError(
            f"{args.source}: {adapted.kind} files hold no {', '.join(absent)}; name the original "
            "CLIP of the same arch with --clip"
        )
    original = read_adapted(args.clip).state
    for key, tensor in state.items():
        if key in original and original[key].shape != tensor.shape:
            raise UsageError(
                f"{args.clip}: weights of another arch: {key} is {tuple(original[key].shape)}, in "
                f"{args.source} {tuple(tensor.shape)}"
            )
    for name in absent:
        supplied = {key: value for key, value in original.items() if matches(key, [name])}
        if not supplied:
            raise UsageError(f"{args.clip}: holds no {name} either")
        state.update(supplied)
        print(f"  taken from {args.clip}: {name} ({len(supplied)} tensors)")
