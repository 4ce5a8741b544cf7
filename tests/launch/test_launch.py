"""Launching: one process, spawned ones, ranks that others started, and what goes wrong."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from slowfast.config import LaunchFacts, get_cfg
from slowfast.errors import DataError, Interrupted, UsageError
from slowfast.launch import group, launch
from slowfast.launch.group import Member
from slowfast.utils import distributed as du
from tests.distributed import run_two_processes
from tests.engine import workers

ROOT = Path(__file__).parents[2]
TWO = LaunchFacts("spawn", rank=0, world_size=2, local_rank=0, local_world_size=2)


@pytest.fixture
def cfg():
    cfg = get_cfg()
    cfg.NUM_GPUS = 0
    return cfg


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_one_process_runs_here_without_a_group(cfg) -> None:
    seen = launch.launch(cfg, lambda c: (c.RNG_SEED, du.is_initialized(), os.getpid()))
    assert seen == (cfg.RNG_SEED, False, os.getpid())


def test_gpus_that_are_not_there_are_refused(cfg) -> None:
    cfg.NUM_GPUS = torch.cuda.device_count() + 1
    with pytest.raises(UsageError, match=r"NUM_GPUS is \d+, but this machine has \d+ CUDA"):
        launch.launch(cfg, workers.rank_and_world)


@pytest.mark.parametrize(
    ("present", "launcher", "count", "line"),
    [
        (0, {}, 0, "NUM_GPUS -1: running on the CPU: there is no CUDA device"),
        (1, {}, 1, "NUM_GPUS -1: running on 1 GPU"),
        (8, {}, 8, "NUM_GPUS -1: running on 8 GPUs"),
        (8, {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}, 4, "running on 4 GPUs"),
        (0, {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}, 0, "running on the CPU"),
    ],
)
def test_all_gpus_are_counted_and_said(monkeypatch, caplog, present, launcher, count, line) -> None:
    for name, value in launcher.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: present > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: present)
    caplog.set_level("INFO", logger=launch.logger.name)
    cfg = get_cfg()
    assert cfg.NUM_GPUS == -1
    counted = launch.count_gpus(cfg)
    assert (counted.NUM_GPUS, cfg.NUM_GPUS, counted.is_frozen()) == (count, -1, False)
    assert caplog.text.count("\n") == 1
    assert line in caplog.text


def test_a_batch_that_all_gpus_cannot_share_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 6)
    with pytest.raises(UsageError, match="TRAIN.BATCH_SIZE is 64: .* NUM_GPUS, which is 6"):
        launch.launch(get_cfg(), workers.rank_and_world)


def test_spawned_processes_form_one_group_and_rank_0_answers() -> None:
    answer = launch.spawn(workers.gather_ranks, ("x",), facts=TWO)
    assert answer["tag"] == "x"
    assert answer["ranks"] == [0, 1]
    assert answer["local"] == 0
    assert answer["pid"] != os.getpid()


def test_an_address_may_be_given() -> None:
    answer = launch.spawn(
        workers.gather_ranks, ("x",), facts=TWO, init_method=f"tcp://127.0.0.1:{free_port()}"
    )
    assert answer["ranks"] == [0, 1]


def test_a_port_in_use_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port of tcp://127.0.0.1:{port} is in use"):
            launch.spawn(
                workers.gather_ranks, ("x",), facts=TWO, init_method=f"tcp://127.0.0.1:{port}"
            )


@pytest.mark.parametrize(
    ("how", "error", "match"),
    [
        ("raise", launch.WorkerError, "rank 1 failed:\nTraceback(.|\n)*a bug on purpose"),
        ("data", DataError, "list.csv:3: label 9"),
        ("kill", launch.WorkerError, r"rank 1 \(process \d+\) was ended by SIGKILL"),
    ],
)
def test_a_failing_worker_ends_the_job_within_seconds(how, error, match) -> None:
    start = time.monotonic()
    with pytest.raises(error, match=match):
        launch.spawn(workers.fail_on, (1, how), facts=TWO)
    assert time.monotonic() - start < 40  # most of it is importing torch twice
    assert launch.WorkerError(1, "failed").exit_code == 1


def _when(paths: list[Path], action) -> threading.Thread:
    def watch() -> None:
        deadline = time.monotonic() + 60
        while not all(path.exists() for path in paths) and time.monotonic() < deadline:
            time.sleep(0.02)
        action()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_a_signal_reaches_the_workers_and_the_one_that_saves_may_finish(tmp_path) -> None:
    ready = [tmp_path / "ready0", tmp_path / "ready1"]
    thread = _when(ready, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted, match="saved"):
        launch.spawn(workers.save_when_interrupted, (str(tmp_path),), facts=TWO)
    thread.join()
    assert (tmp_path / "saved").exists()


def test_a_signal_that_no_loop_handles_counts_as_an_interruption(tmp_path) -> None:
    thread = _when(
        [tmp_path / "pid0", tmp_path / "pid1"], lambda: os.kill(os.getpid(), signal.SIGTERM)
    )
    with pytest.raises(Interrupted, match="before anything could be saved"):
        launch.spawn(workers.wait_forever, (str(tmp_path),), facts=TWO)
    thread.join()


PARENT = """
import sys
from slowfast.config import LaunchFacts
from slowfast.launch.launch import spawn
from tests.engine import workers
if __name__ == "__main__":
    facts = LaunchFacts("spawn", 0, 2, 0, 2)
    spawn(workers.wait_forever, (sys.argv[1],), facts=facts)
