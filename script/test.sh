#!/usr/bin/env bash
# Run the tests and the examples in the documentation. Arguments go to pytest:
#   script/test.sh [-k WORD] [FILE...]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

start report,dev,trunks "$@"
cd "$root"
# Tiny tensors: more threads than one only get in each other's way.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
say "running the tests"
exec "$venv/bin/python" -m pytest "$@"
