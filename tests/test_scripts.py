"""The two commands: what they install, when, and what they run. No package is installed here."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "script").glob("*.sh"))
COMMANDS = [path for path in SCRIPTS if not path.name.startswith("_")]
pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the scripts need bash")

# Stands for the Python of an environment: writes down how it was called.
INSIDE = """#!/bin/sh
echo "$@" >> "{log}"
case "$*" in
  *direct_url*) cat "{owner}" ;;
  *"pip --version"*) exit {pip} ;;
  *"pip install"*) exit {install} ;;
esac
"""
# Stands for the system's Python: can tell its version and make an environment.
OUTSIDE = """#!/bin/sh
echo "outside $@" >> "{log}"
case "$1" in
  -c) exit {too_old} ;;
  --version) echo "Python 3.99" ;;
  -m) mkdir -p "$3/bin" && cp "{inside}" "$3/bin/python" ;;
esac
"""


class Checkout:
    """A copy of what the scripts look at, with stand-ins for both Pythons."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a checkout"
        shutil.copytree(ROOT / "script", self.root / "script")
        for name in ("pyproject.toml", "setup.py"):
            shutil.copy(ROOT / name, self.root)
        self.log = folder / "calls.log"
        self.inside = folder / "inside"
        self.outside = folder / "outside"
        self.owner = folder / "owner"  # what pip noted in the environment
        self.owner.write_text("")
        self.write()

    def write(self, *, pip: int = 0, install: int = 0, too_old: int = 0) -> None:
        for path, text in ((self.inside, INSIDE), (self.outside, OUTSIDE)):
            values = {"log": self.log, "inside": self.inside, "owner": self.owner}
            path.write_text(text.format(**values, pip=pip, install=install, too_old=too_old))
            path.chmod(0o755)

    def run(self, script: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("OST_", "OMP_"))}
        return subprocess.run(
            ["bash", str(self.root / "script" / script), *args],
            env={**clean, "OST_PYTHON": str(self.outside), **env},
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self, word: str) -> list[str]:
        """Return the calls of both Pythons that have ``word`` in them."""
        return [line for line in self.log.read_text().splitlines() if word in line]


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_syntax(path) -> None:
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["demo.sh", "test.sh"])
def test_both_can_be_called_and_stop_at_the_first_error(name) -> None:
    path = ROOT / "script" / name
    assert os.access(path, os.X_OK)
    assert "set -euo pipefail" in path.read_text()


def test_first_run_installs_and_a_second_one_does_not(checkout) -> None:
    first = checkout.run("demo.sh", "--seeds", "3")
    assert first.returncode == 0, first.stderr
    assert "making a virtual environment" in first.stderr
    (install,) = checkout.calls("pip install")
    assert install.endswith(f"--editable {checkout.root}[report]")
    assert checkout.calls("-m ost demo") == ["-m ost demo --seeds 3"]

    second = checkout.run("demo.sh")
    assert second.returncode == 0
    assert "nothing to install" in second.stderr
    assert checkout.log.read_text().splitlines() == ["-m ost demo"]


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.name)
@pytest.mark.parametrize("made", ["nothing", "half", "of an older tree"])
def test_help_installs_nothing(checkout, path, made) -> None:
    if made != "nothing":
        checkout.write(install=int(made == "half"))
        checkout.run("test.sh")
        with (checkout.root / "pyproject.toml").open("a") as file:
            file.write("# a new dependency\n")
    done = checkout.run(path.name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"script/{path.name}" in done.stdout
    assert not any("pip" in call or "venv" in call for call in checkout.calls(""))
    assert (checkout.root / ".venv").exists() == (made != "nothing")


def test_help_is_the_tools_own_where_it_can_answer(checkout) -> None:
    checkout.run("demo.sh")
    done = checkout.run("demo.sh", "--help")
    assert done.stdout == ""
    assert checkout.calls("") == ["-m ost demo --help"]


def test_the_environment_of_another_checkout_is_refused_by_name(checkout, tmp_path) -> None:
    other = tmp_path / "another checkout"
    other.mkdir()
    (other / "pyproject.toml").touch()
    checkout.run("demo.sh")
    checkout.owner.write_text(str(other))
    with (checkout.root / "pyproject.toml").open("a") as file:
        file.write("# a new dependency\n")
    done = checkout.run("demo.sh")
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {checkout.root}/.venv runs the checkout {other}: name another environment in "
        "OST_VENV, or remove this one\n"
    )
    assert checkout.calls("pip") == []

    shutil.rmtree(other)  # nobody needs the environment any more
    assert checkout.run("demo.sh").returncode == 0
    assert len(checkout.calls("pip install")) == 1


