#!/usr/bin/env bash
# The whole loop on one small machine, with the commands that a real model is improved with:
#
#   bash recipes/tiny/quickstart.sh
#
# A coder with a third of a million parameters is trained from scratch on small exercises (world.py).
# It writes programs and tests, which are executed, ranked, timed and paired; then it is trained on the
# pairs and compared with the base model on held-out exercises. Finished steps are skipped: stop it at
# any time and resume with the same command.
set -euo pipefail
OUT=${OUT:-runs/tiny}
SEED=${SEED:-0}
STEPS=${STEPS:-1200}              # of pretraining
export TRANSFORMERS_VERBOSITY=${TRANSFORMERS_VERBOSITY:-error} HF_HUB_OFFLINE=1

say() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }
sampled() {  # MODEL FOLDER: ten samples of every held-out exercise, graded
    codedpo eval run "$OUT/data/heldout.jsonl" --model "$1" --out "$2" --backend transformers \
        --n 10 --temperature 1 --top-p 1 --max-tokens 120
}

say "a tiny coder, from scratch"
python recipes/tiny/world.py "$OUT/data"
[ -e "$OUT/base/model.safetensors" ] ||
    python recipes/tiny/pretrain.py "$OUT/base" --seed "$SEED" --steps "$STEPS"

say "its own programs and tests, run, ranked, timed, paired"
codedpo build recipes/tiny/build.yaml --set output="$OUT/build" \
    --set problems="$OUT/data/train.jsonl" --set sampling.model="$OUT/base"

say "training on the pairs"
# The cache of `datasets` identifies a folder by its name only, so this run has its own cache.
export HF_DATASETS_CACHE="$OUT/cache"
codedpo check recipes/trl/dpo.yaml recipes/tiny/train.yaml --write "$OUT/train.yaml" \
    --set model_name_or_path="$OUT/base" --set dataset_name="$OUT/build/dataset" \
    --set output_dir="$OUT/model"
[ -e "$OUT/model/model.safetensors" ] || rm -rf "$OUT/cache"
[ -e "$OUT/model/model.safetensors" ] || trl dpo --config "$OUT/train.yaml"

say "before and after, on held-out exercises"
sampled "$OUT/base" "$OUT/before"
sampled "$OUT/model" "$OUT/after"
codedpo eval compare "$OUT/before" "$OUT/after" --out "$OUT/compare"
codedpo curves "$OUT/model"
python recipes/tiny/figures.py "$OUT/compare" "$OUT/model" "$OUT/quickstart.png"
say "done: $OUT/quickstart.png, $OUT/compare/compare.html, $OUT/build/report.html"
