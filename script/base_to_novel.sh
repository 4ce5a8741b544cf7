#!/usr/bin/env bash
# Base-to-novel: train on 16 videos of each base class, test base and novel classes, for 3 lists.
#   DATA_ROOT=/data script/base_to_novel.sh OST ucf101 [SHOTS] [SEED...] [--dry-run] [-- KEY VALUE...]
# All options: script/base_to_novel.sh --help. The card of the protocol: docs/protocols.md.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

start report "$@"
exec "$venv/bin/python" -m ost protocol base_to_novel "$@"
