#!/usr/bin/env bash
# Train and test every encoder with every head on drawn actions; print one table.
# Arguments are passed on: script/matrix.sh --help
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

start report,trunks "$@"
cd "$root"
# One thread for each process: the pairs are small and there are many of them.
export OMP_NUM_THREADS=1
exec "$venv/bin/python" -m ost matrix --jobs "$(count_processors)" "$@"
