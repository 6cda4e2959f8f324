#!/usr/bin/env bash
# Rounds: sample with the newest model, build pairs, train on them, evaluate; then again.
#
#   MODEL=Qwen/Qwen2.5-Coder-1.5B-Instruct SAMPLE=./sample.sh EVALUATE=./evaluate.sh \
#       bash recipes/rounds.sh
#
# SAMPLE is called with a model and a file: it writes candidates there (columns: README). EVALUATE, if
# any, is called with a model and a folder for its figures. Everything else has the default below.
# Finished steps are not done again: stop it when you like, and start it with the same line.
set -euo pipefail
: "${MODEL:?the model to start from}" "${SAMPLE:?a command: MODEL CANDIDATES_FILE}"
EVALUATE=${EVALUATE:-}            # a command: MODEL FOLDER
ROUNDS=${ROUNDS:-3}
OUT=${OUT:-runs/rounds}
RECIPE=${RECIPE:-recipes/trl/dpo.yaml}  # several: "dpo.yaml lora.yaml models/phi-2.yaml"
SETTINGS=${SETTINGS:-}            # further `--set KEY=VALUE` for training
GPUS=${GPUS:-1}
LAUNCH=${LAUNCH:-}                # for instance: --accelerate_config recipes/accelerate/zero2.yaml
# moved: each round starts from the model before, which is its reference too.
# kept: each round starts from MODEL, on the newest model's samples.
REFERENCE=${REFERENCE:-moved}

newest=$MODEL
mkdir -p "$OUT/0"
if [ -n "$EVALUATE" ] && [ ! -d "$OUT/0/figures" ]; then
    $EVALUATE "$MODEL" "$OUT/0/figures.new"
    mv "$OUT/0/figures.new" "$OUT/0/figures"
fi
for round in $(seq "$ROUNDS"); do
    folder=$OUT/$round
    start=$newest
    [ "$REFERENCE" = moved ] || start=$MODEL
    mkdir -p "$folder"
    echo "== round $round: samples of $newest"
    if [ ! -e "$folder/candidates.jsonl" ]; then
        $SAMPLE "$newest" "$folder/new.jsonl"
        mv "$folder/new.jsonl" "$folder/candidates.jsonl"
    fi
    printf 'candidates: %s\noutput: %s\n' "$folder/candidates.jsonl" "$folder/build" >"$folder/build.yaml"
    [ -e "$folder/built" ] || codedpo build "$folder/build.yaml"
    touch "$folder/built"
    echo "== round $round: training from $start"
    if [ ! -e "$folder/trained" ]; then
        # shellcheck disable=SC2086
        codedpo check $RECIPE --gpus "$GPUS" --write "$folder/train.yaml" $SETTINGS \
            --set model_name_or_path="$start" --set dataset_name="$folder/build/dataset" \
            --set output_dir="$folder/model"
        # shellcheck disable=SC2086
        trl dpo --config "$folder/train.yaml" $LAUNCH
        touch "$folder/trained"
    fi
    newest=$folder/model
    if [ -n "$EVALUATE" ] && [ ! -d "$folder/figures" ]; then
        $EVALUATE "$newest" "$folder/figures.new"
        mv "$folder/figures.new" "$folder/figures"
    fi
done
# shellcheck disable=SC2046
codedpo curves $(seq -f "$OUT/%g/model" "$ROUNDS") --out "$OUT/curves.png"
