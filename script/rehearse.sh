#!/usr/bin/env bash
# Rehearse the four protocols end to end on miniatures of their data sets: lists, training, every
# split, ensemble with the original CLIP, tables; OST with our descriptors, with ours in the form that
# its authors released, and with a folder of one's own. Minutes a method on 2 cores; the accuracies
# mean nothing.
#   script/rehearse.sh [FOLDER [METHOD...]]      (default: runs/rehearsal, and every method)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/_common.sh"

answer_help "$@"
ensure_environment report
out="${1:-runs/rehearsal}"
methods=("${@:2}")
[ "${#methods[@]}" -gt 0 ] || methods=(OST CLIP ViFiCLIP Text4Vis OSTText4Vis)
for method in "${methods[@]}"; do
  [ -d "$root/configs/$method/fully_supervised" ] || die "$method is no method: no recipes in configs/$method"
done
# Tiny tensors: one thread is faster than several.
export DATA_ROOT="$out/data" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
clip="$out/clip_original.pt"
# A CLIP of 3 layers that stands for the original one, 4 frames of 32 pixels, one epoch.
tiny=(
  CLIP.ARCH configs/demo/clip_tiny.json CLIP.PRETRAINED "$clip" NUM_GPUS 0 LOG_MODEL_INFO False
  DATA.NUM_FRAMES 4 DATA.TRAIN_CROP_SIZE 32 DATA.TEST_CROP_SIZE 32 DATA.TEST_SHORT_SIZE 36
  TRAIN.MIXED_PRECISION False TRAIN.BATCH_SIZE 8 TRAIN.TOTAL_BATCH_SIZE 16 SOLVER.MAX_EPOCH 1
  SOLVER.WARMUP_EPOCHS 0.0 DATA_LOADER.NUM_WORKERS 0 TRAIN.EPOCH_SIZE 16
)

prepare() {
  "$venv/bin/python" -m ost prepare "$1" --partial --annotations "$DATA_ROOT/$1/annotations" \
    --videos "$DATA_ROOT/$1/videos" --out "$DATA_ROOT/$1/lists" "${@:2}"
}

protocol() {
  say "rehearsing $*"
  "$root/script/$1.sh" "${@:2}" --output "$out/runs" --fresh -- "${tiny[@]}"
}

say "miniature data sets in $DATA_ROOT"
sets=(kinetics400 kinetics600 ucf101 hmdb51 ssv2 activitynet200)
"$venv/bin/python" -m ost miniature "$DATA_ROOT" "${sets[@]}" --clip "$clip" --released "$out/OST"
prepare kinetics400
prepare kinetics600 --splits val
prepare ucf101 --shots 16
prepare hmdb51 --shots 2 4 8 16 --seeds 1
prepare ssv2
prepare activitynet200 --trim "$DATA_ROOT/activitynet200/segments"
"$venv/bin/python" -m ost label-db --released "$out/OST" --out "$out/released"
for set in "${sets[@]}"; do
  mkdir -p "$out/own/$set"
  cp "$root/label_db/$set/descriptors/"*.json "$out/own/$set"
done

# four METHOD SUPERVISED [FLAGS...]: the four protocols.
four() {
  protocol zero_shot "$1" kinetics400 "${@:3}"
  protocol few_shot "$1" hmdb51 "${@:3}"
  protocol base_to_novel "$1" ucf101 "${@:3}"
  protocol fully_supervised "$1" "$2" "${@:3}"
}

for method in "${methods[@]}"; do
  case "$method" in
    OSTText4Vis)
      protocol fully_supervised OSTText4Vis kinetics400_b32_f8
      protocol fully_supervised OSTText4Vis ssv2_b16_f8_contrastive
      ;;
    OST)
      for texts in ours "$out/released" "$out/own"; do four OST ssv2 --descriptors "$texts"; done
      ;;
    ViFiCLIP) four ViFiCLIP kinetics400 ;; # 4 x 3 views
    Text4Vis) four Text4Vis activitynet200 ;; # segments, mAP
    *) four "$method" ssv2 ;;
  esac
done
say "all protocols of ${methods[*]} ran to their tables"
