"""Calls an inference service with NVIDIA's own client library, unchanged.

    python3 triton-client.py HOST:PORT

The service must have the toy models `branched` and `every-type` of test/inference/support/toy-models.ts.
Prints OK as its last line when everything came back as it was sent.
"""

import sys

import ml_dtypes
import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(url=sys.argv[1])


def infer(model, arrays, binary_in, binary_out, outputs, **options):
    inputs = []
    for name, datatype, array in arrays:
        tensor = triton.InferInput(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array, binary_data=binary_in)
        inputs.append(tensor)
    wanted = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in outputs]
    return client.infer(model, inputs, outputs=wanted or None, **options)


assert client.is_server_live() and client.is_server_ready()
assert client.get_server_metadata()["name"] == "scission"
assert client.get_model_metadata("branched")["inputs"][0]["name"] == "x"
assert client.get_model_config("branched")["input"][0]["data_type"] == "TYPE_FP32"
assert not client.is_model_ready("branched")
client.load_model("branched")
assert client.is_model_ready("branched") and client.is_model_ready("branched", "1")
assert any(entry["name"] == "branched" for entry in client.get_model_repository_index())

x = np.array([1.0, -2.5], dtype=np.float32)
for binary_in in (True, False):
    for binary_out in (True, False):
        for outputs in (["y"], []):
            answer = infer("branched", [("x", "FP32", x)], binary_in, binary_out, outputs, request_id="42")
            assert np.array_equal(answer.as_numpy("y"), (2 * x) * (2 * x + 1)), answer.get_response()
            assert answer.get_response()["id"] == "42"
for algorithm in ("gzip", "deflate"):
    options = {"request_compression_algorithm": algorithm, "response_compression_algorithm": algorithm}
    answer = infer("branched", [("x", "FP32", x)], True, True, ["y"], **options)
    assert np.array_equal(answer.as_numpy("y"), (2 * x) * (2 * x + 1))

head = infer("branched:0-2", [("x", "FP32", x)], True, True, [])
tail = infer("branched:2-3", [(n, "FP32", head.as_numpy(n)) for n in ("a", "b")], True, True, [])
assert np.array_equal(tail.as_numpy("y"), (2 * x) * (2 * x + 1))

random = np.random.default_rng(1)
kinds = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "FP16": np.float16, "BF16": ml_dtypes.bfloat16, "FP32": np.float32, "FP64": np.float64,
}
arrays = [(f"x_{kind.lower()}", kind, random.integers(0, 2, (2, 2)).astype(numpy)) for kind, numpy in kinds.items()]
words = np.array([["cat", ""], ["é", "x"]], dtype=object)
arrays.append(("x_bytes", "BYTES", words))
answer = infer("every-type", arrays, True, True, [])
for name, kind, array in arrays:
    back = answer.as_numpy(name.replace("x_", "y_"))
    if kind == "BYTES":
        assert [word.decode() for word in back.flatten()] == list(words.flatten())
    else:
        assert np.array_equal(back.astype(array.dtype), array), (kind, back, array)

statistics = client.get_inference_statistics("branched")["model_stats"][0]
assert statistics["inference_stats"]["success"]["count"] >= 8

for call, status in (
    (lambda: client.get_model_metadata("nobody"), "404"),
    (lambda: infer("branched", [("z", "FP32", x)], True, True, []), "400"),
    (lambda: infer("branched", [("x", "FP32", x)], True, True, ["q"]), "400"),
):
    try:
        call()
        raise AssertionError(f"expected {status}")
    except InferenceServerException as error:
        assert error.status() == status and error.message(), error

client.unload_model("branched")
assert not client.is_model_ready("branched")
print("OK")
