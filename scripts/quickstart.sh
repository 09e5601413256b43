#!/usr/bin/env bash
# Go from a fresh clone to printed poems.  Installs poetgen into .venv and generates poems with the bundled
# model.  Then trains a tiny model on the starter verses (seconds to a minute) in a temporary folder and
# generates poems with it.  See environment.sh for settings.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh

echo "Installing poetgen into $VENV …" >&2
install .
programs=$(cd "$(dirname "$(venv_python)")" && pwd)
poetgen=$programs/poetgen

folder=$(mktemp -d)
cd "$folder"
"$poetgen" sample 床前 --seed 1 --num 3 --model tang
echo >&2
echo "Training a tiny model on the starter verses …" >&2
"$poetgen" train --config tiny --run quickstart >/dev/null
"$poetgen" sample 春风 --seed 2 --num 2 --model quickstart

cat >&2 <<EOF

The first poems are by the bundled model.  The last ones are by a model of 0.6 million weights that was
trained on a few hundred poems for a few seconds.  Next steps:

  source $programs/activate
  poetgen sample 明月 --model tang --form 七绝
  poetgen train --config base          # the Tang poems, about an hour on two cores

The tiny model is in $folder/checkpoints/quickstart.
EOF
