#!/usr/bin/env bash
# Iterated training: each round samples with the newest model, builds pairs, trains on them and evaluates.
#
#   MODEL=Qwen/Qwen2.5-Coder-1.5B-Instruct BUILD=mine.yaml \
#       EVAL="codedpo eval run humaneval+ --backend transformers" bash recipes/rounds.sh
#
# BUILD is a build recipe that loads the model in process (`sampling.backend: transformers`, with
# `problems` or `seeds`: docs/sampling.md). To sample in another way, give SAMPLE instead: a command
# that is called with a model and the file to write candidates to. Finished steps are skipped, so
# that it can be stopped at any time and resumed with the same command line.
set -euo pipefail
: "${MODEL:?the model to start from}"
BUILD=${BUILD:-}                  # a build recipe; or else SAMPLE
SAMPLE=${SAMPLE:-}                # a command: MODEL CANDIDATES_FILE
[ -n "$BUILD$SAMPLE" ] || { echo "rounds.sh: give BUILD or SAMPLE" >&2; exit 2; }
EVAL=${EVAL:-}                    # a command that takes --model MODEL --out FOLDER, and resumes by itself
ROUNDS=${ROUNDS:-3}
OUT=${OUT:-runs/rounds}
RECIPE=${RECIPE:-recipes/trl/dpo.yaml}  # or several: "dpo.yaml lora.yaml models/phi-2.yaml"
SETTINGS=${SETTINGS:-}            # further `--set KEY=VALUE` for training
GPUS=${GPUS:-1}
LAUNCH=${LAUNCH:-}                # for instance: --accelerate_config recipes/accelerate/zero2.yaml
# moved: each round trains the previous round's model, which is also the reference.
# kept: each round trains MODEL, on the newest model's samples.
REFERENCE=${REFERENCE:-moved}

evaluate() {                      # MODEL FOLDER_OF_ROUND
    [ -n "$EVAL" ] && [ ! -e "$2/evaluated" ] || return 0
    echo "== evaluating $1"
    $EVAL --model "$1" --out "$2/eval"
    touch "$2/evaluated"
}

build() {                         # MODEL FOLDER_OF_ROUND
    [ ! -e "$2/built" ] || return 0
    echo "== samples of $1"
    if [ -n "$BUILD" ]; then
        codedpo build "$BUILD" --set "sampling.model=$1" --set "output=$2/build"
    else
        if [ ! -e "$2/candidates.jsonl" ]; then
            $SAMPLE "$1" "$2/new.jsonl"
            mv "$2/new.jsonl" "$2/candidates.jsonl"
        fi
        printf 'candidates: %s\noutput: %s\n' "$2/candidates.jsonl" "$2/build" >"$2/build.yaml"
        codedpo build "$2/build.yaml"
    fi
    touch "$2/built"
}

train() {                         # MODEL FOLDER_OF_ROUND
    [ ! -e "$2/trained" ] || return 0
    echo "== training from $1"
    # An interrupted run leaves checkpoints; complete ones have their state, which is written last.
    local state
    state=$(ls -d "$2"/model/checkpoint-*/trainer_state.json 2>/dev/null | sort -V | tail -n 1 || true)
    # shellcheck disable=SC2086
    codedpo check $RECIPE --gpus "$GPUS" --write "$2/train.yaml" $SETTINGS \
        --set model_name_or_path="$1" --set dataset_name="$2/build/dataset" \
        --set output_dir="$2/model" ${state:+--set resume_from_checkpoint="$(dirname "$state")"}
    # shellcheck disable=SC2086
    trl dpo --config "$2/train.yaml" $LAUNCH
    touch "$2/trained"
}

mkdir -p "$OUT/0"
evaluate "$MODEL" "$OUT/0"
newest=$MODEL
for round in $(seq "$ROUNDS"); do
    echo "== round $round of $ROUNDS"
    mkdir -p "$OUT/$round"
    build "$newest" "$OUT/$round"
    if [ "$REFERENCE" = moved ]; then start=$newest; else start=$MODEL; fi
    train "$start" "$OUT/$round"
    newest=$OUT/$round/model
    evaluate "$newest" "$OUT/$round"
done
# shellcheck disable=SC2046
codedpo curves $(seq -f "$OUT/%g/model" "$ROUNDS") --out "$OUT/curves.png"
if [ -e "$OUT/0/eval/report.json" ]; then  # written by `codedpo eval`
    codedpo eval compare "$OUT/0/eval" "$OUT/$ROUNDS/eval" --no-timing --out "$OUT/compare"
fi
