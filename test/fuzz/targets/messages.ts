/** Messages of the Open Inference Protocol, as parsed and written again. */
import { decodeElements } from '../../../shared/oip/bytes-elements.ts'
import { parseInferRequest, parseRawRequest, writeInferRequest } from '../../../shared/oip/request-message.ts'
import { parseInferResponse, writeInferResponse } from '../../../shared/oip/response-message.ts'
import { readJsonLength } from '../../../shared/oip/binary-message.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { DATATYPES } from '../../../shared/contracts/common.ts'
import { PURE, refusing, type Target, text } from '../target.ts'

const tensor: Tensor = {
  name: 'x',
  datatype: 'FP32',
  shape: [1, 2],
  bytes: new Uint8Array(Float32Array.of(1, 2).buffer),
}
const texts: Tensor = {
  name: 's',
  datatype: 'BYTES',
  shape: [2],
  bytes: Buffer.from('\x01\0\0\0a\x02\0\0\0bc'),
}

/** The first four bytes say how many of the others are JSON. */
function framed(json: Uint8Array, ...binary: Uint8Array[]): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(json.length)
  return Buffer.concat([length, json, ...binary])
}

function unframed(input: Uint8Array): [Uint8Array, Uint8Array] {
  const length = Buffer.from(input.subarray(0, 4))
  const at = 4 + Math.min(length.length === 4 ? length.readUInt32LE() : 0, input.length)
  return [input.subarray(4, at), input.subarray(at)]
}

const every = DATATYPES.map((datatype) => ({
  name: `x_${datatype}`,
  datatype,
  shape: [2],
  data: datatype === 'BYTES' ? ['a', 'ä'] : datatype === 'BOOL' ? [true, false] : [1, 2],
}))
const JSON_SEEDS = [
  text({
    id: '1',
    inputs: every,
    outputs: [{ name: 'y', parameters: { binary_data: true } }],
    parameters: { binary_data_output: true },
  }),
  text({
    inputs: [
      {
        name: 'x',
        shape: [2, 2],
        datatype: 'FP32',
        data: [
          [1, 2],
          [3, 4.5e10],
        ],
      },
    ],
  }),
  text({ inputs: [{ name: 'x', shape: [2], datatype: 'INT64', data: [9_007_199_254_740_991, -1] }] }),
  text({
    model_name: 'm',
    model_version: '1',
    outputs: [{ name: 'y', shape: [1], datatype: 'FP64', data: [1] }],
  }),
]

export const jsonMessages: Target = {
  name: 'oip-json',
  share: 10,
  sample: 1500,
  ...PURE,
  open: () => ({
    seeds: JSON_SEEDS,
    run: (input) => {
      refusing(() => {
        const { inputs, ...rest } = parseInferRequest(input, new Uint8Array(), 'm')
        writeInferRequest({ ...rest, inputs, outputs: undefined }, () => false)
      })
      refusing(() => {
        const { modelName, outputs } = parseInferResponse(input, new Uint8Array())
        writeInferResponse({ modelName, outputs: outputs.map((one) => ({ tensor: one, binary: false })) })
      })
    },
  }),
}

export const binaryMessages: Target = {
  name: 'oip-binary',
  share: 8,
  sample: 1000,
  ...PURE,
  open: () => {
    const request = writeInferRequest({ inputs: [tensor, texts], outputs: [{ name: 'y' }] })
    const response = writeInferResponse({
      modelName: 'm',
      outputs: [
        { tensor, binary: true },
        { tensor: texts, binary: true },
      ],
    })
    return {
      seeds: [request, response].map(({ json, binary }) => framed(json, ...binary)),
      run: (input) => {
        const [json, binary] = unframed(input)
        refusing(() => parseInferRequest(json, binary, 'm'))
        refusing(() => parseInferResponse(json, binary))
        refusing(() => decodeElements(binary, 'x'))
        refusing(() => readJsonLength(Buffer.from(binary).toString('latin1'), input.length))
        for (const shape of [[-1], [2, -1], [1], [-1, -1]])
          for (const datatype of ['FP32', 'BYTES'] as const) {
            const takes = [{ name: 'x', datatype, shape }]
            refusing(() => parseRawRequest(takes, takes, binary, 'm'))
          }
      },
    }
  },
}
