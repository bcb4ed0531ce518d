/**
 * Conversations between a client and a server of the Open Inference Protocol, written by hand from the protocol's text:
 * the core, and Triton's binary tensor, repository, statistics and configuration extensions. conversation.ts explains the
 * form. The models:
 *
 *   m: x FP32 [1,4] → y = x       words: x BYTES [1] → y = x        scores: x FP16 [1,2] → y = x
 *   branched: x FP32 [2] → y = 2x · (2x + 1)
 */
import { type Conversation, FOUR, QUIET, refused, X4, y4WithParameters } from './conversation.ts'
import { configuration, metadata, TEXT } from './schemas.ts'

const BINARY = 'application/octet-stream'

export const CONVERSATIONS: Conversation[] = [
  {
    name: 'live',
    request: { line: 'GET /v2/health/live' },
    answer: { status: 200, body: '{"live":true}' },
  },
  {
    name: 'ready, in the words of both the specification and every server',
    request: { line: 'GET /v2/health/ready' },
    answer: { status: 200, body: '{"live":true,"ready":true}' },
  },
  {
    name: 'model ready before it is loaded: no',
    request: { line: 'GET /v2/models/cold/ready' },
    answer: { status: 503, body: { json: { name: 'cold', ready: false, error: TEXT } } },
  },
  {
    name: 'a version of a model ready before it is loaded: no',
    request: { line: 'GET /v2/models/cold/versions/1/ready' },
    answer: { status: 503, body: { json: { name: 'cold', ready: false, error: TEXT } } },
  },
  {
    name: 'metadata',
    request: { line: 'GET /v2/models/branched' },
    answer: {
      status: 200,
      body: {
        json: metadata(
          'branched',
          { name: 'x', datatype: 'FP32', shape: [2] },
          { name: 'y', datatype: 'FP32', shape: [2] },
        ),
      },
    },
  },
  ...['GET /v2/models/m/config', 'GET /v2/models/m/versions/1/config'].map((line) => ({
    name: `${line}: the model configuration, whose types have other names`,
    request: { line },
    answer: {
      status: 200,
      body: {
        json: configuration(
          'm',
          { name: 'x', data_type: 'TYPE_FP32', dims: [1, 4] },
          { name: 'y', data_type: 'TYPE_FP32', dims: [1, 4] },
        ),
      },
    },
  })),
  {
    name: 'the model configuration of BYTES: strings',
    request: { line: 'GET /v2/models/words/config' },
    answer: {
      status: 200,
      body: {
        json: configuration(
          'words',
          { name: 'x', data_type: 'TYPE_STRING', dims: [1] },
          { name: 'y', data_type: 'TYPE_STRING', dims: [1] },
        ),
      },
    },
  },
  {
    name: 'JSON tensors, an id',
    request: {
      line: 'POST /v2/models/m/infer',
      headers: { 'Content-Type': 'application/json' },
      body: `{"id":"42",${QUIET},"inputs":[{${X4},"data":[1,-2.5,0,3.25]}]}`,
    },
    answer: {
      status: 200,
      headers: { 'inference-header-content-length': undefined },
      body: '{"model_name":"m","model_version":"1","id":"42","outputs":[{"name":"y","datatype":"FP32","shape":[1,4],"data":[1,-2.5,0,3.25]}]}',
    },
  },
  {
    name: 'nested JSON data, no id: none comes back',
    request: {
      line: 'POST /v2/models/m/versions/1/infer',
      body: `{${QUIET},"inputs":[{${X4},"data":[[1,-2.5,0,3.25]]}]}`,
    },
    answer: {
      status: 200,
      body: '{"model_name":"m","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1,4],"data":[1,-2.5,0,3.25]}]}',
    },
  },
  {
    name: 'binary in, binary out',
    request: {
      line: 'POST /v2/models/m/infer',
      headers: { 'Content-Type': BINARY, 'Inference-Header-Content-Length': '202' },
      body: `{"id":"42",${QUIET},"inputs":[{${X4},"parameters":{"binary_data_size":16}}],"outputs":[{"name":"y","parameters":{"binary_data":true}}]}${FOUR}`,
    },
    answer: {
      status: 200,
      headers: {
        'inference-header-content-length': '142',
        'content-length': '158',
      },
      body: `{"model_name":"m","model_version":"1","id":"42","outputs":[{"name":"y","datatype":"FP32","shape":[1,4],"parameters":{"binary_data_size":16}}]}${FOUR}`,
    },
  },
  {
    name: 'binary in, JSON out',
    request: {
      line: 'POST /v2/models/m/infer',
      headers: { 'Inference-Header-Content-Length': '133' },
      body: '{"parameters":{"scission_timing":false},"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","parameters":{"binary_data_size":16}}]}<0000803f 000020c0 00000000 00005040>',
    },
    answer: {
      status: 200,
      headers: { 'inference-header-content-length': undefined },
      body: '{"model_name":"m","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1,4],"data":[1,-2.5,0,3.25]}]}',
    },
  },
  {
    name: "the protocol's own test vector, 163 bytes of JSON and 16 of tensor",
    request: {
      line: 'POST /v2/models/m/infer',
      headers: { 'Content-Type': 'application/octet-stream', 'Inference-Header-Content-Length': '163' },
      body: '{"id":"42","inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","parameters":{"binary_data_size":16}}],"outputs":[{"name":"y","parameters":{"binary_data":true}}]}<0000803f 000020c0 00000000 00005040>',
    },
    answer: { status: 200, body: y4WithParameters({ id: '42' }) },
  },
  {
    name: 'JSON in, every output binary by the default of the request',
    request: {
      line: 'POST /v2/models/m/infer',
      body: '{"parameters":{"scission_timing":false,"binary_data_output":true},"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[1,-2.5,0,3.25]}]}',
    },
    answer: {
      status: 200,
      headers: { 'inference-header-content-length': '132' },
      body: '{"model_name":"m","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1,4],"parameters":{"binary_data_size":16}}]}<0000803f 000020c0 00000000 00005040>',
    },
  },
  {
    name: 'an output that overrides the default of the request',
    request: {
      line: 'POST /v2/models/m/infer',
      body: '{"parameters":{"scission_timing":false,"binary_data_output":true},"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[1,-2.5,0,3.25]}],"outputs":[{"name":"y","parameters":{"binary_data":false}}]}',
    },
    answer: {
      status: 200,
      headers: { 'inference-header-content-length': undefined },
      body: '{"model_name":"m","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1,4],"data":[1,-2.5,0,3.25]}]}',
    },
  },
  {
    name: 'BYTES as JSON text',
    request: {
      line: 'POST /v2/models/words/infer',
      body: '{"parameters":{"scission_timing":false},"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","data":["é"]}]}',
    },
    answer: {
      status: 200,
      body: '{"model_name":"words","model_version":"1","outputs":[{"name":"y","datatype":"BYTES","shape":[1],"data":["é"]}]}',
    },
  },
  {
    name: 'BYTES with their lengths',
    request: {
      line: 'POST /v2/models/words/infer',
      headers: { 'Inference-Header-Content-Length': '157' },
      body: '{"parameters":{"scission_timing":false,"binary_data_output":true},"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":6}}]}<02000000c3a9>',
    },
    answer: {
      status: 200,
      headers: { 'inference-header-content-length': '134' },
      body: '{"model_name":"words","model_version":"1","outputs":[{"name":"y","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":6}}]}<02000000c3a9>',
    },
  },
  {
    name: 'an empty string: four bytes of length',
    request: {
      line: 'POST /v2/models/words/infer',
      body: '{"parameters":{"scission_timing":false,"binary_data_output":true},"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","data":[""]}]}',
    },
    answer: {
      status: 200,
      headers: { 'inference-header-content-length': '134' },
      body: '{"model_name":"words","model_version":"1","outputs":[{"name":"y","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":4}}]}<00000000>',
    },
  },
  {
    name: 'FP16 1.5 and 1.0, binary',
    request: {
      line: 'POST /v2/models/scores/infer',
      headers: { 'Inference-Header-Content-Length': '158' },
      body: '{"parameters":{"scission_timing":false,"binary_data_output":true},"inputs":[{"name":"x","shape":[1,2],"datatype":"FP16","parameters":{"binary_data_size":4}}]}<003e 003c>',
    },
    answer: {
      status: 200,
      headers: { 'inference-header-content-length': '136' },
      body: '{"model_name":"scores","model_version":"1","outputs":[{"name":"y","datatype":"FP16","shape":[1,2],"parameters":{"binary_data_size":4}}]}<003e 003c>',
    },
  },
  {
    name: 'a raw request: the body is the only input, every output comes back binary',
    request: {
      line: 'POST /v2/models/m/infer',
      headers: { 'Content-Type': 'application/octet-stream', 'Inference-Header-Content-Length': '0' },
      body: '<0000803f 000020c0 00000000 00005040>',
    },
    answer: { status: 200, body: y4WithParameters() },
  },
  {
    name: 'NaN, both infinities and the smallest number pass in binary',
    request: {
      line: 'POST /v2/models/m/infer',
      headers: { 'Inference-Header-Content-Length': '159' },
      body: '{"parameters":{"scission_timing":false,"binary_data_output":true},"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","parameters":{"binary_data_size":16}}]}<0000c07f 0000807f 000080ff 01000000>',
    },
    answer: {
      status: 200,
      headers: { 'inference-header-content-length': '132' },
      body: '{"model_name":"m","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1,4],"parameters":{"binary_data_size":16}}]}<0000c07f 0000807f 000080ff 01000000>',
    },
  },
  {
    name: 'a model of several layers',
    request: {
      line: 'POST /v2/models/branched/infer',
      body: '{"parameters":{"scission_timing":false},"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[1,2]}]}',
    },
    answer: {
      status: 200,
      body: '{"model_name":"branched","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[2],"data":[6,20]}]}',
    },
  },
  {
    name: 'a layer range: the tensors of its first boundary in, those of its last out',
    request: {
      line: 'POST /v2/models/branched/layers/1-2/infer',
      body: '{"parameters":{"scission_timing":false},"inputs":[{"name":"a","shape":[2],"datatype":"FP32","data":[2,4]}]}',
    },
    answer: {
      status: 200,
      body: '{"model_name":"branched:1-2","model_version":"1","outputs":[{"name":"a","datatype":"FP32","shape":[2],"data":[2,4]},{"name":"b","datatype":"FP32","shape":[2],"data":[3,5]}]}',
    },
  },
  {
    name: 'an unknown path',
    request: { line: 'GET /v2/nothing' },
    answer: { status: 404, body: '{"error":"Not Found"}' },
  },
  {
    name: 'a known path, another method',
    request: { line: 'POST /v2/health/live' },
    answer: { status: 405, body: '{"error":"Method Not Allowed"}' },
  },
  {
    name: 'no inputs',
    request: { line: 'POST /v2/models/m/infer', body: '{}' },
    answer: { status: 400, body: '{"error":"Unable to parse \'inputs\'"}' },
  },
  {
    name: 'an input without data',
    request: {
      line: 'POST /v2/models/m/infer',
      body: '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32"}]}',
    },
    answer: {
      status: 400,
      body: "{\"error\":\"Input must set only one of the following fields: 'data', 'binary_data_size', 'shared_memory_region'. But no field is set for input 'x'\"}",
    },
  },
  {
    name: 'a body that is too short by half a tensor',
    request: {
      line: 'POST /v2/models/m/infer',
      headers: { 'Inference-Header-Content-Length': '94' },
      body: '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","parameters":{"binary_data_size":16}}]}<0000803f 000020c0>',
    },
    answer: {
      status: 400,
      body: '{"error":"unexpected size for input \'x\', expecting 8 additional bytes for model \'m\'"}',
    },
  },
  {
    name: 'bytes behind the last tensor',
    request: {
      line: 'POST /v2/models/m/infer',
      headers: { 'Inference-Header-Content-Length': '94' },
      body: '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","parameters":{"binary_data_size":16}}]}<0000803f 000020c0 00000000 00005040 ff>',
    },
    answer: refused(400),
  },
  {
    name: 'a length of the JSON past the body',
    request: {
      line: 'POST /v2/models/m/infer',
      headers: { 'Inference-Header-Content-Length': '99999999999' },
      body: '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","parameters":{"binary_data_size":16}}]}',
    },
    answer: refused(400),
  },
  {
    name: 'a length of the JSON that is no number',
    request: {
      line: 'POST /v2/models/m/infer',
      headers: { 'Inference-Header-Content-Length': 'ten' },
      body: '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","parameters":{"binary_data_size":16}}]}',
    },
    answer: refused(400),
  },
  {
    name: 'a negative length of the JSON',
    request: {
      line: 'POST /v2/models/m/infer',
      headers: { 'Inference-Header-Content-Length': '-1' },
      body: '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","parameters":{"binary_data_size":16}}]}',
    },
    answer: refused(400),
  },
  {
    name: 'FP16 as JSON',
    request: {
      line: 'POST /v2/models/scores/infer',
      body: '{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP16","data":[1,2]}]}',
    },
    answer: {
      status: 400,
      body: '{"error":"receiving FP16 data via JSON is not supported. Please use the binary data format for input x"}',
    },
  },
  {
    name: 'a compression nobody knows',
    request: { line: 'POST /v2/models/m/infer', headers: { 'Content-Encoding': 'br' }, body: '{}' },
    answer: {
      status: 501,
      headers: { 'accept-encoding': 'gzip, deflate' },
      body: '{"error":"Unsupported compression type"}',
    },
  },
  {
    name: 'the tensors of another boundary',
    request: {
      line: 'POST /v2/models/branched/layers/1-2/infer',
      body: '{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[1,2]}]}',
    },
    answer: refused(400),
  },
  {
    name: 'an index with a ready that is no boolean',
    request: { line: 'POST /v2/repository/index', body: '{"ready":1}' },
    answer: { status: 400, body: '{"error":"Invalid value for \'ready\': expected a boolean"}' },
  },
]
