/** Sends the request of a conversation on its own connection and checks the answer. */
import { deflateSync, gunzipSync, gzipSync, inflateSync } from 'node:zlib'
import { expect } from 'vitest'
import type { Answer, Conversation, WrittenRequest } from './conversation.ts'
import { bytesOf, converse, requestOf, type WireAnswer } from './raw-http.ts'

const JSON_TYPE = 'application/json'
const BINARY_TYPE = 'application/octet-stream'
const packers = { gzip: gzipSync, deflate: deflateSync }

export async function play(url: string, { request, answer }: Conversation): Promise<void> {
  const heard = await converse(url, written(request))
  expect([heard.status, heard.status === answer.status ? '' : heard.body.toString()]).toEqual([
    answer.status,
    '',
  ])
  checkHeaders(answer, heard)
  checkBody(answer.body, heard)
}

function written({ line, headers = {}, body, packed }: WrittenRequest): Buffer {
  const plain = bytesOf(body ?? '')
  const bytes = packed ? packers[packed](plain) : plain
  const lines = [`${line} HTTP/1.1`, 'Host: server:8000']
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`)
  if (packed) lines.push(`Content-Encoding: ${packed}`)
  if (body !== undefined || line.startsWith('POST')) lines.push(`Content-Length: ${bytes.length}`)
  return requestOf(lines, bytes)
}

function checkHeaders({ headers = {}, body }: Answer, heard: WireAnswer): void {
  const wanted = { 'content-encoding': undefined, ...headers }
  for (const [header, value] of Object.entries(wanted))
    expect([header, heard.headers[header]]).toEqual([header, value])
  if (body !== '') expect(heard.headers['content-type']?.split(';')[0]).toBe(mediaTypeOf(body))
}

function mediaTypeOf(body: Answer['body']): string {
  const hasTensors = typeof body === 'string' ? body.includes('<') : body.tensors !== undefined
  return hasTensors ? BINARY_TYPE : JSON_TYPE
}

function checkBody(wanted: Answer['body'], heard: WireAnswer): void {
  const body = unpacked(heard)
  if (typeof wanted === 'string') {
    expect(body.toString('latin1')).toBe(bytesOf(wanted).toString('latin1'))
    return
  }
  const at = Number(heard.headers['inference-header-content-length'] ?? body.length)
  expect(JSON.parse(body.toString('utf8', 0, at))).toStrictEqual(wanted.json)
  expect(body.toString('hex', at)).toBe(bytesOf(wanted.tensors ?? '').toString('hex'))
}

function unpacked({ headers, body }: WireAnswer): Buffer {
  if (headers['content-encoding'] === 'gzip') return gunzipSync(body)
  return headers['content-encoding'] === 'deflate' ? inflateSync(body) : body
}
