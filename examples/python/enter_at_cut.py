"""Enters a split of MobileNetV2 at its cut, with a tensor packed by NumPy. `npm start` must be running.

    python3 examples/python/enter_at_cut.py

A client that ran the layers before the cut itself sends their tensors to the machine that runs the next ones. Here a machine
runs them in the client's place; examples/head-on-client shows how a client does it with ONNX Runtime.
"""

import json
import os
import time
from urllib.request import Request, urlopen

import numpy as np

from codecs_numpy import decode, encode

PLANNER = os.environ.get("SCISSION_PLANNER_URL", "http://127.0.0.1:8082")


def call(url, body=None, method=None):
    """Sends JSON (a POST if there is a body) and returns the JSON of the answer, None for an empty one."""
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data=data, method=method)) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def infer(url, name, array, codec="none", answer_codec="none"):
    """One tensor in, the only output back, each packed as told. Returns the bytes of both on the wire, and the output."""
    if codec == "none":
        parameters = {"binary_data_size": array.nbytes}
        entry = {"name": name, "datatype": "FP32", "shape": array.shape, "parameters": parameters}
        data = array.tobytes()
    else:
        entry, data = encode(name, array, codec)
    told = {"binary_data_output": True, "scission_codec": answer_codec}
    head = json.dumps({"parameters": told, "inputs": [entry]}).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(head)),
    }
    with urlopen(Request(url, data=head + data, headers=headers)) as answer:
        length = int(answer.headers["Inference-Header-Content-Length"])
        body = answer.read()
    (output,) = json.loads(body[:length])["outputs"]
    return len(data), len(body) - length, decode(output, body[length:])


query = {"model": "mobilenetv2", "firstLayersOnDevice": 10, "minStages": 2, "maxStages": 2, "top": 1}
plan = call(f"{PLANNER}/v1/plans", query)["plans"][0]
deployment = call(f"{PLANNER}/v1/deployments", {"plan": plan["id"], "name": "example-cut"})
address = f"{PLANNER}/v1/deployments/{deployment['id']}"
try:
    while deployment["state"] == "loading":
        time.sleep(0.1)
        deployment = call(address)
    if deployment["state"] == "failed":
        raise SystemExit(deployment["error"])
    entry = deployment["entry"]["url"]
    cut, end = plan["stages"][1]["from"], plan["stages"][1]["to"]

    # Any machine tells what crosses the cut, and where the layers behind it are entered.
    told = call(f"{entry}/v2/models/{deployment['id']}/layers/{cut}-{end}")
    (crossing,) = told["inputs"]
    print(f"layers {cut}-{end} take {crossing['name']} and run on {told['properties']['path']}")

    model = call(f"{entry}/v2/models/{deployment['id']}")
    image = np.random.default_rng(1).random(model["inputs"][0]["shape"], dtype=np.float32)
    name = model["inputs"][0]["name"]
    _, _, whole = infer(f"{entry}/v2/models/{deployment['id']}/infer", name, image)
    _, _, tensor = infer(f"{entry}/v2/models/mobilenetv2/layers/0-{cut}/infer", name, image)

    for codec, answer_codec in (("none", "none"), ("q8c", "fp16"), ("q4", "q8")):
        url = f"{told['properties']['entry']}/infer"
        sent, came, answer = infer(url, crossing["name"], tensor, codec, answer_codec)
        change = np.abs(answer - whole).max() / np.abs(whole).max()
        print(f"{codec}: {sent} bytes there, {came} back as {answer_codec}, the answer changed by {change:.1%}")
finally:
    call(address, method="DELETE")
