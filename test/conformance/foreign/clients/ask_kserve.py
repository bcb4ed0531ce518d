"""KServe's client, InferenceRESTClient with the Open Inference Protocol."""

import asyncio

import httpx
from kserve import InferInput, InferRequest, InferenceRESTClient
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput

from cases import DATATYPES, EXPECTED, INPUTS, TARGETS, URL, compare, passed

client = InferenceRESTClient(RESTConfig(protocol="v2"))


def request(target: str, binary: bool, names=tuple(INPUTS)) -> InferRequest:
    inputs = []
    for name in names:
        one = InferInput(name, list(INPUTS[name].shape), DATATYPES[name])
        # FP16 has no JSON form for this client.
        one.set_data_from_numpy(INPUTS[name], binary_data=binary or name == "fp16")
        inputs.append(one)
    wanted = [RequestedOutput(name, {"binary_data": binary or name == "out_fp16"}) for name in EXPECTED]
    return InferRequest(model_name=target, infer_inputs=inputs, request_outputs=wanted)


async def main() -> None:
    assert await client.is_server_live(URL)
    assert await client.is_server_ready(URL)
    passed("server")
    for target in TARGETS:
        assert await client.is_model_ready(URL, target)
        passed("ready", target)
        for binary in (True, False):
            answer = await client.infer(URL, request(target, binary), model_name=target)
            compare({output.name: output.as_numpy() for output in answer.outputs})
            passed("binary" if binary else "json", target)
        try:
            await client.infer(URL, request(target, True, ["fp32"]), model_name=target)
            raise RuntimeError("a request with one input was not refused")
        except httpx.HTTPStatusError as error:
            assert error.response.status_code == 400
            # The client shows what the service said only if the media type is as it expects.
            assert "fp64" in str(error), str(error)
            passed("errors", target)


asyncio.run(main())
