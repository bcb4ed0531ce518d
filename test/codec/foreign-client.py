"""Sends tensors packed by examples/python/codecs_numpy.py, and reads packed answers with it.

    python3 foreign-client.py ADDRESS FOLDER_OF_THE_EXAMPLE

The service has two models that hand their input `x` through as `y`: `floats`, FP32 [2, 3, 5, 7], and `long`, INT64 [6].
Prints OK as its last line when every codec gave back what it must.
"""

import importlib.util
import json
import sys
from urllib.request import Request, urlopen

import numpy as np

address, folder = sys.argv[1:]
sys.path.insert(0, folder)
from codecs_numpy import decode, encode  # noqa: E402

has_zstd = importlib.util.find_spec("zstandard") is not None


def infer(model, entry, data, codec):
    parameters = {"binary_data_output": True, "scission_codec": codec}
    head = json.dumps({"parameters": parameters, "inputs": [entry]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    with urlopen(Request(f"{address}/v2/models/{model}/infer", data=head + data, headers=headers)) as answer:
        length = int(answer.headers["Inference-Header-Content-Length"])
        body = answer.read()
    (output,) = json.loads(body[:length])["outputs"]
    return output, body[length:]


random = np.random.default_rng(7)
floats = random.normal(size=(2, 3, 5, 7)).astype(np.float32)
floats[:, 1] *= 100
constant = np.full((2, 3, 5, 7), 2.5, np.float32)

for lossy in ["fp16"] + [f"q{bits}{channel}" for bits in (8, 6, 4, 2) for channel in ("", "c")]:
    for codec in [lossy] + ([f"{lossy}-zstd"] if has_zstd else []):
        for array in (floats, constant):
            entry, data = encode("x", array, codec)
            mine = decode(entry, data)
            # There: the service unpacks what NumPy packed.
            plain, bytes_back = infer("floats", entry, data, "none")
            there = np.frombuffer(bytes_back, "<f4").reshape(plain["shape"])
            assert np.allclose(there, mine, rtol=3e-7, atol=1e-6), codec
            # Back: NumPy unpacks what the service packed.
            raw = {"name": "x", "datatype": "FP32", "shape": array.shape, "parameters": {"binary_data_size": array.nbytes}}
            output, packed = infer("floats", raw, array.tobytes(), codec)
            assert output["datatype"] == "UINT8" and output["parameters"]["scission_codec"].startswith(lossy[:2]), output
            worst, expected = (np.abs(one - array).max() for one in (decode(output, packed), mine))
            assert worst <= expected * 1.001 + 1e-6, codec
if has_zstd:
    whole = np.arange(6, dtype=np.int64)
    output, packed = infer("long", *encode("x", whole, "zstd"), "none")
    assert (np.frombuffer(packed, "<i8") == whole).all()
print("OK")
