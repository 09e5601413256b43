#!/usr/bin/env bash
# Run the Python of .venv: bash scripts/python.sh -m ruff check
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
exec "$(venv_python)" "$@"
