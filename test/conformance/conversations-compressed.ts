/** More conversations in the form of conversations.ts: compressed bodies in both directions. */
import {
  type Conversation,
  FOUR,
  type Packing,
  QUIET,
  QUIET_BINARY,
  refused,
  X4,
  Y4,
  Y4_BINARY,
  y4WithParameters,
} from './conversation.ts'

const INFER = 'POST /v2/models/m/infer'
/** 159 bytes of this request are JSON, counted before compression. */
const BINARY_REQUEST = `{${QUIET_BINARY},"inputs":[{${X4},"parameters":{"binary_data_size":16}}]}${FOUR}`
const JSON_LENGTH = { 'Inference-Header-Content-Length': '159' }
const JSON_REQUEST = `{${QUIET},"inputs":[{${X4},"data":[1,-2.5,0,3.25]}]}`
const ANSWER_LENGTH = { 'inference-header-content-length': '132' }

const packings: Packing[] = ['gzip', 'deflate']

export const COMPRESSED: Conversation[] = [
  ...packings.flatMap((packed): Conversation[] => [
    {
      name: `a ${packed} request with a binary tensor`,
      request: { line: INFER, headers: JSON_LENGTH, body: BINARY_REQUEST, packed },
      answer: { status: 200, headers: ANSWER_LENGTH, body: Y4_BINARY },
    },
    {
      name: `a ${packed} request in JSON`,
      request: { line: INFER, body: JSON_REQUEST, packed },
      answer: { status: 200, body: Y4 },
    },
    {
      name: `a raw ${packed} request`,
      request: { line: INFER, headers: { 'Inference-Header-Content-Length': '0' }, body: FOUR, packed },
      answer: { status: 200, body: y4WithParameters() },
    },
    {
      name: `a ${packed} request shorter than the JSON in it, most of which is a member that nobody knows`,
      request: {
        line: INFER,
        headers: { 'Inference-Header-Content-Length': '469' },
        body: `{"note":"${'a'.repeat(300)}",${BINARY_REQUEST.slice(1)}`,
        packed,
      },
      answer: { status: 200, headers: ANSWER_LENGTH, body: Y4_BINARY },
    },
    {
      name: `a ${packed} request and a ${packed} answer, both with a binary tensor`,
      request: {
        line: INFER,
        headers: { ...JSON_LENGTH, 'Accept-Encoding': packed },
        body: BINARY_REQUEST,
        packed,
      },
      answer: {
        status: 200,
        headers: { ...ANSWER_LENGTH, 'content-encoding': packed },
        body: Y4_BINARY,
      },
    },
    {
      name: `a ${packed} answer in JSON`,
      request: { line: INFER, headers: { 'Accept-Encoding': packed }, body: JSON_REQUEST },
      answer: {
        status: 200,
        headers: { 'inference-header-content-length': undefined, 'content-encoding': packed },
        body: Y4,
      },
    },
    {
      name: `a ${packed} request with bytes behind its last tensor`,
      request: { line: INFER, headers: JSON_LENGTH, body: `${BINARY_REQUEST}<ff>`, packed },
      answer: refused(400),
    },
    {
      name: `a ${packed} request whose JSON would be longer than all of it`,
      request: {
        line: INFER,
        headers: { 'Inference-Header-Content-Length': '176' },
        body: BINARY_REQUEST,
        packed,
      },
      answer: refused(400),
    },
    {
      name: `a request that is said to be ${packed} and is not`,
      request: { line: INFER, headers: { 'Content-Encoding': packed }, body: JSON_REQUEST },
      answer: refused(400),
    },
    {
      name: `an index, asked for in ${packed}`,
      request: { line: 'POST /v2/repository/index', body: '{"ready":1}', packed },
      answer: { status: 400, body: '{"error":"Invalid value for \'ready\': expected a boolean"}' },
    },
  ]),
  {
    name: 'a gzip request that ends behind its head',
    request: { line: INFER, headers: { 'Content-Encoding': 'gzip' }, body: '<1f8b0800000000000003>' },
    answer: refused(400),
  },
  {
    name: 'the name of a compression in capital letters',
    request: { line: INFER, headers: { 'Accept-Encoding': 'GZIP' }, body: JSON_REQUEST },
    answer: { status: 200, headers: { 'content-encoding': 'gzip' }, body: Y4 },
  },
  {
    name: 'no compression, by its name',
    request: {
      line: INFER,
      headers: { ...JSON_LENGTH, 'Content-Encoding': 'identity' },
      body: BINARY_REQUEST,
    },
    answer: { status: 200, headers: ANSWER_LENGTH, body: Y4_BINARY },
  },
  {
    name: 'an answer in the one compression that is not ruled out',
    request: { line: INFER, headers: { 'Accept-Encoding': 'gzip;q=0, deflate' }, body: JSON_REQUEST },
    answer: { status: 200, headers: { 'content-encoding': 'deflate' }, body: Y4 },
  },
  ...['identity', 'br', 'gzip;q=0, deflate;q=0'].map((accepted) => ({
    name: `an answer to a client that accepts ${accepted}: not compressed`,
    request: { line: INFER, headers: { ...JSON_LENGTH, 'Accept-Encoding': accepted }, body: BINARY_REQUEST },
    answer: { status: 200, headers: { ...ANSWER_LENGTH, 'content-length': '148' }, body: Y4_BINARY },
  })),
]
