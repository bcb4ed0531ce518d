/** Forms as they come over the wire, whole and damaged. */
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { boundaryOf, formEvents } from '../../services/benchmark/multipart.ts'
import { withFolder } from '../support/folder.ts'
import { withTestRedis } from '../support/redis.ts'
import { withBenchmark } from '../support/services.ts'

const part = (head: string, content: string) => `--BB\r\n${head}\r\n\r\n${content}\r\n`
const FORM =
  part(
    'Content-Disposition: form-data; name="model"; filename="m.onnx"\r\nContent-Type: application/octet-stream',
    'abc\r\n--B\r\ndef',
  ) +
  part('content-disposition:form-data; name="a%22\\"b"', '') +
  part("Content-Disposition: form-data; name=text; filename*=UTF-8''caf%C3%A9", 'hello') +
  '--BB--\r\n'

/** Parts with their content, of a form that comes in these pieces. */
async function partsOf(pieces: readonly string[], boundary = 'BB') {
  const parts: { field: string; filename: string | undefined; isFile: boolean; content: string }[] = []
  const source = Readable.from(pieces.map((piece) => Buffer.from(piece, 'latin1')))
  let ended = 0
  for await (const event of formEvents(source, boundary)) {
    const last = parts.at(-1)
    if ('head' in event) parts.push({ ...event.head, content: '' })
    else if ('content' in event && last) last.content += event.content.toString('latin1')
    else ended += 1
  }
  expect(ended).toBe(parts.length)
  return parts
}

const PARTS = [
  { field: 'model', filename: 'm.onnx', isFile: true, content: 'abc\r\n--B\r\ndef' },
  { field: 'a""b', filename: undefined, isFile: false, content: '' },
  { field: 'text', filename: 'café', isFile: true, content: 'hello' },
]

describe('a form', () => {
  it('has the same parts however it is cut on its way', async () => {
    const cuts = fc.uniqueArray(fc.integer({ min: 0, max: FORM.length }), { maxLength: 40 })
    await fc.assert(
      fc.asyncProperty(cuts, async (at) => {
        const ends = [0, ...at.sort((a, b) => a - b), FORM.length]
        const pieces = ends.slice(1).map((end, index) => FORM.slice(ends[index], end))
        expect(await partsOf(pieces)).toEqual(PARTS)
      }),
    )
  })

  it('may have an empty line before it, blanks behind its boundaries, and anything behind its end', async () => {
    const form = `\r\n${FORM.replaceAll('--BB\r\n', '--BB \t\r\n')}and more`
    expect(await partsOf([form])).toEqual(PARTS)
  })

  it.each([
    ['multipart/form-data; boundary=BB', 'BB'],
    ['multipart/form-data; charset=utf-8; boundary="a b:c"; x=y', 'a b:c'],
  ])('%s has its boundary', (type, boundary) => {
    expect(boundaryOf(type)).toBe(boundary)
  })

  it.each([
    ['ends in a part', FORM.slice(0, 120), /middle of a part/],
    ['ends in a header', FORM.slice(0, 30), /no empty line/],
    ['has a header without an empty line', FORM.replaceAll('\r\n\r\n', '\r\n'), /has the line|no empty line/],
    ['has an endless header', `--BB\r\n${'a: b\r\n'.repeat(5000)}`, /more than 16384 bytes/],
    ['has a part without a name', FORM.replace('name="model"; ', ''), /no header "Content-Disp/],
    ['has a part without a header', FORM.replace(/Content-D[^]*?stream/, ''), /no header "Content-Disp/],
    ['has a header named __proto__ only', FORM.replace('Content-Disposition', '__proto__'), /no header/],
    ['has a quote that does not end', FORM.replace('m.onnx"', 'm.onnx'), /no header|can be read/],
    ['does not begin with its boundary', FORM.replace('--BB', '-xBB'), /does not begin/],
    ['has something behind a boundary', FORM.replace('--BB\r\n', '--BBx\r\n'), /not followed by a line end/],
    ['is empty', '', /has no part/],
  ])('that %s is refused', async (_what, form, message) => {
    await expect(partsOf([form])).rejects.toMatchObject({
      code: 'badRequest',
      message: expect.stringMatching(message),
    })
  })
})

describe('damaged forms', () => {
  const redis = withTestRedis()
  const folder = withFolder('forms')
  const benchmark = withBenchmark(() => ({ REDIS_URL: redis().url, SCISSION_DATA: folder() }))
  /** A service that waits for more of a form never answers: the test's own time limit tells. */
  const send = async (route: string, body: string, boundary = 'BB') => {
    const headers = { 'Content-Type': `multipart/form-data; boundary=${boundary}` }
    const answer = await fetch(`${benchmark().url}${route}`, {
      method: 'POST',
      body: Buffer.from(body, 'latin1'),
      headers,
    })
    return [answer.status, ((await answer.json()) as { error?: { code: string } }).error?.code] as const
  }
  const ROUTES = ['/v1/models?name=m', '/v1/calibrations']
  const REFUSED = [400, 404, 413, 422]

  it.each(ROUTES)('sent to %s are answered at once, and leave nothing behind', async (route) => {
    const damages = [...Array(FORM.length).keys()].flatMap((at) => [
      FORM.slice(0, at),
      FORM.slice(0, at) + FORM.slice(at + 1),
      `${FORM.slice(0, at)}\u0001${FORM.slice(at + 1)}`,
    ])
    // A few clients at once, each with a share of the damages.
    const shares = [0, 1, 2, 3].map((share) => damages.filter((_, at) => at % 8 === share))
    await Promise.all(
      shares.map(async (share) => {
        for (const damage of share)
          expect([damage, REFUSED.includes((await send(route, damage))[0])]).toEqual([damage, true])
      }),
    )
    expect(await readdir(path.join(folder(), 'incoming'))).toEqual([])
  })

  it('with too many parts, or a text that is no file and does not end, are told 413', async () => {
    const many = part('Content-Disposition: form-data; name="x"', '').repeat(1001)
    expect(await send('/v1/calibrations', many)).toEqual([413, 'payloadTooLarge'])
    const long = `--BB\r\nContent-Disposition: form-data; name="x"\r\n\r\n${'y'.repeat(2_000_000)}`
    expect(await send('/v1/models?name=m', long)).toEqual([413, 'payloadTooLarge'])
  })
})
