"""Plans a split of MobileNetV2, serves it, and sends one request. `npm start` must be running.

    python3 examples/python/split.py

Python's standard library and NumPy are all it needs.
"""

import json
import os
import time
from urllib.request import Request, urlopen

import numpy as np

PLANNER = os.environ.get("SCISSION_PLANNER_URL", "http://127.0.0.1:8082")


def call(url, body=None, method=None):
    """Sends JSON (a POST if there is a body) and returns the JSON of the answer, None for an empty one."""
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data=data, method=method)) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def infer(url, name, array):
    """One FP32 tensor in, all outputs back, both in binary. Returns the parameters and the outputs by name."""
    tensor = {
        "name": name,
        "datatype": "FP32",
        "shape": list(array.shape),
        "parameters": {"binary_data_size": array.nbytes},
    }
    head = json.dumps({"parameters": {"binary_data_output": True}, "inputs": [tensor]}).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(head)),
    }
    with urlopen(Request(url, data=head + array.tobytes(), headers=headers)) as answer:
        length = int(answer.headers["Inference-Header-Content-Length"])
        body = answer.read()
    told, at = json.loads(body[:length]), length
    outputs = {}
    for output in told["outputs"]:
        size = output["parameters"]["binary_data_size"]
        outputs[output["name"]] = np.frombuffer(body[at : at + size], np.float32).reshape(output["shape"])
        at += size
    return told["parameters"], outputs


query = {"model": "mobilenetv2", "firstLayersOnDevice": 10, "minStages": 2, "maxStages": 2, "top": 1}
plan = call(f"{PLANNER}/v1/plans", query)["plans"][0]
deployment = call(f"{PLANNER}/v1/deployments", {"plan": plan["id"], "name": "example-python"})
address = f"{PLANNER}/v1/deployments/{deployment['id']}"
try:
    while deployment["state"] == "loading":
        time.sleep(0.1)
        deployment = call(address)
    if deployment["state"] == "failed":
        raise SystemExit(deployment["error"])
    stages = ", ".join(f"{stage['resource']} [{stage['from']},{stage['to']})" for stage in plan["stages"])
    print(f"{deployment['id']} runs on {stages}")

    model = f"{deployment['entry']['url']}/v2/models/{deployment['id']}"
    wanted = call(model)["inputs"][0]
    image = np.random.default_rng(1).random(wanted["shape"], dtype=np.float32)
    told, outputs = infer(f"{model}/infer", wanted["name"], image)
    for hop in range(told["scission_hops"]):
        of = f"scission_hop{hop}_"
        print(f"{told[of + 'resource']}: layers {told[of + 'layers']}, {told[of + 'computeMs']:.1f} ms")

    (scores,) = outputs.values()
    scores = scores.ravel()
    best = np.argsort(scores)[::-1][:5]
    print(f"five largest of {scores.size}: " + ", ".join(f"{at} ({scores[at]:.4f})" for at in best))
finally:
    call(address, method="DELETE")
