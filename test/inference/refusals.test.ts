import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { PROTOCOL_TOYS, x } from './support/protocol-toys.ts'
import { call, errorOf, postBinary, postJson } from './support/service.ts'
import { withToyService } from './support/toy-service.ts'

const toy = withToyService(PROTOCOL_TOYS, { SCISSION_MAX_BODY_BYTES: '100000' })
const at = (path: string) => `${toy.service.url}/v2/models/${path}`

describe('a wrong request', () => {
  const cases: [string, unknown, string][] = [
    ['is no JSON', '{"inputs":', 'not JSON'],
    ['is JSON but no object', '[1]', 'must be a JSON object'],
    ['has no inputs', {}, "Unable to parse 'inputs'"],
    [
      'has an input without name',
      { inputs: [{ shape: [2], datatype: 'FP32', data: [1, 2] }] },
      "Unable to parse 'name'",
    ],
    [
      'has an input without shape',
      { inputs: [{ name: 'x', datatype: 'FP32', data: [1, 2] }] },
      "Unable to parse 'shape'",
    ],
    [
      'has an input without datatype',
      { inputs: [{ name: 'x', shape: [2], data: [1] }] },
      "Unable to parse 'datatype'",
    ],
    ['has an input without data', { inputs: [x(undefined)] }, 'no field is set'],
    [
      'has an input with data twice',
      { inputs: [x([1, 2], { parameters: { binary_data_size: 8 } })] },
      "set 'data'",
    ],
    ['names an unknown input', { inputs: [x([1, 2], { name: 'z' })] }, 'z'],
    ['lacks an input', { inputs: [] }, 'x'],
    ['gives an input twice', { inputs: [x([1, 2]), x([1, 2])] }, 'twice'],
    ['has another datatype', { inputs: [x([1, 2], { datatype: 'FP64' })] }, 'FP32'],
    ['has an unknown datatype', { inputs: [x([1, 2], { datatype: 'FP31' })] }, 'FP31'],
    ['has another shape', { inputs: [x([1, 2, 3], { shape: [3] })] }, '[2]'],
    ['has too few elements', { inputs: [x([1])] }, 'has 2 elements'],
    ['has a negative dimension', { inputs: [x([1, 2], { shape: [-2] })] }, 'shape[0]'],
    ['has a shape past all numbers', { inputs: [x([1], { shape: [4e9, 4e9] })] }, 'too many elements'],
    ['has a shape far larger than its data', { inputs: [x([1], { shape: [4e9] })] }, "'data' has 1"],
    ['has text for a number', { inputs: [x(['a', 2])] }, 'element 0 is "a"'],
    [
      'asks for an unknown output',
      { inputs: [x([1, 2])], outputs: [{ name: 'q' }] },
      "unexpected inference output 'q'",
    ],
    ['uses a reserved parameter', { parameters: { triton_x: 1 }, inputs: [x([1, 2])] }, 'reserved'],
    [
      'has a timeout with members',
      { parameters: { timeout: {} }, inputs: [x([1, 2])] },
      "parameter 'timeout'",
    ],
    [
      'has parameters that are a list',
      { parameters: [], inputs: [x([1, 2])] },
      "Unable to parse 'parameters' of the request",
    ],
    ['has null for its inputs', { inputs: null }, "Unable to parse 'inputs'"],
    ['has null for a shape', { inputs: [x([1, 2], { shape: null })] }, "Unable to parse 'shape'"],
    ['has null for a number', { inputs: [x([1, null])] }, 'element 1 is null'],
    [
      'has half of a pair of surrogates in a text',
      { inputs: [x(['a', 'b\ud800'], { datatype: 'BYTES' })] },
      "input 'x': element 1 is",
    ],
    ['has an id that is no string', { id: 7, inputs: [x([1, 2])] }, "'id'"],
    [
      'asks for shared memory',
      { inputs: [x(undefined, { parameters: { shared_memory_region: 'r' } })] },
      'shared memory',
    ],
  ]
  it.each(cases)('that %s gets a 400 that says so', async (_what, body, text) => {
    const answer = await call(
      'POST',
      at('branched/infer'),
      typeof body === 'string' ? body : JSON.stringify(body),
    )
    expect(answer.status).toBe(400)
    expect(Object.keys(answer.json as object)).toEqual(['error'])
    expect(errorOf(answer.json)).toContain(text)
  })

  it.each(['FP16', 'BF16'])('with %s in JSON is told to use the binary form', async (datatype) => {
    const answer = await postJson(at('branched/infer'), { inputs: [x([1, 2], { datatype })] })
    expect(answer.status).toBe(400)
    expect(errorOf(answer.json)).toBe(
      `receiving ${datatype} data via JSON is not supported. Please use the binary data format for input x`,
    )
  })

  it.each([
    ['INT8', 128],
    ['UINT8', -1],
    ['INT32', 1.5],
    ['FP32', 1e39],
    ['BOOL', 1],
    ['INT64', 1.5],
    ['UINT64', -1],
    ['INT64', 1e19],
    ['BYTES', 1],
  ])('with a value that %s cannot hold (%s) is refused, not rounded', async (datatype, value) => {
    const answer = await postJson(at('branched/infer'), { inputs: [x([value, value], { datatype })] })
    expect(answer.status).toBe(400)
    expect(errorOf(answer.json)).toContain(`${datatype} takes`)
  })

  it('with an integer of twenty digits is refused where they would be lost', async () => {
    const body = '{"inputs":[{"name":"x","shape":[1],"datatype":"UINT64","data":[18446744073709551616]}]}'
    const answer = await call('POST', at('long/infer'), body)
    expect(errorOf(answer.json)).toContain('18446744073709551616')
  })

  it('nested past 100 levels is refused before it is parsed', async () => {
    const bomb = '['.repeat(101) + ']'.repeat(101)
    const answer = await call('POST', at('branched/infer'), `{"inputs":${bomb}}`)
    expect(answer.status).toBe(400)
    expect(errorOf(answer.json)).toBe('JSON nesting depth exceeds maximum allowed limit (100)')
    const deepest = `{"inputs":${'['.repeat(99)}${']'.repeat(99)}}`
    expect(errorOf((await call('POST', at('branched/infer'), deepest)).json)).not.toContain('nesting')
  })

  it('for an unknown model or version gets a 404', async () => {
    for (const path of ['nobody/infer', 'branched/versions/9/infer']) {
      const answer = await postJson(at(path), { inputs: [] })
      expect([path, answer.status]).toEqual([path, 404])
    }
  })
})

