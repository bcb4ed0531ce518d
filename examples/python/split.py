"""Plans a split of MobileNetV2, serves it, and sends one request. `npm start` must be running.

    python3 examples/python/split.py

Python's standard library and NumPy are all it needs.
"""

import numpy as np
from scission import call, deployed, post_tensors


def infer(url, name, array):
    """One FP32 tensor in, all outputs back, both in binary. Returns the parameters and the outputs by name."""
    tensor = {
        "name": name,
        "datatype": "FP32",
        "shape": list(array.shape),
        "parameters": {"binary_data_size": array.nbytes},
    }
    request = {"parameters": {"binary_data_output": True}, "inputs": [tensor]}
    told, data = post_tensors(url, request, array.tobytes())
    outputs, at = {}, 0
    for output in told["outputs"]:
        size = output["parameters"]["binary_data_size"]
        outputs[output["name"]] = np.frombuffer(data[at : at + size], np.float32).reshape(output["shape"])
        at += size
    return told["parameters"], outputs


with deployed("example-python") as (plan, deployment):
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
