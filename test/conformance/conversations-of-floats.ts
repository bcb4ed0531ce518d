/**
 * More conversations in the form of conversations.ts: numbers that FP32 can represent and JSON cannot, and the reverse.
 * JSON has no form for NaN and infinity, so JSON data with them is refused in both directions, with the advice to use the
 * binary form. They never become null.
 */
import { z } from 'zod'
import { type Conversation, QUIET, refused, X4 } from './conversation.ts'
import { matching } from './schemas.ts'

const INFER = 'POST /v2/models/m/infer'
const USE_BINARY = matching(z.strictObject({ error: z.string().regex(/binary/i) }))

const NOT_IN_JSON = { NaN: '<0000c07f>', Infinity: '<0000807f>', '-Infinity': '<000080ff>' }
const LARGEST = 3.4028234663852886e38
const SMALLEST = 1.401298464324817e-45

export const OF_FLOATS: Conversation[] = [
  ...Object.entries(NOT_IN_JSON).flatMap(([value, bytes]): Conversation[] => [
    {
      name: `${value} written into JSON, where it is no number`,
      request: { line: INFER, body: `{"inputs":[{${X4},"data":[${value},2,3,4]}]}` },
      answer: refused(400),
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
      answer: { status: 400, body: { json: USE_BINARY } },
    },
  ]),
  ...['1e999', '-1e999', '3.5e38', '-3.5e38'].map((value) => ({
    name: `${value}: a number in JSON, but not one that FP32 has`,
    request: { line: INFER, body: `{"inputs":[{${X4},"data":[${value},2,3,4]}]}` },
    answer: refused(400),
  })),
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
