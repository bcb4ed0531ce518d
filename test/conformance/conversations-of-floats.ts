/**
 * More conversations in the form of conversations.ts: numbers that FP32 can represent and JSON cannot, and the reverse.
 * JSON has no form for NaN and infinity. Triton takes and writes the bare words, which Python's json module reads and writes
 * too. They never become null.
 */
import { type Conversation, QUIET, QUIET_BINARY, refused, X4 } from './conversation.ts'

const INFER = 'POST /v2/models/m/infer'
const answered = (data: string) =>
  `{"model_name":"m","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1,4],"data":[${data}]}]}`

const NOT_IN_JSON = { NaN: '<0000c07f>', Infinity: '<0000807f>', '-Infinity': '<000080ff>' }
const LARGEST = 3.4028234663852886e38
const SMALLEST = 1.401298464324817e-45

export const OF_FLOATS: Conversation[] = [
  ...Object.entries(NOT_IN_JSON).flatMap(([value, bytes]): Conversation[] => [
    {
      name: `${value} as a bare word in JSON`,
      request: { line: INFER, body: `{${QUIET},"inputs":[{${X4},"data":[${value},2,3,4]}]}` },
      answer: { status: 200, body: answered(`${value},2,3,4`) },
    },
    {
      name: `${value} as a bare word in nested JSON, wanted as bytes`,
      request: { line: INFER, body: `{${QUIET_BINARY},"inputs":[{${X4},"data":[[ 0, 0, 0, ${value} ]]}]}` },
      answer: {
        status: 200,
        body:
          '{"model_name":"m","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1,4],' +
          `"parameters":{"binary_data_size":16}}]}<00000000 00000000 00000000>${bytes}`,
      },
    },
    {
      name: `"${value}" as text where a number should be`,
      request: { line: INFER, body: `{"inputs":[{${X4},"data":["${value}",2,3,4]}]}` },
      answer: refused(400),
    },
    {
      name: `${value} in the last place of an output that is wanted as JSON`,
      request: {
        line: INFER,
        headers: { 'Inference-Header-Content-Length': '133' },
        body: `{${QUIET},"inputs":[{${X4},"parameters":{"binary_data_size":16}}]}<0000803f 000020c0 00000000>${bytes}`,
      },
      answer: { status: 200, body: answered(`1,-2.5,0,${value}`) },
    },
  ]),
  ...['1e999', '-1e999', '3.5e38', '-3.5e38', `1${'0'.repeat(400)}`, 'Infinit', 'nan', '-NaN'].map(
    (value) => ({
      name: `${value}: not a number that FP32 has`,
      request: { line: INFER, body: `{"inputs":[{${X4},"data":[${value},2,3,4]}]}` },
      answer: refused(400),
    }),
  ),
  {
    name: 'null where a number should be',
    request: { line: INFER, body: `{"inputs":[{${X4},"data":[null,2,3,4]}]}` },
    answer: refused(400),
  },
  {
    name: 'the largest numbers of FP32 and the smallest, in JSON',
    request: {
      line: INFER,
      body: `{${QUIET},"inputs":[{${X4},"data":[${LARGEST},${-LARGEST},${SMALLEST},${-SMALLEST}]}]}`,
    },
    answer: {
      status: 200,
      body: {
        json: {
          model_name: 'm',
          model_version: '1',
          outputs: [
            {
              name: 'y',
              datatype: 'FP32',
              shape: [1, 4],
              data: [LARGEST, -LARGEST, SMALLEST, -SMALLEST],
            },
          ],
        },
      },
    },
  },
]
