#!/usr/bin/env bash
# Train OST on drawn actions and test it zero-shot on classes that it never saw.
# Arguments are passed on: script/demo.sh --help
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

start report "$@"
cd "$root"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$(count_processors)}"
# Waiting threads sleep: the process that reads the videos wants their processor.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"
exec "$venv/bin/python" -m ost demo "$@"
