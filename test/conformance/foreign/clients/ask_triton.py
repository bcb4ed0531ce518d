"""NVIDIA's client, tritonclient.http."""

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from cases import DATATYPES, EXPECTED, INPUTS, TARGETS, URL, compare, passed

client = triton.InferenceServerClient(URL.removeprefix("http://"))


def inputs(binary: bool, names=tuple(INPUTS)):
    made = []
    for name in names:
        one = triton.InferInput(name, list(INPUTS[name].shape), DATATYPES[name])
        # FP16 has no JSON form for this client.
        one.set_data_from_numpy(INPUTS[name], binary_data=binary or name == "fp16")
        made.append(one)
    return made


def outputs(binary: bool):
    return [triton.InferRequestedOutput(name, binary_data=binary or name == "out_fp16") for name in EXPECTED]


def refused(part: str, ask) -> None:
    try:
        ask()
    except InferenceServerException as error:
        assert part in error.message(), error.message()
        return
    raise AssertionError(f"was not refused: {part}")


assert client.is_server_live() and client.is_server_ready()
assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
passed("server")
assert {"typed"} <= {entry["name"] for entry in client.get_model_repository_index()}
passed("index")

for target in TARGETS:
    client.load_model(target)
    assert client.is_model_ready(target)
    passed("ready", target)
    metadata = client.get_model_metadata(target)
    assert {one["name"]: one["datatype"] for one in metadata["inputs"]} == DATATYPES, metadata
    assert {one["name"] for one in metadata["outputs"]} == set(EXPECTED)
    assert client.get_model_config(target)["max_batch_size"] == 0
    passed("metadata", target)
    for binary in (True, False):
        answer = client.infer(target, inputs(binary), outputs=outputs(binary), request_id="r1")
        compare({name: answer.as_numpy(name) for name in EXPECTED})
        assert answer.get_response()["id"] == "r1"
        passed("binary" if binary else "json", target)
    for algorithm in ("gzip", "deflate"):
        answer = client.infer(
            target, inputs(True), request_compression_algorithm=algorithm, response_compression_algorithm=algorithm
        )
        compare({name: answer.as_numpy(name) for name in EXPECTED})
    passed("compressed", target)
    one = client.infer(target, inputs(True), outputs=[triton.InferRequestedOutput("out_words")])
    assert one.as_numpy("out_words").tolist() == EXPECTED["out_words"].tolist()
    assert one.as_numpy("out_fp32") is None
    passed("one output", target)
    refused("fp64", lambda: client.infer(target, inputs(True, ["fp32"])))
    wrong = inputs(True)
    wrong[0] = triton.InferInput("fp32", [2], "FP32")
    wrong[0].set_data_from_numpy(np.zeros(2, np.float32))
    refused("fp32", lambda: client.infer(target, wrong))
    refused("nothing", lambda: client.infer(target, inputs(True), outputs=[triton.InferRequestedOutput("nothing")]))
    passed("errors", target)
    counts = client.get_inference_statistics(target)["model_stats"][0]["inference_stats"]
    assert counts["success"]["count"] >= 5 and counts["fail"]["count"] >= 3, counts
    passed("statistics", target)

refused("nowhere", lambda: client.get_model_metadata("nowhere"))
passed("unknown model")
