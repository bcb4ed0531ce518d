#!/usr/bin/env bash
# Installs the clients and tools of other projects that test/conformance tries (requirements.txt, npm-clients.json,
# perf-analyzer.txt) into node_modules/.cache/scission-clients, which git ignores. Tests that need them are skipped without them.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
folder="$here/../../node_modules/.cache/scission-clients"
mkdir -p "$folder"
folder="$(cd "$folder" && pwd)"
python="$folder/python/bin"

# kserve brings kubernetes and pandas: uv installs all of it in a tenth of pip's time. It does not read pip's configuration; where
# it cannot reach the packages, pip does it.
python_clients() {
  python3 -m venv "$folder/python"
  "$python/pip" install --quiet --disable-pip-version-check uv==0.13.8
  "$python/uv" pip install --quiet --no-cache --python "$python/python" --requirement "$here/requirements.txt" ||
    "$python/pip" install --quiet --disable-pip-version-check --no-compile --requirement "$here/requirements.txt"
}

node_clients() {
  mkdir -p "$folder/node"
  cp "$here/npm-clients.json" "$folder/node/package.json"
  npm install --prefix "$folder/node" --ignore-scripts --no-audit --no-fund --silent
}

# The program of an old wheel, which starts on older systems too, with the two libraries that it misses: one of a wheel, one of a
# package of Debian and Ubuntu, which is unpacked and not installed. In a folder of its own until it has started.
perf_analyzer() {
  local parts="$folder/perf" library
  rm -rf "$parts" && mkdir -p "$parts"
  "$python/pip" download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$parts" \
    --requirement "$here/perf-analyzer.txt"
  for wheel in "$parts"/*.whl; do "$python/python" -m zipfile -e "$wheel" "$parts"; done
  cd "$parts"
  apt-get download -qq libb64-0d 2>/dev/null || { apt-get update -qq && apt-get download -qq libb64-0d; } >/dev/null 2>&1
  dpkg -x libb64-0d_*.deb .
  library="$(dirname "$(find "$parts" -name 'libb64.so.*' | head -n 1)"):$parts/nvidia/cuda_runtime/lib"
  chmod +x "$parts"/tritonclient-*.data/data/bin/perf_analyzer
  printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$library" "$parts"/tritonclient-*.data/data/bin/perf_analyzer >"$parts/command"
  chmod +x "$parts/command"
  "$parts/command" --version >/dev/null
  rm -f "$parts"/*.whl "$parts"/*.deb
  mv "$parts/command" "$folder/perf_analyzer"
}

wanted="$(cat "$here/requirements.txt" "$here/npm-clients.json")"
if [ "$(cat "$folder/installed" 2>/dev/null)" != "$wanted" ]; then
  rm -rf "$folder/installed" "$folder/python" "$folder/node"
  python_clients &
  both=$!
  node_clients
  wait "$both"
  # Written last: a folder without it is incomplete.
  printf '%s\n' "$wanted" >"$folder/installed"
fi
# In a shell of its own, which ends at the first fault: a function before `||` would go on.
if [ ! -x "$folder/perf_analyzer" ]; then
  set +e
  (set -e && perf_analyzer)
  [ $? = 0 ] || echo 'perf_analyzer could not be installed (for x86-64, with apt-get): its tests are skipped' >&2
fi
