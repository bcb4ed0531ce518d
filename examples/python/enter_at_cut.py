"""Enters a split of MobileNetV2 at its cut, with a tensor packed by NumPy. `npm start` must be running.

    python3 examples/python/enter_at_cut.py

A client that ran the layers before the cut itself sends their tensors to the machine that runs the next ones. Here a machine
runs them in the client's place; examples/head-on-client shows how a client does it with ONNX Runtime.
"""

import numpy as np
from codecs_numpy import decode, encode
from scission import call, deployed, post_tensors


def infer(url, name, array, codec="none", answer_codec="none"):
    """One tensor in, the only output back, each packed as told. Returns the bytes of both on the wire, and the output."""
    if codec == "none":
        parameters = {"binary_data_size": array.nbytes}
        entry = {"name": name, "datatype": "FP32", "shape": array.shape, "parameters": parameters}
        data = array.tobytes()
    else:
        entry, data = encode(name, array, codec)
    wanted = {"binary_data_output": True, "scission_codec": answer_codec}
    told, came = post_tensors(url, {"parameters": wanted, "inputs": [entry]}, data)
    (output,) = told["outputs"]
    return len(data), len(came), decode(output, came)


with deployed("example-cut") as (plan, deployment):
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
