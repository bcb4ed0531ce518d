"""Scission's tensor codecs in NumPy: pack an array for a request, unpack an output of an answer.

The form is described under "An encoded tensor" in docs/reference/requests-and-answers.md. A codec with `-zstd` needs the
package `zstandard`.
"""

import json

import numpy as np

DATATYPES = {
    "BOOL": "?", "UINT8": "u1", "INT8": "i1", "UINT16": "<u2", "INT16": "<i2", "UINT32": "<u4", "INT32": "<i4",
    "UINT64": "<u8", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
MIN_CHANNEL_ELEMENTS = 32


def encode(name, array, codec):
    """The entry of a request's `inputs`, and its bytes. `codec` is 'q8', 'q4c-zstd', 'fp16', 'zstd', …"""
    datatype = next(key for key, value in DATATYPES.items() if np.dtype(value) == array.dtype)
    lossy, zstd = parts_of(codec)
    if lossy == "fp16":
        data = array.astype("<f2").tobytes()
    elif lossy:
        data = quantise(array, *linear(lossy))
    else:
        data = array.tobytes()
    if zstd:
        import zstandard

        data = zstandard.ZstdCompressor(level=1).compress(data)
    parameters = {
        "binary_data_size": len(data),
        "scission_codec": codec,
        "scission_datatype": datatype,
        "scission_shape": json.dumps(array.shape),
    }
    return {"name": name, "datatype": "UINT8", "shape": [len(data)], "parameters": parameters}, data


def decode(entry, data):
    """The array of an entry of an answer's `outputs` and its bytes, encoded or not."""
    parameters = entry["parameters"]
    if "scission_codec" not in parameters:
        return np.frombuffer(data, DATATYPES[entry["datatype"]]).reshape(entry["shape"])
    datatype = DATATYPES[parameters["scission_datatype"]]
    shape = json.loads(parameters["scission_shape"])
    lossy, zstd = parts_of(parameters["scission_codec"])
    if zstd:
        import zstandard

        data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    if lossy == "fp16":
        return np.frombuffer(data, "<f2").astype("<f4").reshape(shape)
    if lossy:
        return dequantise(data, shape, *linear(lossy))
    return np.frombuffer(data, datatype).reshape(shape)


def parts_of(codec):
    """'q4c-zstd' has the lossy part 'q4c' and Zstandard; 'zstd' has no lossy part."""
    parts = codec.split("-")
    return (parts[0] if parts[0] != "zstd" else ""), parts[-1] == "zstd"


def linear(lossy):
    """'q4c' has 4 bits, per channel."""
    return int(lossy[1]), lossy.endswith("c")


def channels_of(shape, per_channel):
    """The shape in which the middle axis has one range per index: one range for all, or one for each index of axis 1."""
    run = int(np.prod(shape[2:]))
    if not per_channel or len(shape) < 2 or shape[1] < 2 or run < MIN_CHANNEL_ELEMENTS:
        return 1, 1, int(np.prod(shape))
    return shape[0], shape[1], run


def quantise(array, bits, per_channel):
    """The smallest element of each channel, the largest of each, then the codes."""
    parts = array.reshape(channels_of(array.shape, per_channel)).astype(np.float64)
    lows, highs = (find(parts, axis=(0, 2), keepdims=True) for find in (np.min, np.max))
    steps = (highs - lows) / (2**bits - 1)
    codes = np.rint((parts - lows) / np.where(steps == 0, 1, steps)).astype(np.uint8)
    return lows.astype("<f4").tobytes() + highs.astype("<f4").tobytes() + pack(codes.ravel(), bits)


def dequantise(data, shape, bits, per_channel):
    parts = channels_of(shape, per_channel)
    ranges = np.frombuffer(data, "<f4", 2 * parts[1]).astype(np.float64).reshape(2, 1, parts[1], 1)
    codes = unpack(data[8 * parts[1] :], int(np.prod(shape)), bits).reshape(parts)
    return (ranges[0] + codes * ((ranges[1] - ranges[0]) / (2**bits - 1))).astype("<f4").reshape(shape)


def pack(codes, bits):
    """Lowest bits first; four codes of 6 bits fill three bytes, and a last group of fewer codes fills them too."""
    codes = np.pad(codes, (0, -codes.size % 4)) if bits == 6 else codes
    return np.packbits(np.unpackbits(codes[:, None], axis=1, count=bits, bitorder="little"), bitorder="little").tobytes()


def unpack(data, count, bits):
    stream = np.unpackbits(np.frombuffer(data, np.uint8), count=count * bits, bitorder="little")
    return np.packbits(stream.reshape(count, bits), axis=1, bitorder="little").ravel()
