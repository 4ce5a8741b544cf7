#!/usr/bin/env bash
# Few-shot: train on SHOTS videos of each class (2,4,8,16 in turn by default), test on split 1.
#   DATA_ROOT=/data script/few_shot.sh OST hmdb51 [SHOTS] [SEED...] [--from FILE] [-- KEY VALUE...]
# All options: script/few_shot.sh --help. The card of the protocol: docs/protocols.md.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

start report "$@"
exec "$venv/bin/python" -m ost protocol few_shot "$@"
