import { describe, expect, it } from 'vitest'
import { type ResponseHead, ResponseParser } from '../../services/inference/http/response-parser.ts'

/** @param cut bytes per piece. */
function read(text: string, cut = text.length) {
  let head: ResponseHead | undefined
  let body = ''
  const parser = new ResponseParser({
    onHead: (given) => (head = given),
    onBody: (chunk) => (body += chunk.toString('latin1')),
  })
  const bytes = Buffer.from(text, 'latin1')
  let left = 0
  for (let at = 0; at < bytes.length; at += cut) left = parser.add(bytes.subarray(at, at + cut))
  return { parser, head, body, left }
}

const PLAIN = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nx-a:2\r\n\r\nhello'
const CHUNKED =
  'HTTP/1.1 503 \r\nTransfer-Encoding: chunked\r\n\r\n5;q=1\r\nhello\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n'

describe('a response', () => {
  it('is the same however it is cut', () => {
    for (let cut = 1; cut <= PLAIN.length; cut += 1) {
      const { parser, head, body, left } = read(PLAIN, cut)
      expect([parser.done, head?.status, body, left]).toEqual([true, 200, 'hello', 0])
      expect(head).toMatchObject({ length: 5, reusable: true, headers: { 'x-a': '1, 2' } })
    }
    for (let cut = 1; cut <= CHUNKED.length; cut += 1) {
      const { parser, head, body } = read(CHUNKED, cut)
      expect([parser.done, head?.status, body]).toEqual([true, 503, 'hello0123456789'])
      expect(head?.length).toBeUndefined()
    }
  })

  it('without a length lasts until the connection ends, and leaves it of no more use', () => {
    const { parser, head, body } = read('HTTP/1.1 200 OK\r\n\r\nsome')
    expect([parser.done, parser.end(), body, head?.reusable]).toEqual([false, true, 'some', false])
    expect(read('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome').parser.end()).toBe(false)
  })

  it('may have no body, come after a 100, or be the last on its connection', () => {
    expect(read('HTTP/1.1 204 No Content\r\n\r\n').parser.done).toBe(true)
    const late = read(`HTTP/1.1 100 Continue\r\n\r\n${PLAIN}`)
    expect([late.head?.status, late.body]).toEqual([200, 'hello'])
    expect(read('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n').head?.reusable).toBe(
      false,
    )
    expect(read('HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n').head?.reusable).toBe(false)
  })

  it('leaves what is not its own', () => {
    expect(read(`${PLAIN}more`).left).toBe(4)
  })

  it('that is not HTTP is refused', () => {
    const wrong = [
      'SSH-2.0-OpenSSH\r\n\r\n',
      'HTTP/1.1 abc\r\n\r\n',
      'HTTP/1.1 200 OK\r\nno colon\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n',
      `HTTP/1.1 200 OK\r\nA: ${'a'.repeat(70_000)}`,
    ]
    for (const text of wrong) expect(() => read(text)).toThrow(/its answer is not HTTP/)
  })
})
