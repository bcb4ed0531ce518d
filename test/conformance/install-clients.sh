#!/usr/bin/env bash
# Installs the clients and tools of other projects that test/conformance/foreign tries (requirements.txt, npm-clients.json)
# into node_modules/.cache/scission-clients, which git ignores. Tests that need them are skipped without them.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
folder="$here/../../node_modules/.cache/scission-clients"
mkdir -p "$folder"
wanted="$(cat "$here/requirements.txt" "$here/npm-clients.json")"
if [ "$(cat "$folder/installed" 2>/dev/null)" = "$wanted" ]; then exit 0; fi
rm -rf "$folder/installed" "$folder/python" "$folder/node"
python3 -m venv "$folder/python"
"$folder/python/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
mkdir -p "$folder/node"
cp "$here/npm-clients.json" "$folder/node/package.json"
npm install --prefix "$folder/node" --ignore-scripts --no-audit --no-fund --silent
# Written last: a folder without it is incomplete.
printf '%s\n' "$wanted" >"$folder/installed"
