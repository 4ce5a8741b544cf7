import pytest

from slowfast.config import load_cfg, load_cfg_with_sources
from slowfast.config.launch_env import LaunchFacts, launch_facts
from slowfast.errors import UsageError

TORCHRUN = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
    "GROUP_RANK": "1",
}
SLURM = {"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1", "SLURM_NODEID": "1"}


def test_one_process_and_spawning():
    assert launch_facts({}, num_gpus=0) == LaunchFacts("single")
    assert launch_facts({}, num_gpus=1) == LaunchFacts("single")
    facts = launch_facts({}, num_gpus=4, num_shards=2, shard_id=1)
    assert facts == LaunchFacts("spawn", 4, 8, 0, 4, 1)
    assert launch_facts({}, num_gpus=1, num_shards=3, shard_id=2).world_size == 3


def test_torchrun():
    facts = launch_facts(TORCHRUN | SLURM)
    assert facts == LaunchFacts("torchrun", 5, 8, 1, 4, 1)
    assert facts.num_shards == 2
    assert facts.is_worker


def test_torchrun_without_its_later_variables():
    env = {key: TORCHRUN[key] for key in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    assert launch_facts(env | {"LOCAL_RANK": "5"}) == LaunchFacts("torchrun", 5, 8, 5, 8, 0)
    assert launch_facts(env | {"LOCAL_WORLD_SIZE": "4"}).shard_id == 1


@pytest.mark.parametrize(
    "extra",
    [
        {"SLURM_TASKS_PER_NODE": "4(x2)"},
        {"SLURM_NNODES": "2"},
        {"SLURM_STEP_TASKS_PER_NODE": "4,4"},
    ],
)
def test_slurm(extra):
    assert launch_facts(SLURM | extra) == LaunchFacts("slurm", 5, 8, 1, 4, 1)


def test_one_slurm_task_is_one_process():
    assert launch_facts({"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}).mode == "single"


def test_slurm_tasks_that_are_machines_spawn():
    env = {"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_LOCALID": "0", "SLURM_NNODES": "2"}
    assert launch_facts(env, num_gpus=8, num_shards=2, shard_id=1).mode == "spawn"
    assert launch_facts(env, num_gpus=1, num_shards=1).mode == "slurm"


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (TORCHRUN | {"RANK": "x"}, "RANK must be a whole number, found 'x'"),
        (TORCHRUN | {"RANK": "8"}, "contradict"),
        (TORCHRUN | {"LOCAL_WORLD_SIZE": "3"}, "contradict"),
        (TORCHRUN | {"LOCAL_WORLD_SIZE": "0"}, "contradict"),
        (SLURM | {"SLURM_TASKS_PER_NODE": "4,3"}, "same number of tasks"),
    ],
)
def test_contradictions_are_refused(env, message):
    with pytest.raises(UsageError, match=message):
        launch_facts(env)


def test_a_launcher_sets_machines_and_processes():
    cfg, sources = load_cfg_with_sources([], env=TORCHRUN)
    assert (cfg.NUM_GPUS, cfg.NUM_SHARDS, cfg.SHARD_ID) == (-1, 2, 1)  # counted when launched
    assert sources["NUM_SHARDS"] == "environment (torchrun)"


def test_cpu_processes_stay_cpu_processes():
    cfg = load_cfg([], ["NUM_GPUS", 0, "DIST_BACKEND", "gloo"], env=TORCHRUN)
    assert (cfg.NUM_GPUS, cfg.NUM_SHARDS) == (0, 2)


def test_the_environment_wins_over_yaml_and_a_flag_over_yaml(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("NUM_SHARDS: 7\nSHARD_ID: 3\n")
    assert load_cfg(path, env=TORCHRUN).NUM_SHARDS == 2
    cfg = load_cfg(path, env={}, flags={"NUM_SHARDS": 4, "SHARD_ID": 1})
    assert (cfg.NUM_SHARDS, cfg.SHARD_ID) == (4, 1)


@pytest.mark.parametrize(
    ("opts", "flags"), [(["NUM_GPUS", 8], {}), ([], {"NUM_SHARDS": 3}), ([], {"SHARD_ID": 0})]
)
def test_what_contradicts_the_launcher_is_refused(opts, flags):
    with pytest.raises(UsageError, match="torchrun started 4 processes on each of 2 machines"):
        load_cfg([], opts, env=TORCHRUN, flags=flags)
