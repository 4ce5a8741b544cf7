#!/usr/bin/env bash
# Zero-shot: train on DATASET (kinetics400), test on all splits of the others that METHOD was tested on.
#   DATA_ROOT=/data script/zero_shot.sh OST kinetics400 [--weights FILE] [--dry-run] [-- KEY VALUE...]
# All options: script/zero_shot.sh --help. The card of the protocol: docs/protocols.md.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

start report "$@"
exec "$venv/bin/python" -m ost protocol zero_shot "$@"
