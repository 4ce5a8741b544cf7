"""Submit a whole protocol to a cluster through submitit.

    ost submit --param slurm_partition=gpu --param timeout_min=1440 2 8 \\
        zero_shot OST kinetics400 -- DATA_LOADER.NUM_WORKERS 12

NODES machines with GPUS GPUs each run the steps of ost protocol one after the other, every
step over all of them by torchrun. Before its time ends, or when it is preempted, the job goes back
into the queue and then goes on from the last checkpoint. script/slurm.sh needs no submitit.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ost.protocol import Call, call_process, check_all, parse_request, run_steps
from slowfast.errors import UsageError
from slowfast.studies.protocol import plan

FIRST_PORT = 20000


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this tool."""
    parser = argparse.ArgumentParser(
        prog="ost submit",
        usage="ost submit [options] NODES GPUS PROTOCOL METHOD DATASET [...]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("nodes", type=int, metavar="NODES", help="machines")
    add("gpus", type=int, metavar="GPUS", help="processes on each machine, one for each GPU")
    add("--cluster", default="slurm", help="of submitit: slurm, or local for a try (%(default)s)")
    add("--logs", type=Path, default=Path("runs/submitit"), help="of the jobs (%(default)s)")
    add(
        "--param",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="parameter of submitit's executor, such as slurm_partition=gpu (repeatable)",
    )
    add("protocol", nargs=argparse.REMAINDER, metavar="PROTOCOL METHOD DATASET [...]",
        help="as for ost protocol")  # fmt: skip
    return parser


def torchrun_words(nodes: int, gpus: int, head: str, job: str) -> list[str]:
    """Return what launches a step on one of ``nodes`` machines that meet at machine ``head``.

    >>> torchrun_words(2, 8, "gpu07", "81234_1")[-1]
    'gpu07:29111'
    """
    port = FIRST_PORT + zlib.crc32(job.encode()) % 10000
    words = [sys.executable, "-m", "torch.distributed.run"]
    words += ["--nnodes", str(nodes), "--nproc_per_node", str(gpus), "--rdzv_id", job]
    return [*words, "--rdzv_backend", "c10d", "--rdzv_endpoint", f"{head}:{port}"]


class ProtocolJob:
    """What each machine of a job runs; the first one writes down what is done.

    Args:
        words: the command line of ost protocol.
        nodes: machines.
        gpus: processes of each.
        call: runs one command.
    """

    def __init__(
        self, words: Sequence[str], nodes: int, gpus: int, call: Call = call_process
    ) -> None:
        self.words, self.nodes, self.gpus, self.call = list(words), nodes, gpus, call

    def __call__(self) -> int:
        """Run all steps that are not done; a failure fails the job."""
        from submitit import JobEnvironment

        place = JobEnvironment()
        launch = torchrun_words(self.nodes, self.gpus, place.hostnames[0], place.job_id)
        steps = plan(parse_request(self.words)[1])
        check_all(steps)
        code = run_steps(steps, launch=launch, call=self.call, leader=place.global_rank == 0)
        if code:
            raise RuntimeError(f"a step ended with exit code {code}; its log is above")
        return code

    def checkpoint(self) -> Any:
        """Return the same job again: submitit asks for it when the time is up."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def executor_parameters(nodes: int, gpus: int, given: Sequence[str]) -> dict[str, Any]:
    """Return submitit's parameters: one task for each machine, and what ``KEY=VALUE`` adds.

    Raises UsageError for a word of another form.

    >>> executor_parameters(2, 8, ["timeout_min=60", "slurm_partition=gpu"])["timeout_min"]
    60
    """
    found: dict[str, Any] = {"nodes": nodes, "tasks_per_node": 1, "gpus_per_node": gpus}
    for word in given:
        key, sign, value = word.partition("=")
        if not (key and sign):
            raise UsageError(f"--param {word!r}: expected KEY=VALUE")
        found[key] = int(value) if value.isdecimal() else value
    return found


def make_executor(cluster: str, logs: Path, parameters: dict[str, Any]) -> Any:
    """Return submitit's executor; raises UsageError without submitit or for a wrong parameter."""
    try:
        import submitit
    except ImportError:
        raise UsageError(
            "submitit is not installed: pip install -e '.[slurm]', or use script/slurm.sh"
        ) from None
    try:
        executor = submitit.AutoExecutor(folder=logs, cluster=cluster)
        executor.update_parameters(name="ost-protocol", **parameters)
    except (ValueError, TypeError, NameError, RuntimeError) as error:
        raise UsageError(f"submitit: {str(error).splitlines()[0]}") from None
    return executor


def submit(argv: Sequence[str], executor_of: Callable[..., Any] = make_executor) -> Any:
    """Submit what the command line asks for and return submitit's job.

    Raises UsageError as soon as anything in it is wrong, before it waits in a queue.
    """
    args = build_parser().parse_args(argv)
    if min(args.nodes, args.gpus) < 1:
        raise UsageError("NODES and GPUS are numbers from 1")
    plan(parse_request(args.protocol)[1])
    parameters = executor_parameters(args.nodes, args.gpus, args.param)
    executor = executor_of(args.cluster, args.logs, parameters)
    return executor.submit(ProtocolJob(args.protocol, args.nodes, args.gpus))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool and return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    job = submit(words)
    print(f"job {job.job_id}, log {job.paths.stdout}")
    return 0
