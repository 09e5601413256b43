#!/usr/bin/env bash
# From a fresh clone to printed poems: installs poetgen into .venv, trains a tiny model on the starter
# verses (seconds to a minute) in a temporary folder, and has it write.  See environment.sh for settings.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh

echo "Installing poetgen into ${VENV:-.venv} …" >&2
install .
poetgen=$(cd "$(dirname "$VENV/bin/poetgen")" && pwd)/poetgen

folder=$(mktemp -d)
cd "$folder"
echo "Training a tiny model on the starter verses …" >&2
"$poetgen" train --config tiny --run quickstart >/dev/null
"$poetgen" sample 春风 --seed 2 --num 4 --checkpoint quickstart

cat >&2 <<EOF

These verses come from a model of 0.6 million weights that has read 368 short verses, so do not
expect a Tang poet.  For one worth reading, train on the Tang poems (about an hour on two cores):

  source $(dirname "$poetgen")/activate
  poetgen train --config base
  poetgen sample 床前 --temperature 0.8

The tiny model is in $folder/checkpoints/quickstart.
EOF
