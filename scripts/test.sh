#!/usr/bin/env bash
# All checks: lint, format, types, tests.  Installs what they need into .venv first.
# Arguments go to pytest: bash scripts/test.sh -k vocab
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh

install '.[dev]'
python="$VENV/bin/python"
"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m mypy
"$python" -m pytest "$@"
