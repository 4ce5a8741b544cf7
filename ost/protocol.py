"""Run a whole protocol of the papers: train, test every target and split, make the table.

    ost protocol zero_shot OST kinetics400 --dry-run
    ost protocol few_shot OST hmdb51 4 1 2 3 -- NUM_GPUS 8
    ost protocol few_shot OST ucf101 --from runs/k400.pyth
    ost protocol base_to_novel ViFiCLIP ssv2
    ost protocol fully_supervised OSTText4Vis kinetics400_b32_f8
    ost protocol zero_shot OST kinetics400 --descriptors texts/released -- OST.N 8

The lists and videos of each data set are DATA_ROOT/<data set>/lists and .../videos, as
ost prepare makes them. All lists, classes, descriptors and weights are opened and joined before the
first step. Words behind -- are overrides KEY VALUE for every step. A step
that is done is skipped; the same command goes on after a stop. See docs/protocols.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from slowfast.errors import UsageError
from slowfast.studies.protocol import K600_LISTS, LABELS, PROTOCOLS, Request, Step, plan
from slowfast.studies.records import read_record

MARK = "step.json"
OURS = "ours"
Call = Callable[[Sequence[str]], int]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this tool."""
    parser = argparse.ArgumentParser(
        prog="ost protocol",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("protocol", choices=list(PROTOCOLS))
    add("method", metavar="METHOD", help="a folder of configs/, such as OST or Text4Vis")
    add(
        "dataset",
        metavar="DATASET",
        help="the data set that is trained on, or a variant such as kinetics400_b32_f8",
    )
    add(
        "shots",
        metavar="SHOTS",
        nargs="?",
        default="",
        help="videos per class: 16, or several as 2,4,8,16 (default: as published)",
    )
    add("seeds", metavar="SEED", nargs="*", type=int, help="numbers of the drawn lists")
    _add_choices(parser)
    add(
        "--data-root",
        type=Path,
        default=os.environ.get("DATA_ROOT") or None,
        metavar="FOLDER",
        help="folder of the data sets (default: $DATA_ROOT)",
    )
    add("--output", type=Path, default=Path("runs"), help="folder of all results (%(default)s)")
    add(
        "--launch",
        default=os.environ.get("OST_LAUNCH", "python"),
        metavar="WORDS",
        help="what stands in front of the steps, such as 'torchrun --nproc_per_node 8' "
        "(default: $OST_LAUNCH, or python)",
    )
    add("--dry-run", action="store_true", help="print the commands and run nothing")
    add("--fresh", action="store_true", help="delete what earlier calls left and start over")
    return parser


def _add_choices(parser: argparse.ArgumentParser) -> None:
    """Add what changes the protocol's steps."""
    add = parser.add_argument
    add(
        "--from",
        dest="start",
        default="",
        metavar="FILE",
        help="weights that training starts from (not zero_shot); default: CLIP's",
    )
    add(
        "--weights",
        default="",
        metavar="FILE",
        help="test these instead of training first (zero_shot), such as a released file",
    )
    add(
        "--k600",
        default="val",
        choices=list(K600_LISTS),
        help="which Kinetics-600 videos zero_shot tests (%(default)s); see docs/protocols.md",
    )
    add(
        "--labels",
        default="right",
        choices=LABELS,
        help="published: HMDB-51's class names as the ViFi-CLIP line has them (%(default)s)",
    )
    add(
        "--descriptors",
        default=OURS,
        metavar="FOLDER",
        help="texts: FOLDER/<data set>/{spatial,temporal}_<N>.json, N as -- OST.N says "
        "(%(default)s: those of label_db; ost label-db --released makes a folder of OST's own)",
    )


def parse_request(argv: Sequence[str]) -> tuple[argparse.Namespace, Request]:
    """Return the flags and what they ask for.

    Raises UsageError when SHOTS is no number or DATA_ROOT is unknown.
    """
    words = list(argv)
    cut = words.index("--") if "--" in words else len(words)
    args = build_parser().parse_intermixed_args(words[:cut])
    if args.data_root is None:
        raise UsageError(
            "DATA_ROOT is not set: the folder with <data set>/lists and <data set>/videos"
        )
    try:
        shots = tuple(int(text) for text in args.shots.split(",") if text)
    except ValueError:
        raise UsageError(f"SHOTS {args.shots!r}: expected a number, or several as 2,4,8") from None
    texts = None if args.descriptors == OURS else Path(args.descriptors).absolute()
    # The commands that are shown run from any folder.
    return args, Request(
        args.protocol,
        args.method,
        args.dataset,
        args.data_root.absolute(),
        shots,
        tuple(args.seeds),
        start=_absolute(args.start),
        weights=_absolute(args.weights),
        k600=args.k600,
        labels=args.labels,
        descriptors=texts,
        overrides=tuple(map(_absolute, words[cut + 1 :])),
        output=args.output.absolute(),
    )


def _absolute(word: str) -> str:
    """Return the whole path of a file that ``word`` names, any other word as it is."""
    path = Path(word).expanduser()
    return str(path.absolute()) if path.suffix and path.is_file() else word


def summary_words(steps: Sequence[Step]) -> list[str]:
    """Return the command that makes the table of all tests."""
    return ["-m", "ost", "summarize", *(step.output for step in steps if step.tests)]


def is_done(step: Step) -> bool:
    """Return whether ``step`` was run to its end.

    Raises UsageError when its folder holds the results of other settings.
    """
    found = read_record(Path(step.output, MARK), step.identity())
    return bool(found and found["done"])


def check_all(steps: Sequence[Step], *, fresh: bool = False) -> None:
    """Open and join what the steps that are not done yet will read, before the first of them.

    With ``fresh`` all of them: nothing of an earlier call is deleted for steps that would fail.

    Raises UsageError, DataError with the title of the step whose file is missing or wrong.
    """
    # Late, so that --dry-run and mistakes answer at once.
    from slowfast.studies.protocol_files import check_files

    check_files([step for step in steps if fresh or not is_done(step)])


def mark(step: Step, *, done: bool) -> None:
    """Write down in a step's folder what is run there and whether it has ended."""
    # Late, so that --dry-run and mistakes answer at once.
    from slowfast.evaluation.results import atomic_write

    text = json.dumps({"done": done, "settings": step.identity()}, indent=1)
    atomic_write(Path(step.output, MARK), text + "\n")


def call_process(words: Sequence[str]) -> int:
    """Run a command and return its exit code; SIGINT and SIGTERM are left to it to answer."""
    with subprocess.Popen(words) as process:
        before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            while True:
                try:
                    code = process.wait()
                    return code if code >= 0 else 128 - code
                except KeyboardInterrupt:
                    continue  # a terminal sends it to both: the run saves and ends with 130
        finally:
            signal.signal(signal.SIGTERM, before)


def run_steps(
    steps: Sequence[Step],
    *,
    launch: Sequence[str] = ("python",),
    call: Call = call_process,
    leader: bool = True,
) -> int:
    """Run what is not done yet, then the summary; return the first exit code that is not 0.

    Args:
        steps: of ``plan``.
        launch: words in front of each step's; "python" means this interpreter.
        call: runs one command.
        leader: whether this process writes down what is done and prints the table; of several
            machines that call this, one is.
    """
    done = [is_done(step) for step in steps]
    ran: set[str] = set()
    for number, (step, finished) in enumerate(zip(steps, done), 1):
        title = f"step {number} of {len(steps)}: {step.title}"
        if finished and step.needs not in ran:
            say(leader, f"{title}: done before")
            continue
        say(leader, f"{title}\n   {shlex.join([*_interpreter(launch), *step.words()])}")
        if leader:
            mark(step, done=False)
        if code := call([*_interpreter(launch), *step.words()]):
            print(f"error: {title} ended with exit code {code}; the same command goes on there",
                  file=sys.stderr)  # fmt: skip
            return code
        ran.add(step.output)
        if leader:
            mark(step, done=True)
    if not leader:
        return 0
    words = [sys.executable, *summary_words(steps)]
    say(leader, f"all steps are done\n   {shlex.join(words)}")
    return call(words)


def _interpreter(launch: Sequence[str]) -> list[str]:
    return [sys.executable if word == "python" else word for word in launch]


def say(leader: bool, text: str) -> None:
    """Print a line, on one machine only."""
    if leader:
        print(f"== {text}", flush=True)


def forget(steps: Sequence[Step]) -> None:
    """Delete the folders of steps; only those that an earlier call made."""
    for step in steps:
        if Path(step.output, MARK).is_file():
            shutil.rmtree(step.output)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool and return its exit code."""
    args, request = parse_request(sys.argv[1:] if argv is None else argv)
    steps = plan(request)
    launch = shlex.split(args.launch)
    if args.dry_run:
        for step in steps:
            print(shlex.join([*_interpreter(launch), *step.words()]))
        print(shlex.join([sys.executable, *summary_words(steps)]))
        return 0
    check_all(steps, fresh=args.fresh)
    if args.fresh:
        forget(steps)
    return run_steps(steps, launch=launch)
