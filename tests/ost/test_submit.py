"""Submitting a protocol through submitit, without a cluster."""

from functools import partial
from types import SimpleNamespace

import pytest

from ost.cli import call
from ost.submit import ProtocolJob, executor_parameters, make_executor, submit, torchrun_words
from slowfast.errors import UsageError

WORDS = ["fully_supervised", "OST", "ssv2", "--data-root", "/data", "--output"]

main = partial(call, "submit")


class Executor:
    """Stands for submitit's: keeps what it is given."""

    def __init__(self, cluster, logs, parameters) -> None:
        self.cluster, self.logs, self.parameters = cluster, logs, parameters

    def submit(self, job):
        self.job = job
        return self


def test_it_submits_one_task_for_each_machine(tmp_path) -> None:
    more = ["--param", "slurm_partition=gpu", "--param", "timeout_min=60", "--logs", str(tmp_path)]
    protocol = [*WORDS, "out", "--", "NUM_GPUS", "8"]
    done = submit([*more, "2", "8", *protocol], Executor)
    assert (done.cluster, done.logs) == ("slurm", tmp_path)
    assert done.parameters == {
        "nodes": 2,
        "tasks_per_node": 1,
        "gpus_per_node": 8,
        "slurm_partition": "gpu",
        "timeout_min": 60,
    }
    assert (done.job.words, done.job.nodes, done.job.gpus) == (protocol, 2, 8)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["0", "8", *WORDS, "x"], "NODES and GPUS"),
        (["1", "8", "fully_supervised", "OST", "ssv3", "--data-root", "/d"], "'ssv3'"),
        (["--param", "gpu", "1", "8", *WORDS, "x"], "expected KEY=VALUE"),
    ],
)
def test_mistakes_show_before_anything_waits_in_a_queue(words, message) -> None:
    with pytest.raises(UsageError, match=message):
        submit(words, Executor)


def test_without_submitit_it_says_what_to_do(monkeypatch, capsys) -> None:
    monkeypatch.setitem(__import__("sys").modules, "submitit", None)
    assert main(["1", "1", *WORDS, "x"]) == 2
    assert "pip install" in capsys.readouterr().err


def test_machines_meet_at_the_first_one() -> None:
    words = torchrun_words(2, 4, "gpu01", "7")
    assert words[1:3] == ["-m", "torch.distributed.run"]
    assert words[words.index("--nnodes") + 1] == "2"
    assert words[words.index("--nproc_per_node") + 1] == "4"
    assert words[-1].startswith("gpu01:2")
    assert words == torchrun_words(2, 4, "gpu01", "7")


def test_parameters_without_extras() -> None:
    assert executor_parameters(1, 2, []) == {"nodes": 1, "tasks_per_node": 1, "gpus_per_node": 2}


class Call:
    """Runs nothing; every step ends with ``code``."""

    def __init__(self, code: int) -> None:
        self.code, self.words = code, []

    def __call__(self, words) -> int:
        self.words.append(list(words))
        return self.code


@pytest.fixture
def checked(monkeypatch) -> list:
    """Return what was checked, in the place of opening files that are not there."""
    seen: list = []
    monkeypatch.setattr("ost.submit.check_all", seen.extend)
    return seen


def test_a_job_of_submitit_runs_the_steps(tmp_path, checked) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed (extra: slurm)")
    call = Call(0)
    executor = make_executor("debug", tmp_path / "logs", {"timeout_min": 1})  # in this process
    job = executor.submit(ProtocolJob([*WORDS, str(tmp_path / "out")], 1, 2, call))
    assert job.result() == 0
    assert [step.title for step in checked] == ["train and test on ssv2"]
    step, table = call.words
    assert step[2] == "torch.distributed.run"
    assert step[step.index("--nproc_per_node") + 1] == "2"
    assert "-m ost run --cfg" in " ".join(step)
    assert table[1:4] == ["-m", "ost", "summarize"]
    assert list((tmp_path / "out").rglob("step.json"))


@pytest.mark.parametrize(("rank", "written"), [(0, 1), (1, 0)])
def test_a_failed_step_fails_the_job_on_every_machine(
    tmp_path, monkeypatch, checked, rank, written
) -> None:
    submitit = pytest.importorskip("submitit", reason="submitit is not installed (extra: slurm)")
    place = SimpleNamespace(hostnames=["gpu01", "gpu02"], job_id="12", global_rank=rank)
    monkeypatch.setattr(submitit, "JobEnvironment", lambda: place)
    call = Call(3)
    with pytest.raises(RuntimeError, match="exit code 3"):
        ProtocolJob([*WORDS, str(tmp_path)], 2, 4, call)()
    assert any(word.startswith("gpu01:2") for word in call.words[0])
    assert len(list(tmp_path.rglob("step.json"))) == written


def test_at_the_end_of_its_time_the_same_job_is_queued_again() -> None:
    pytest.importorskip("submitit", reason="submitit is not installed (extra: slurm)")
    job = ProtocolJob([*WORDS, "x"], 2, 8)
    assert job.checkpoint().function is job
