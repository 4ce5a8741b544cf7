#!/usr/bin/env bash
# Rehearse the four protocols end to end on miniatures of their data sets: lists, training, every
# split, ensemble with the original CLIP, tables. Minutes on 2 cores; the accuracies mean nothing.
#   script/rehearse.sh [FOLDER]      (default: runs/rehearsal)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

ensure_environment report
out="${1:-runs/rehearsal}"
# Tiny tensors: one thread is faster than several.
export DATA_ROOT="$out/data" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
clip="$out/clip_original.pt"
# A CLIP of 3 layers that stands for the original one, 4 frames of 32 pixels, one epoch.
tiny=(
  CLIP.ARCH configs/demo/clip_tiny.json CLIP.PRETRAINED "$clip" NUM_GPUS 0 LOG_MODEL_INFO False
  DATA.NUM_FRAMES 4 DATA.TRAIN_CROP_SIZE 32 DATA.TEST_CROP_SIZE 32 DATA.TEST_SHORT_SIZE 36
  TRAIN.MIXED_PRECISION False TRAIN.BATCH_SIZE 8 TRAIN.TOTAL_BATCH_SIZE 16 SOLVER.MAX_EPOCH 1
  SOLVER.WARMUP_EPOCHS 0.0 DATA_LOADER.NUM_WORKERS 0
)

prepare() {
  "$venv/bin/python" "$root/tools/prepare_data.py" "$1" --partial --annotations "$DATA_ROOT/$1/annotations" \
    --videos "$DATA_ROOT/$1/videos" --out "$DATA_ROOT/$1/lists" "${@:2}"
}

protocol() {
  say "rehearsing $*"
  "$root/script/$1.sh" "${@:2}" --output "$out/runs" --fresh -- "${tiny[@]}"
}

say "miniature data sets in $DATA_ROOT"
sets=(kinetics400 kinetics600 ucf101 hmdb51 ssv2)
"$venv/bin/python" "$root/tools/make_miniature.py" "$DATA_ROOT" "${sets[@]}" --clip "$clip"
prepare kinetics400
prepare kinetics600 --splits val
prepare ucf101 --shots 16
prepare hmdb51 --shots 2 4 8 16 --seeds 1
prepare ssv2

protocol zero_shot OST kinetics400
protocol few_shot OST hmdb51
protocol base_to_novel OST ucf101
protocol fully_supervised OST ssv2
say "all four protocols ran to their tables"
