"""What every client asks: the model of typed-model.ts with these inputs, whole, by layers and split.

A script is called with the service's URL and the names of the targets. It prints one JSON line for each check that
passed; the first that fails ends it with a traceback.
"""

import json
import sys

import numpy as np

WORDS = np.array([b"one", "zwölf".encode(), b""], dtype=np.object_)
INPUTS = {
    "fp32": np.array([0.5, -1.25, 3e38], np.float32) / 2,
    "fp64": np.array([0.1, -2.5, 1e300], np.float64),
    "fp16": np.array([0.5, -2, 100], np.float16),
    "int32": np.array([1, -2, 2**30 - 1], np.int32),
    "int64": np.array([1, -2, 2**61 - 1], np.int64),
    "words": WORDS,
    "flags": np.array([True, False, True]),
    "uint8": np.array([0, 128, 255], np.uint8),
    "int8": np.array([-128, 0, 127], np.int8),
}
DATATYPES = {
    "fp32": "FP32",
    "fp64": "FP64",
    "fp16": "FP16",
    "int32": "INT32",
    "int64": "INT64",
    "words": "BYTES",
    "flags": "BOOL",
    "uint8": "UINT8",
    "int8": "INT8",
}
DOUBLED = ("fp32", "fp64", "fp16", "int32", "int64")
EXPECTED = {
    f"out_{name}": value + value if name in DOUBLED else np.concatenate([value, value])
    for name, value in INPUTS.items()
}

URL = sys.argv[1]
TARGETS = sys.argv[2:]


def passed(check: str, target: str = "") -> None:
    print(json.dumps({"check": check, "target": target}), flush=True)


def as_bytes(array: np.ndarray) -> np.ndarray:
    """Strings as bytes: some clients return text."""
    if array.dtype != np.object_ and array.dtype.kind not in "US":
        return array
    return np.array([one.encode() if isinstance(one, str) else bytes(one) for one in array.flat], np.object_)


def compare(outputs: dict) -> None:
    """Every output, to the bit."""
    assert sorted(outputs) == sorted(EXPECTED), sorted(outputs)
    for name, value in EXPECTED.items():
        given = as_bytes(np.asarray(outputs[name]))
        assert given.dtype == value.dtype, (name, given.dtype, value.dtype)
        assert given.shape == value.shape, (name, given.shape)
        assert (given == value).all(), (name, given, value)
