/** More conversations in the form of conversations.ts: rare and wrong requests. */
import { z } from 'zod'
import { VERSION } from '../../shared/platform/version.ts'
import { type Conversation, FOUR, QUIET, refused, X4, Y4 } from './conversation.ts'
import { matching, metadata } from './schemas.ts'

export const AT_THE_EDGES: Conversation[] = [
  ...['/v2', '/v2/'].map((path) => ({
    name: `server metadata at ${path}: name, version and the extensions that there are`,
    request: { line: `GET ${path}` },
    answer: {
      status: 200,
      body:
        `{"name":"scission","version":"${VERSION}","extensions":["binary_tensor_data","model_repository",` +
        '"model_repository(unload_dependents)","model_configuration","statistics","parameters"]}',
    },
  })),
  {
    name: 'metadata of a model under its version',
    request: { line: 'GET /v2/models/m/versions/1' },
    answer: {
      status: 200,
      body: {
        json: metadata(
          'm',
          { name: 'x', datatype: 'FP32', shape: [1, 4] },
          { name: 'y', datatype: 'FP32', shape: [1, 4] },
        ),
      },
    },
  },
  {
    name: 'a name with letters as percent signs',
    request: {
      line: 'POST /v2/models/%6D/infer',
      body: `{${QUIET},"inputs":[{${X4},"data":[1,-2.5,0,3.25]}]}`,
    },
    answer: { status: 200, body: Y4 },
  },
  {
    name: 'a name with a broken percent sign',
    request: { line: 'GET /v2/models/%ZZ' },
    answer: refused(400),
  },
  ...[
    'GET /v2/models/nobody',
    'GET /v2/models/nobody/ready',
    'GET /v2/models/nobody/config',
    'GET /v2/models/nobody/stats',
    'GET /v2/models/m/versions/9',
    'GET /v2/models/m/versions/9/ready',
    'GET /v2/models/m/versions/9/config',
    'GET /v2/models/m/versions/9/stats',
  ].map((line) => ({ name: `${line}: no such model or version`, request: { line }, answer: refused(404) })),
  {
    name: 'inference with a model that is not there',
    request: { line: 'POST /v2/models/nobody/infer', body: `{"inputs":[{${X4},"data":[1,2,3,4]}]}` },
    answer: refused(404),
  },
  {
    name: 'inference with a version that is not there',
    request: { line: 'POST /v2/models/m/versions/9/infer', body: `{"inputs":[{${X4},"data":[1,2,3,4]}]}` },
    answer: refused(404),
  },
  {
    name: 'inference by another method',
    request: { line: 'GET /v2/models/m/infer' },
    answer: { status: 405, body: '{"error":"Method Not Allowed"}' },
  },
  {
    name: 'an empty list of outputs: all of them',
    request: {
      line: 'POST /v2/models/m/infer',
      body: `{${QUIET},"inputs":[{${X4},"data":[1,-2.5,0,3.25]}],"outputs":[]}`,
    },
    answer: { status: 200, body: Y4 },
  },
  {
    name: 'an empty id is an id',
    request: {
      line: 'POST /v2/models/m/infer',
      body: `{"id":"",${QUIET},"inputs":[{${X4},"data":[1,-2.5,0,3.25]}]}`,
    },
    answer: {
      status: 200,
      body: '{"model_name":"m","model_version":"1","id":"","outputs":[{"name":"y","datatype":"FP32","shape":[1,4],"data":[1,-2.5,0,3.25]}]}',
    },
  },
  {
    name: 'the header given though nothing is binary',
    request: {
      line: 'POST /v2/models/m/infer',
      headers: { 'Inference-Header-Content-Length': '119' },
      body: `{${QUIET},"inputs":[{${X4},"data":[1,-2.5,0,3.25]}]}`,
    },
    answer: { status: 200, headers: { 'inference-header-content-length': undefined }, body: Y4 },
  },
  {
    name: 'the name of the header in small letters',
    request: {
      line: 'POST /v2/models/m/infer',
      headers: { 'inference-header-content-length': '133' },
      body: `{${QUIET},"inputs":[{${X4},"parameters":{"binary_data_size":16}}]}${FOUR}`,
    },
    answer: { status: 200, body: Y4 },
  },
  {
    name: 'binary data announced, but no header: all of it would be JSON',
    request: {
      line: 'POST /v2/models/m/infer',
      body: '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","parameters":{"binary_data_size":16}}]}<0000803f 000020c0 00000000 00005040>',
    },
    answer: refused(400),
  },
  {
    name: 'a binary_data_size that its shape contradicts',
    request: {
      line: 'POST /v2/models/m/infer',
      headers: { 'Inference-Header-Content-Length': '94' },
      body: '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","parameters":{"binary_data_size":12}}]}<0000803f 000020c0 00000000>',
    },
    answer: refused(400),
  },
  {
    name: 'a raw request whose bytes are not those of the input',
    request: {
      line: 'POST /v2/models/m/infer',
      headers: { 'Inference-Header-Content-Length': '0' },
      body: '<0000803f 000020c0 00000000>',
    },
    answer: refused(400),
  },
  {
    name: 'a raw request where the boundary has two tensors',
    request: {
      line: 'POST /v2/models/branched/layers/2-3/infer',
      headers: { 'Inference-Header-Content-Length': '0' },
      body: '<0000803f 000020c0>',
    },
    answer: refused(400),
  },
  {
    name: 'a layer range out of bounds',
    request: { line: 'POST /v2/models/branched/layers/1-9/infer', body: '{"inputs":[]}' },
    answer: refused(400),
  },
  {
    name: 'a parameter that is kept for Triton itself',
    request: {
      line: 'POST /v2/models/m/infer',
      body: `{"parameters":{"triton_x":1},"inputs":[{${X4},"data":[1,2,3,4]}]}`,
    },
    answer: refused(400),
  },
  {
    name: 'a timeout of 0: none',
    request: {
      line: 'POST /v2/models/m/infer',
      body: `{"parameters":{"timeout":0,"scission_timing":false},"inputs":[{${X4},"data":[1,-2.5,0,3.25]}]}`,
    },
    answer: { status: 200, body: Y4 },
  },
  {
    name: 'a timeout that is no number of microseconds',
    request: {
      line: 'POST /v2/models/m/infer',
      body: `{"parameters":{"timeout":-5},"inputs":[{${X4},"data":[1,2,3,4]}]}`,
    },
    answer: refused(400),
  },
  {
    name: 'loading what is not there',
    request: { line: 'POST /v2/repository/models/nobody/load', body: '{}' },
    answer: refused(404),
  },
  {
    name: 'an unload whose unload_dependents is no boolean',
    request: {
      line: 'POST /v2/repository/models/cold/unload',
      body: '{"parameters":{"unload_dependents":1}}',
    },
    answer: refused(400),
  },
  // Not announced: a client that reads the list of extensions does not send this.
  ...[
    ['GET /v2/trace/setting', 'tracing'],
    ['POST /v2/trace/setting', 'tracing'],
    ['GET /v2/models/m/trace/setting', 'tracing'],
    ['POST /v2/models/nobody/trace/setting', 'tracing'],
    ['GET /v2/logging', 'dynamic logging'],
    ['POST /v2/logging', 'dynamic logging'],
    ['GET /v2/systemsharedmemory/status', 'system shared memory'],
    ['GET /v2/systemsharedmemory/region/r/status', 'system shared memory'],
    ['POST /v2/systemsharedmemory/region/r/register', 'system shared memory'],
    ['POST /v2/systemsharedmemory/unregister', 'system shared memory'],
    ['POST /v2/systemsharedmemory/region/r/unregister', 'system shared memory'],
    ['GET /v2/cudasharedmemory/status', 'cuda shared memory'],
    ['POST /v2/cudasharedmemory/region/r/register', 'cuda shared memory'],
    ['POST /v2/cudasharedmemory/unregister', 'cuda shared memory'],
    ['POST /v2/models/m/generate', 'generate'],
    ['POST /v2/models/m/versions/1/generate_stream', 'generate'],
    ['POST /v2/repository/here/index', "'repository_name'"],
    ['POST /v2/repository/here/models/m/load', "'repository_name'"],
  ].map(([line = '', what = '']) => ({
    name: `${line}: an extension that is not there`,
    request: { line, ...(line.startsWith('POST') && { body: '{"key":"k","byte_size":8}' }) },
    answer: {
      status: 501,
      body: {
        json: matching(
          z.strictObject({ error: z.string().regex(new RegExp(`${what}.*support|support.*${what}`)) }),
        ),
      },
    },
  })),
  ...['DELETE /v2/logging', 'PUT /v2/trace/setting', 'POST /v2/systemsharedmemory/status'].map((line) => ({
    name: `${line}: no method of that extension`,
    request: { line, body: '' },
    answer: { status: 405, body: '{"error":"Method Not Allowed"}' },
  })),
]
