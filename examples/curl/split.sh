#!/usr/bin/env bash
# Plans a split of MobileNetV2, serves it, and sends one request. `npm start` must be running.
set -euo pipefail

planner=${SCISSION_PLANNER_URL:-http://127.0.0.1:8082}
model=mobilenetv2

# The value of the first "key" in a JSON text.
value() { grep -o "\"$1\":\(\"[^\"]*\"\|[0-9.]*\)" | head -n 1 | cut -d : -f 2- | tr -d '"'; }

answer=$(curl -sSf "$planner/v1/plans?model=$model&firstLayersOnDevice=10&minStages=2&maxStages=2&top=1")
plan=$(value id <<< "$answer")
# An id ends with the stages: <resource>_<from>-<to>, separated by dots.
stages=$(cut -d . -f 4- <<< "$plan" | sed -E 's/([^._]+)_([0-9]+)-([0-9]+)/\1 [\2,\3)/g; s/\./ → /g')
printf 'plan %s, predicted %.1f ms\n' "$stages" "$(value predictedMs <<< "$answer")"

deployment=$(curl -sSf "$planner/v1/deployments" --json "{\"plan\":\"$plan\",\"name\":\"example-curl\"}" | value id)
trap 'curl -sS -X DELETE "$planner/v1/deployments/$deployment"' EXIT
until curl -sSf "$planner/v1/deployments/$deployment" | grep -q '"state":"ready"'; do sleep 0.2; done
entry=$(curl -sSf "$planner/v1/deployments/$deployment" | value url)

# A model with one input takes its bytes as they are: 1 x 3 x 224 x 224 numbers of 4 bytes.
head -c 602112 /dev/zero | curl -sSf "$entry/v2/models/$deployment/infer" \
  -H 'Content-Type: application/octet-stream' -H 'Inference-Header-Content-Length: 0' --data-binary @- |
  grep -a -o '"scission_[a-zA-Z0-9_]*":\("[^"]*"\|[^,}]*\)'
