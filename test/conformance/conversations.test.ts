import { describe, expect, it } from 'vitest'
import { branchedModel, singleLayerModel, toySpec } from '../inference/support/toy-models.ts'
import { withToyService } from '../inference/support/toy-service.ts'
import { AT_THE_EDGES } from './conversations-at-the-edges.ts'
import { type Conversation, CONVERSATIONS } from './conversations.ts'
import { bytesOf, converse, requestOf } from './wire.ts'

const toy = withToyService([
  branchedModel('a'),
  singleLayerModel('b', 'm', toySpec('x', 'FP32', [1, 4]), (x) => x),
  singleLayerModel('c', 'words', toySpec('x', 'BYTES', [1]), (x) => x),
  singleLayerModel('d', 'scores', toySpec('x', 'FP16', [1, 2]), (x) => x),
  singleLayerModel('e', 'cold', toySpec('x', 'FP32', [1]), (x) => x),
])

function written({ line, headers = {}, body }: Conversation['request']): Buffer {
  const bytes = bytesOf(body ?? '')
  const lines = [`${line} HTTP/1.1`, 'Host: server:8000']
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`)
  if (body !== undefined || line.startsWith('POST')) lines.push(`Content-Length: ${bytes.length}`)
  return requestOf(lines, bytes)
}

describe('a recorded conversation', () => {
  for (const { name, request, answer } of [...CONVERSATIONS, ...AT_THE_EDGES]) {
    it(`goes as written: ${name}`, async () => {
      const heard = await converse(toy.service.url, written(request))
      expect([heard.status, heard.status === answer.status ? '' : heard.body.toString()]).toEqual([
        answer.status,
        '',
      ])
      for (const [header, value] of Object.entries(answer.headers ?? {}))
        expect([header, heard.headers[header]]).toEqual([header, value])
      if (answer.body !== undefined)
        expect(heard.body.toString('latin1')).toBe(bytesOf(answer.body).toString('latin1'))
      if (answer.status >= 400 && answer.body === undefined)
        expect(JSON.parse(heard.body.toString())).toEqual({ error: expect.any(String) })
    })
  }

  it('of the test vector ends in the tensor that was sent, behind JSON of the length that the header says', async () => {
    const vector = CONVERSATIONS.find(({ name }) => name.includes('test vector'))
    const heard = await converse(toy.service.url, written(vector?.request ?? { line: '' }))
    const jsonLength = Number(heard.headers['inference-header-content-length'])
    expect(heard.body.subarray(jsonLength)).toEqual(Buffer.from('0000803f000020c00000000000005040', 'hex'))
    expect(JSON.parse(heard.body.toString('utf8', 0, jsonLength))).toMatchObject({
      model_name: 'm',
      id: '42',
      outputs: [{ name: 'y', shape: [1, 4], datatype: 'FP32', parameters: { binary_data_size: 16 } }],
    })
  })
})
