#!/usr/bin/env bash
# Run the tests with the oldest library versions that pyproject.toml admits, or the newest there are.
#   script/test_versions.sh oldest|newest [PYTEST ARGUMENT...]
# Without arguments for pytest: models, checkpoints, data sets, solver and texts. Then one epoch of
# the demo is trained, and a table of the versions ends it.
#
# OST_VERSIONS  folder of the two environments (default: build/versions in the checkout)
# OST_PYTHON    Python of the environment (default: the oldest or newest that is found)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

end="${1:-}"
case "$end" in
  oldest | newest) ;;
  -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" && exit ;;
  *) die "say oldest or newest: script/test_versions.sh oldest|newest [PYTEST ARGUMENT...]" ;;
esac
tests=("${@:2}")
[ "${#tests[@]}" -gt 0 ] || tests=(tests/models tests/checkpoint tests/datasets tests/ops tests/text)
cd "$root"
venv="${OST_VERSIONS:-build/versions}/$end"

python_of_end() {
  local version versions=(3.10 3.11 3.12 3.13 3.14)
  [ "$end" = oldest ] || versions=(3.14 3.13 3.12 3.11 3.10)
  for version in "${versions[@]}"; do
    if is_recent "python$version"; then
      echo "python$version"
      return
    fi
  done
  find_python
}

# Each requirement of the project and its extras, with its lower bound as the version wanted.
requirements() {
  "$venv/bin/python" - "$end" <<'PYTHON'
import sys
try:
    import tomllib
except ImportError:
    from pip._vendor import tomli as tomllib
with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
extras = dict(project["optional-dependencies"])
extras.pop("torchcodec")  # it needs FFmpeg's libraries
for line in sorted({*project["dependencies"], *(r for part in extras.values() for r in part)}):
    print(line.replace(">=", "==") if sys.argv[1] == "oldest" else line)
PYTHON
}

python="${OST_PYTHON:-$(python_of_end)}"
say "environment $venv with $("$python" --version)"
"$python" -m venv --clear "$venv"
requirements >"$venv/requirements.txt"
"$venv/bin/python" -m pip install --disable-pip-version-check --quiet --upgrade --requirement "$venv/requirements.txt"

export PYTHONPATH="$root" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
say "tests: ${tests[*]}"
failed=0
"$venv/bin/python" -m pytest "${tests[@]}" 2>&1 | tee "$venv/pytest.log" || failed=1
say "one epoch of the demo"
"$venv/bin/python" tools/demo.py --output "$venv/demo" --data "$venv/demo_data" --fresh \
  --opts SOLVER.MAX_EPOCH 1 SOLVER.WARMUP_EPOCHS 0.0 || failed=1

say "$end versions"
"$venv/bin/python" - <<'PYTHON'
import platform
from importlib.metadata import version
print(f"{'Python':24}{platform.python_version()}")
for name in ("torch", "torchvision", "open_clip_torch", "av", "numpy", "transformers",
             "opencv-python-headless", "torchmetrics", "pytorchvideo"):
    print(f"{name:24}{version(name)}")
PYTHON
tail -n 1 "$venv/pytest.log"
exit "$failed"
