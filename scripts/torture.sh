#!/usr/bin/env bash
# Try to make poetgen lose something, crash, hang or fill the memory; print what it survived as a table.
#
#   bash scripts/torture.sh                      everything; takes an hour or more
#   bash scripts/torture.sh --short              few cases of each campaign, about a minute; in the tests
#   bash scripts/torture.sh --only kills disks   some campaigns
#
# Needs Linux.  The exit code is 1 if there was any fault; each is printed with the command that
# repeats it.  docs/security.md explains the table.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
export PYTHONPATH=$PWD:$PWD/scripts PYTHONDONTWRITEBYTECODE=1
exec "$(venv_python)" -m torture "$@"
