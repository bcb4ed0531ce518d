"""What the examples share: JSON and tensors over HTTP, and a split of MobileNetV2 that is served while a block runs."""

import json
import os
import time
from contextlib import contextmanager
from urllib.request import Request, urlopen

PLANNER = os.environ.get("SCISSION_PLANNER_URL", "http://127.0.0.1:8082")
TOKEN = os.environ.get("SCISSION_TOKEN")
# A system on this computer alone asks nobody for one.
SHOWN = {"Authorization": f"Bearer {TOKEN}"} if TOKEN else {}


def call(url, body=None, method=None):
    """Sends JSON (a POST if there is a body) and returns the JSON of the answer, None for an empty one."""
    data = None if body is None else json.dumps(body).encode()
    # Without this urllib would call it a form, which is refused.
    headers = {} if body is None else {"Content-Type": "application/json"}
    with urlopen(Request(url, data=data, headers=headers | SHOWN, method=method)) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def post_tensors(url, request, data):
    """Sends a request of the Open Inference Protocol and the bytes of its tensors; returns the answer's, both."""
    head = json.dumps(request).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(head)),
    }
    with urlopen(Request(url, data=head + data, headers=headers | SHOWN)) as answer:
        length = int(answer.headers["Inference-Header-Content-Length"])
        body = answer.read()
    return json.loads(body[:length]), body[length:]


@contextmanager
def deployed(name):
    """The best plan of two stages, and its deployment, which ends with the block."""
    query = {"model": "mobilenetv2", "firstLayersOnDevice": 10, "minStages": 2, "maxStages": 2, "top": 1}
    plan = call(f"{PLANNER}/v1/plans", query)["plans"][0]
    deployment = call(f"{PLANNER}/v1/deployments", {"plan": plan["id"], "name": name})
    address = f"{PLANNER}/v1/deployments/{deployment['id']}"
    try:
        while deployment["state"] == "loading":
            time.sleep(0.1)
            deployment = call(address)
        if deployment["state"] == "failed":
            raise SystemExit(deployment["error"])
        yield plan, deployment
    finally:
        call(address, method="DELETE")
