"""The protocol's own generated client, open-inference-openapi. It knows JSON only."""

import numpy as np
from open_inference.openapi.client import OpenInferenceClient
from open_inference.openapi.core.api_error import ApiError
from open_inference.openapi.errors.bad_request_error import BadRequestError
from open_inference.openapi.types.inference_request import InferenceRequest
from open_inference.openapi.types.tensor_data import TensorData

from cases import DATATYPES, EXPECTED, INPUTS, TARGETS, URL, compare, passed

# FP16 has no JSON form, so the model that this client asks has none.
for known in (DATATYPES, INPUTS):
    del known["fp16"]
del EXPECTED["out_fp16"]
# It writes whole numbers as floating-point ones; the service refuses those that may stand for another whole number.
INPUTS["int64"] = np.array([1, -2, 2**53 - 1], np.int64)
EXPECTED["out_int64"] = INPUTS["int64"] * 2

client = OpenInferenceClient(base_url=URL)
NUMPY = {f"out_{name}": value.dtype for name, value in INPUTS.items()}


def request(names=tuple(INPUTS)) -> InferenceRequest:
    def plain(value: np.ndarray):
        elements = [one.decode() if isinstance(one, bytes) else one for one in value.tolist()]
        # Left to itself the client makes numbers of BOOL.
        return TensorData.construct(__root__=elements) if value.dtype == bool else elements

    inputs = [
        {"name": name, "shape": list(INPUTS[name].shape), "datatype": DATATYPES[name], "data": plain(INPUTS[name])}
        for name in names
    ]
    return InferenceRequest(inputs=inputs)


client.check_server_liveness()
client.check_server_readiness()
assert client.read_server_metadata().name == "scission"
passed("server")

for target in TARGETS:
    client.check_model_readiness(target)
    passed("ready", target)
    metadata = client.read_model_metadata(target)
    assert {one.name: str(one.datatype) for one in metadata.inputs} == DATATYPES, metadata
    passed("metadata", target)
    answer = client.model_infer(target, request=request())
    compare({output.name: np.array(output.data.__root__, NUMPY[output.name]) for output in answer.outputs})
    passed("json", target)
    try:
        client.model_infer(target, request=request(["fp32"]))
        raise RuntimeError("a request with one input was not refused")
    except BadRequestError as error:
        assert "fp64" in str(error.body), error.body
        passed("errors", target)

try:
    client.read_model_metadata("nowhere")
    raise RuntimeError("an unknown model was found")
except ApiError as error:
    assert error.status_code == 404, error
    passed("unknown model")
