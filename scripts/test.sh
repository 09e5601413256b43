#!/usr/bin/env bash
# Run all checks: lint, format, types, tests.  Installs what they need into .venv first.
# Arguments are passed to pytest: bash scripts/test.sh -k vocab; with -n 0 the tests run in one process.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh

install '.[dev]'
python="$VENV/bin/python"
"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m mypy

# One test process per core, each with one torch thread.  Threads of several processes that share the cores
# spend their time waiting for each other; tests that start poetgen as a subprocess inherit the variable.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
# worksteal gives each process a contiguous half of the tests, so that most module fixtures are set up once
# (the measures on the real corpus take 20 seconds), and balances the ends.  A few workers are enough.
"$python" -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal "$@"
