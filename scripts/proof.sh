#!/usr/bin/env bash
# Prove that a refactor changes no result: compare seeded losses and poems with those of another commit.
#
#   bash scripts/proof.sh [COMMIT]      (default: main)
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
commit=${1:-main}
code=$PWD
python=$(cd "$(dirname "$(venv_python)")" && pwd)/$(basename "$(venv_python)")
folder=$(mktemp -d)
trap 'git -C "$code" worktree remove --force "$folder/code"; rm -rf "$folder"' EXIT
git worktree add --quiet --detach "$folder/code" "$commit"

# results CODE FOLDER: write the losses and poems of the package in CODE to FOLDER.
results() (
  mkdir "$2"
  cd "$2"
  export PYTHONPATH=$1 OMP_NUM_THREADS=1 POETGEN_LANGUAGE=en
  unset POETGEN_CHECKPOINT POETGEN_CORPUS
  "$python" -m poetgen train --config tiny --corpus starter --set train.epochs=2 --device cpu --run proof >train.txt
  "$python" - >losses.txt <<'PYTHON'
import json

for line in open("checkpoints/proof/metrics.jsonl", encoding="utf-8"):
    record = json.loads(line)
    print({key: value for key, value in record.items() if "second" not in key})
PYTHON
  for model in proof tang; do
    "$python" -m poetgen sample 春 --model $model --num 16 --seed 1 >$model-free.txt
    "$python" -m poetgen sample --model $model --form wulv --rhyme --tones --num 8 --seed 2 >$model-bound.txt
  done
  rm -r checkpoints
)

results "$folder/code" "$folder/before"
results "$code" "$folder/after"
diff -r "$folder/before" "$folder/after"
echo "All losses and poems are those of $(git rev-parse --short "$commit")." >&2