describe('lengths that do not hold', () => {
  const json = JSON.stringify({
    inputs: [{ name: 'x', shape: [1, 4], datatype: 'FP32', parameters: { binary_data_size: 16 } }],
  })
  const post = (body: Uint8Array, header: string) =>
    call('POST', at('linear/infer'), body, { 'Inference-Header-Content-Length': header })
  const whole = Buffer.concat([Buffer.from(json), Buffer.alloc(16)])

  it.each(['-1', 'abc', '1.5', '0x10', ''])('refuses the header "%s"', async (header) => {
    const answer = await post(whole, header)
    expect(answer.status).toBe(400)
    expect(errorOf(answer.json)).toBe(`Unable to parse Inference-Header-Content-Length, got: ${header}`)
  })

  it('refuses a JSON part longer than the body, however large', async () => {
    for (const header of [String(whole.length + 1), '99999999999']) {
      const answer = await post(whole, header)
      expect(answer.status).toBe(400)
      expect(errorOf(answer.json)).toBe(
        `inference header size should be in range (0, ${whole.length}), got: ${header}`,
      )
    }
    expect((await post(whole, '99999999999999999999')).status).toBe(400)
  })

  it('refuses a body without the header whose JSON declares binary data', async () => {
    const answer = await call('POST', at('linear/infer'), json)
    expect(errorOf(answer.json)).toBe(
      "unexpected size for input 'x', expecting 16 additional bytes for model 'linear'",
    )
  })

  it('refuses a body that is too short or too long', async () => {
    const short = await post(whole.subarray(0, -3), String(json.length))
    expect(errorOf(short.json)).toBe(
      "unexpected size for input 'x', expecting 3 additional bytes for model 'linear'",
    )
    const extra = await post(Buffer.concat([whole, Buffer.alloc(2)]), String(json.length))
    expect(extra.status).toBe(400)
    expect(errorOf(extra.json)).toContain("unexpected additional input data for model 'linear'")
  })

  it('refuses a binary_data_size that is not the size of the tensor', async () => {
    for (const size of [12, 20, -4, 1.5, 'x', true, 1e18]) {
      const inputs = [{ name: 'x', shape: [1, 4], datatype: 'FP32', parameters: { binary_data_size: size } }]
      const answer = await postBinary(at('linear/infer'), { inputs }, Buffer.alloc(20))
      expect([size, answer.status]).toEqual([size, 400])
    }
  })

  it('refuses BYTES whose elements run past the end', async () => {
    const inputs = [{ name: 'x', shape: [1], datatype: 'BYTES', parameters: { binary_data_size: 5 } }]
    const answer = await postBinary(at('words/infer'), { inputs }, Buffer.from('ffffffff00', 'hex'))
    expect(answer.status).toBe(400)
    expect(errorOf(answer.json)).toContain('element 0 runs past the end')
  })

  it('refuses a body over the limit, said by its length or found while reading', async () => {
    const large = Buffer.alloc(100_001)
    const declared = await call('POST', at('linear/infer'), large)
    expect(declared.status).toBe(413)
    expect(errorOf(declared.json)).toContain('exceeds the maximum allowed value of 100000 bytes')
    const chunked = await call('POST', at('linear/infer'), large, { 'Transfer-Encoding': 'chunked' })
    expect(chunked.status).toBe(413)
  })

  it('refuses a zip bomb at the limit of what it unpacks to', async () => {
    const bomb = gzipSync(Buffer.alloc(50_000_000))
    expect(bomb.length).toBeLessThan(100_000)
    const answer = await call('POST', at('linear/infer'), bomb, { 'Content-Encoding': 'gzip' })
    expect(answer.status).toBe(413)
  })

  it('refuses broken compression and compressions it does not know', async () => {
    const garbage = await call('POST', at('linear/infer'), 'no gzip', { 'Content-Encoding': 'gzip' })
    expect(garbage.status).toBe(400)
    const unknown = await call('POST', at('linear/infer'), json, { 'Content-Encoding': 'br' })
    expect([unknown.status, unknown.headers['accept-encoding']]).toEqual([501, 'gzip, deflate'])
    expect(errorOf(unknown.json)).toBe('Unsupported compression type')
  })
})
