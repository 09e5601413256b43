#!/usr/bin/env bash
# From a fresh clone to printed poems: installs poetgen into .venv, has the model that ships write, then
# trains a tiny model on the starter verses (seconds to a minute) in a temporary folder and has that
# write.  See environment.sh for settings.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh

echo "Installing poetgen into ${VENV:-.venv} …" >&2
install .
poetgen=$(cd "$(dirname "$VENV/bin/poetgen")" && pwd)/poetgen

folder=$(mktemp -d)
cd "$folder"
"$poetgen" sample 床前 --seed 1 --num 3 --checkpoint tang
echo >&2
echo "Training a tiny model on the starter verses …" >&2
"$poetgen" train --config tiny --run quickstart >/dev/null
"$poetgen" sample 春风 --seed 2 --num 2 --checkpoint quickstart

cat >&2 <<EOF

The first poems are by the model that ships, the last ones by one of 0.6 million weights that has read a
few hundred verses for a few seconds.  Go on with:

  source $(dirname "$poetgen")/activate
  poetgen sample 明月 --checkpoint tang --form 七绝
  poetgen train --config base          # the Tang poems, about an hour on two cores

The tiny model is in $folder/checkpoints/quickstart.
EOF
