#!/usr/bin/env bash
# Fully supervised: train on all training videos of DATASET, test on its validation videos.
#   DATA_ROOT=/data script/fully_supervised.sh OST kinetics400 [--dry-run] [-- KEY VALUE...]
# All options: script/fully_supervised.sh --help. The card of the protocol: docs/protocols.md.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

start report "$@"
exec "$venv/bin/python" -m ost protocol fully_supervised "$@"
