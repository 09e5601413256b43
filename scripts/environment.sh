# Sourced by the other scripts: finds Python 3.11 or newer, creates .venv and installs into it.
#
#   PYTHON            the interpreter to use       (default: the first that is new enough)
#   VENV              the virtual environment      (default: .venv)
#   TORCH_INDEX_URL   the package index for torch  (default: pip's own)

VENV=${VENV:-.venv}

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "poetgen needs Python 3.11 or newer; found: ${PYTHON:-none}." >&2
  echo "  → Install one, or name it: PYTHON=python3.12 bash $0" >&2
  return 1
}

# venv_python: print the interpreter of the environment, which Windows has in another folder.
venv_python() {
  local file
  for file in "$VENV/bin/python" "$VENV/Scripts/python.exe"; do
    if [ -x "$file" ]; then
      echo "$file"
      return
    fi
  done
  return 1
}

# install WHAT: install WHAT of this checkout, such as . or .[dev], with the versions of constraints.txt.
install() {
  local python
  if ! venv_python >/dev/null; then
    python=$(find_python)
    "$python" -m venv "$VENV"
  fi
  python=$(venv_python)
  local pip=("$python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt)
  # torch first and without dependencies, because its index may hold no other packages.
  "${pip[@]}" ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} --no-deps torch
  "${pip[@]}" --editable "$1"
}
