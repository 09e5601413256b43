#!/usr/bin/env bash
# Run all checks: lint, format, spelling, documents, types, tests.  Installs what they need into .venv first.
#
#   bash scripts/test.sh              all checks
#   bash scripts/test.sh --fast       those that take seconds; installs nothing into an existing .venv
#   bash scripts/test.sh -k vocab     arguments are passed to pytest; -n 0 runs the tests in one process
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh

# check NAME COMMAND…: run a check below a heading; its failure ends the script.
check() {
  echo "== $1" >&2
  shift
  "$@" || { echo "== failed: $*" >&2; return 1; }
}

is_fast=
if [ "${1:-}" = --fast ]; then
  is_fast=1
  shift
fi
if [ -z "$is_fast" ] || ! venv_python >/dev/null; then
  install '.[dev,docs]'
fi
python=$(venv_python)
site=
[ -n "$is_fast" ] || { site=$(mktemp -d) && trap 'rm -rf "$site"' EXIT; }

check lint "$python" -m ruff check .
check format "$python" -m ruff format --check .
check spelling "$python" -m codespell_lib
check language "$python" scripts/check_language.py
check links "$python" scripts/check_links.py
check reference "$python" scripts/make_reference.py --check

# Programs that share the cores use one thread each: threads of several would spend their time waiting for
# each other.  Tests that start poetgen as a subprocess inherit the variable.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
if [ -n "$is_fast" ]; then
  # Without the tests that run whole commands.
  check structure "$python" -m pytest -q tests/test_imports.py tests/test_structure.py \
    -k "not few_functions and not torch_modules" "$@"
  exit
fi
check types "$python" -m mypy
NO_MKDOCS_2_WARNING=1 check documents "$python" -m mkdocs build --strict --site-dir "$site"
# worksteal gives each process a contiguous half of the tests, so that most module fixtures are set up once
# (the measures on the real corpus take 20 seconds), and balances the ends.  A few workers are enough.
check tests "$python" -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal "$@"