def test_what_pip_notes_is_understood(tmp_path) -> None:
    """An environment with pip's own note, under a folder whose name needs quoting in a URL."""
    venv, other = tmp_path / "venv", tmp_path / "ä checkout"
    other.mkdir()
    (other / "pyproject.toml").touch()
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    (venv / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\n")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    info = venv / "lib" / version / "site-packages" / "ost_slowfast-0.0.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ost-slowfast\nVersion: 0.0.0\n")
    note = {"url": other.as_uri(), "dir_info": {"editable": True}}
    (info / "direct_url.json").write_text(json.dumps(note))
    done = subprocess.run(
        ["bash", str(ROOT / "script" / "demo.sh")],
        env={**os.environ, "OST_VENV": str(venv)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"{venv} runs the checkout {other}: " in done.stderr


def test_environment_of_the_tests_serves_the_demo_too(checkout) -> None:
    checkout.run("test.sh", "-k", "a word")
    assert checkout.calls("pip install")[0].endswith("[report,dev,trunks]")
    assert checkout.calls("-m pytest") == ["-m pytest -k a word"]
    checkout.run("demo.sh")
    assert checkout.calls("pip install") == []


def test_environment_of_the_demo_is_completed_for_the_tests(checkout) -> None:
    checkout.run("demo.sh")
    done = checkout.run("test.sh")
    assert "making a virtual environment" not in done.stderr
    assert len(checkout.calls("pip install")) == 1


def test_changed_metadata_are_installed_again(checkout) -> None:
    checkout.run("demo.sh")
    with (checkout.root / "pyproject.toml").open("a") as file:
        file.write("# a new dependency\n")
    checkout.run("demo.sh")
    assert len(checkout.calls("pip install")) == 1


def test_moved_checkout_is_installed_again(checkout, tmp_path) -> None:
    checkout.run("demo.sh")
    checkout.root = checkout.root.rename(tmp_path / "elsewhere")
    checkout.run("demo.sh")
    assert len(checkout.calls("pip install")) == 1


def test_failed_installation_is_tried_again(checkout) -> None:
    checkout.write(install=1)
    assert checkout.run("demo.sh").returncode != 0
    assert checkout.calls("-m ost demo") == []
    checkout.write()
    shutil.copy(checkout.inside, checkout.root / ".venv" / "bin" / "python")
    assert checkout.run("demo.sh").returncode == 0
    assert len(checkout.calls("pip install")) == 1


def test_half_made_environment_is_completed(checkout) -> None:
    checkout.write(pip=1)
    checkout.run("demo.sh")
    checkout.write()
    (checkout.root / ".venv" / ".ost-installed-report").unlink()
    checkout.inside.chmod(0o755)
    done = checkout.run("demo.sh")
    assert "making a virtual environment" in done.stderr
    assert done.returncode == 0


def test_environment_can_be_named(checkout, tmp_path) -> None:
    checkout.run("demo.sh", OST_VENV=str(tmp_path / "mine"))
    assert (tmp_path / "mine" / "bin" / "python").exists()
    assert not (checkout.root / ".venv").exists()


def test_old_python_is_refused_in_one_line(checkout) -> None:
    checkout.write(too_old=1)
    done = checkout.run("demo.sh")
    assert done.returncode == 2
    assert "error: OST_PYTHON=" in done.stderr
    assert "3.10" in done.stderr
    assert not (checkout.root / ".venv").exists()


def test_exit_code_is_that_of_what_was_run(checkout) -> None:
    checkout.run("demo.sh")
    python = checkout.root / ".venv" / "bin" / "python"
    python.write_text("#!/bin/sh\nexit 130\n")
    assert checkout.run("demo.sh").returncode == 130


# ---- protocols ----

PROTOCOLS = {
    "zero_shot": ("kinetics400", 10),
    "few_shot": ("hmdb51", 4),
    "base_to_novel": ("ucf101", 6),
    "fully_supervised": ("ssv2", 1),
}


class Ready:
    """An environment that has everything: the Python of this process."""

    def __init__(self, folder: Path) -> None:
        self.venv = folder / "ready"
        (self.venv / "bin").mkdir(parents=True)
        python = self.venv / "bin" / "python"
        python.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
        common = f'. "{ROOT}/script/_common.sh"; fingerprint report > "$(stamp_of report)"'
        subprocess.run(["bash", "-c", common], env=self.env(), check=True)

    def env(self, **more: str) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if k not in ("DATA_ROOT", "OST_LAUNCH")}
        return {**clean, "OST_VENV": str(self.venv), "DATA_ROOT": "/data", **more}

    def run(self, script: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        words = ["bash", f"script/{script}.sh", *args]
        return subprocess.run(
            words, env=self.env(**env), cwd=ROOT, capture_output=True, text=True, check=False
        )


@pytest.fixture(scope="module")
def ready(tmp_path_factory) -> Ready:
    return Ready(tmp_path_factory.mktemp("scripts"))


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_dry_run_shows_the_commands_of_the_whole_protocol(ready, name) -> None:
    dataset, count = PROTOCOLS[name]
    done = ready.run(name, "OST", dataset, "--dry-run", "--", "NUM_GPUS", "8")
    assert done.returncode == 0, done.stderr
    *steps, table = done.stdout.splitlines()
    assert len(steps) == count
    for step in steps:
        assert step.startswith(f"{sys.executable} -m ost run --cfg configs/OST/{name}/")
        assert " --opts DATA.PATH_TO_DATA_DIR /data/" in step
        assert step.endswith(" NUM_GPUS 8")
    assert f"--cfg configs/OST/{name}/{dataset}.yaml" in steps[0]
    assert table.startswith(f"{sys.executable} -m ost summarize {ROOT}/runs/ost/{name}/")


@pytest.mark.parametrize(
    ("method", "name", "dataset", "count"),
    [
        ("CLIP", "zero_shot", "kinetics400", 9),
        ("ViFiCLIP", "few_shot", "hmdb51", 4),
        ("Text4Vis", "base_to_novel", "ucf101", 6),
        ("OSTText4Vis", "fully_supervised", "kinetics400_b32_f8", 1),
    ],
)
def test_other_methods_have_the_same_commands(ready, method, name, dataset, count) -> None:
    done = ready.run(name, method, dataset, "--dry-run")
    assert done.returncode == 0, done.stderr
    *steps, table = done.stdout.splitlines()
    assert len(steps) == count
    assert all(f"--cfg configs/{method}/{name}/" in step for step in steps)
    folder = f"{ROOT}/runs/{method.lower()}/{name}/"
    assert table.startswith(f"{sys.executable} -m ost summarize {folder}")


def test_a_launcher_stands_in_front_of_every_step(ready) -> None:
    launcher = "torchrun --nproc_per_node 8"
    done = ready.run("fully_supervised", "OST", "ssv2", "--dry-run", OST_LAUNCH=launcher)
    assert done.stdout.startswith("torchrun --nproc_per_node 8 -m ost run --cfg ")


@pytest.mark.parametrize(
    ("words", "choices"),
    [
        (["zero_shot", "Ost", "kinetics400"], "known for zero_shot: "),
        (["few_shot", "OST", "imagenet"], "known for OST few_shot: hmdb51, ssv2, ucf101"),
    ],
)
def test_unknown_names_are_one_line_with_the_choices(ready, words, choices) -> None:
    done = ready.run(*words, "--dry-run")
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("== ")]
    assert line.startswith("error: ")
    assert choices in line


def test_protocol_scripts_are_short() -> None:
    for name in PROTOCOLS:
        assert len((ROOT / f"script/{name}.sh").read_text().splitlines()) <= 15


# ---- Slurm ----


def test_slurm_job_runs_each_step_over_all_machines(ready) -> None:
    protocol = ["script/zero_shot.sh", "OST", "kinetics400", "--", "NUM_GPUS", "8"]
    done = ready.run("slurm", "--dry-run", "2", "8", *protocol, DATA_ROOT="/my data")
    assert done.returncode == 0, done.stderr
    job = done.stdout
    assert job.startswith("#!")
    assert "--nodes=2 --ntasks-per-node=1 --gpus-per-node=8" in job
    assert "--nnodes 2 --nproc_per_node 8" in job
    assert r"DATA_ROOT=/my\ data" in job
    assert job.splitlines()[-1] == f"exec bash {' '.join(protocol)}"
    subprocess.run(["bash", "-n"], input=job, text=True, check=True)


def test_slurm_job_becomes_a_launcher_that_the_protocol_understands(ready, tmp_path) -> None:
    """Run the job's text with a stand-in for Slurm; the dry run shows what it would start."""
    scontrol = tmp_path / "scontrol"
    scontrol.write_text("#!/bin/sh\necho first\necho second\n")
    scontrol.chmod(0o755)
    protocol = ["script/fully_supervised.sh", "OST", "ssv2", "--dry-run"]
    job = ready.run("slurm", "--dry-run", "2", "4", *protocol).stdout
    env = ready.env(PATH=f"{tmp_path}:{os.environ['PATH']}", SLURM_JOB_ID="81234")
    env["SLURM_JOB_NODELIST"] = "first,second"
    done = subprocess.run(
        ["bash"], input=job, env=env, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    step = done.stdout.splitlines()[0]
    assert step.startswith("srun ")
    assert "--rdzv_id 81234 --rdzv_backend c10d --rdzv_endpoint first:21234 -m ost run" in step


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["2", "8"], "usage: script/slurm.sh"),
        (["two", "8", "script/few_shot.sh"], "usage: script/slurm.sh"),
        (["--dry-run", "2", "8", "script/no_shot.sh"], "no such script; the protocols are"),
        (["2", "8", "script/few_shot.sh"], "no sbatch here"),
    ],
)
def test_slurm_mistakes_are_one_line(ready, words, message) -> None:
    if shutil.which("sbatch"):
        pytest.skip("Slurm is here: nothing may be submitted")
    done = ready.run("slurm", *words)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