"""


def test_workers_end_when_the_parent_is_killed(tmp_path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)], env=env, cwd=ROOT)
    files = [tmp_path / "pid0", tmp_path / "pid1"]
    _when(files, parent.kill).join()
    parent.wait()
    time.sleep(0.1)
    deadline = time.monotonic() + 10
    left = [int(file.read_text()) for file in files]
    while left and time.monotonic() < deadline:
        left = [pid for pid in left if _runs(pid)]
        time.sleep(0.05)
    assert not left


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def _launch_as_rank(num_gpus: int) -> dict:
    dist.destroy_process_group()  # the helper made one; here launch has to
    cfg = get_cfg()
    cfg.NUM_GPUS = num_gpus
    first = launch.launch(cfg, workers.rank_and_world)
    again = launch.launch(cfg, workers.rank_and_world)
    assert first == again
    assert du.is_initialized(), "under torchrun the group stays for the whole process"
    return first


def test_ranks_that_a_launcher_started_run_here(monkeypatch) -> None:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(free_port()))
    found = run_two_processes(_torchrun_rank, "127.0.0.1", os.environ["MASTER_PORT"])
    assert [(f["rank"], f["world"]) for f in found] == [(0, 2), (1, 2)]


def _torchrun_rank(address: str, port: str) -> dict:
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = address, port
    return _launch_as_rank(0)


def _shard(address: str, other_seed: bool) -> dict:
    rank = du.get_rank()
    dist.destroy_process_group()
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        os.environ.pop(name)
    cfg = get_cfg()
    cfg.NUM_GPUS, cfg.NUM_SHARDS, cfg.SHARD_ID = 0, 2, rank
    cfg.RNG_SEED += rank if other_seed else 0
    found = launch.launch(cfg, workers.rank_and_world, address)
    assert not du.is_initialized()
    assert "LOCAL_WORLD_SIZE" not in os.environ
    return found


def test_two_machines_with_one_process_each_are_one_job() -> None:
    found = run_two_processes(_shard, f"tcp://127.0.0.1:{free_port()}", False)
    assert [(f["rank"], f["world"]) for f in found] == [(0, 2), (1, 2)]


def test_ranks_with_another_config_are_named_before_the_first_step() -> None:
    with pytest.raises(RuntimeError, match="the config of rank 1 .* differs from that of rank 0"):
        run_two_processes(_shard, f"tcp://127.0.0.1:{free_port()}", True)


def test_machines_need_an_address(cfg) -> None:
    cfg.NUM_SHARDS = 2
    with pytest.raises(UsageError, match=r"NUM_SHARDS is 2: .*--init_method tcp://"):
        launch.launch(cfg, workers.rank_and_world)


def test_ranks_that_do_not_come_are_named(tmp_path) -> None:
    member = Member(0, 3, 0, 1, f"file://{tmp_path}/meet")
    store = group.open_store(member, 1)
    store.set("roll_call/2", "{}")
    with pytest.raises(UsageError, match=r"ranks \[1\] of 3 did not come .*--shard_id"):
        group.roll_call(store, member, "", seconds=0.5)


def test_a_first_machine_that_is_absent_is_one_line() -> None:
    member = Member(1, 2, 0, 1, f"tcp://127.0.0.1:{free_port()}")
    with pytest.raises(UsageError, match=r"rank 1 found nobody at tcp://.*--shard_id 0") as caught:
        group.open_store(member, 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["localhost:80", "tcp://localhost", "udp:"])
def test_a_malformed_address_is_refused(address) -> None:
    with pytest.raises(UsageError, match="expected tcp://HOST:PORT"):
        group.open_store(Member(0, 2, 0, 1, address))


def test_backends() -> None:
    assert group.pick_backend("nccl", cuda=True) == "nccl"
    assert group.pick_backend("NCCL", cuda=False) == "gloo"
    assert group.pick_backend("gloo", cuda=True) == "gloo"
    with pytest.raises(UsageError, match="DIST_BACKEND 'mpi': expected nccl or gloo"):
        group.pick_backend("mpi", cuda=False)


def test_gloo_instead_of_nccl_is_said(caplog) -> None:
    with caplog.at_level("INFO", logger="slowfast"):
        group.pick_backend("nccl", cuda=False)
    assert "CPU processes use gloo" in caplog.text


@pytest.mark.parametrize(
    ("nodes", "job", "expected"),
    [
        ("node1", "5", "tcp://node1:20005"),
        ("a,b,c", "12345", "tcp://a:22345"),
        ("gpu[01,03-04]", "5", "tcp://gpu01:20005"),
        ("login,gpu[1-2]", "5", "tcp://login:20005"),
    ],
)
def test_slurm_address(nodes, job, expected) -> None:
    assert launch.slurm_address({"SLURM_JOB_NODELIST": nodes, "SLURM_JOB_ID": job}) == expected


def test_slurm_without_its_variables_is_refused() -> None:
    with pytest.raises(UsageError, match="give --init_method"):
        launch.slurm_address({"SLURM_JOB_ID": "5"})


def _disagree() -> str:
    group.check_ranks_agree("the number of classes", 5)
    with pytest.raises(UsageError, match=r"number of videos of rank 1 \(11\) .* rank 0 \(10\)"):
        group.check_ranks_agree("the number of videos", 10 + du.get_rank())
    with pytest.raises(UsageError, match=r"the number of test clips of rank 1 \(3\)"):
        group.check_same_data("test", range(2 + du.get_rank()))
    group.check_same_data("test", iter([]))  # a data set without a length
    return "seen"


def test_all_ranks_notice_a_disagreement() -> None:
    assert run_two_processes(_disagree) == ["seen", "seen"]


def test_a_group_of_a_launcher_is_closed_before_the_interpreter_goes(tmp_path):
    code = (
        "import atexit, torch.distributed as dist\n"
        "from slowfast.launch.group import Member, membership\n"
        "atexit.register(lambda: print('then open:', dist.is_initialized()))\n"
        f"member = Member(0, 1, 0, 1, 'file://{tmp_path}/store', 'gloo', False)\n"
        "with membership(member, keep=True):\n"
        "    pass\n"
        "print('open:', dist.is_initialized())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["open: True", "then open: False"]
