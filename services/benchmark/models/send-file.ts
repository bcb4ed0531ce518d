/** Streams a file, or the part of it that a Range header asks for (RFC 9110, section 14). */
import { createReadStream } from 'node:fs'
import type { Request, Response } from 'express'
import { pipeline } from 'node:stream/promises'

export interface SentFile {
  path: string
  bytes: number
  sha256: string
}

interface Span {
  start: number
  /** Index of the last byte, inclusive. */
  end: number
}

/**
 * Answers 200 with the whole file, 206 with one span, 304 if the client has the file, 416 for a span outside of it. A
 * request for several spans is answered with the whole file, as the RFC allows.
 * @param caching the Cache-Control header. @defaultValue the content under this URL never changes
 */
export async function sendFile(
  req: Request,
  res: Response,
  file: SentFile,
  caching = 'public, max-age=31536000, immutable',
): Promise<void> {
  const etag = `"${file.sha256}"`
  res.set({ ETag: etag, 'Accept-Ranges': 'bytes', 'Cache-Control': caching })
  if (req.headers['if-none-match'] === etag) {
    res.status(304).end()
    return
  }
  const rangeHolds = req.headers['if-range'] === undefined || req.headers['if-range'] === etag
  const span = rangeHolds ? parseRange(req.headers.range, file.bytes) : undefined
  if (span === 'unsatisfiable') {
    const message = `range ${req.headers.range} lies outside of the file's ${file.bytes} bytes`
    res.status(416).set('Content-Range', `bytes */${file.bytes}`)
    res.json({ error: { code: 'invalidRange', message, details: { bytes: file.bytes } } })
    return
  }
  res.type('application/octet-stream')
  if (span) res.status(206).set('Content-Range', `bytes ${span.start}-${span.end}/${file.bytes}`)
  const { start, end } = span ?? { start: 0, end: file.bytes - 1 }
  res.set('Content-Length', String(end - start + 1))
  if (req.method === 'HEAD' || end < start) {
    res.end()
    return
  }
  await streamFile(req, res, file.path, { start, end })
}

/** Sends a file, or a part of it, as fast as the client reads. The head, but for the status, is the caller's. */
export async function streamFile(req: Request, res: Response, path: string, span?: Span): Promise<void> {
  try {
    await pipeline(createReadStream(path, { ...span, highWaterMark: 256 * 1024 }), res)
  } catch (thrown) {
    // The error of a client that left is ignored.
    if (!req.destroyed && !res.destroyed) throw thrown
  }
}

/** @returns undefined for the whole file: without a header, for an unknown form, or for several spans. */
export function parseRange(header: string | undefined, bytes: number): Span | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '')
  const [first, last] = [match?.[1] ?? '', match?.[2] ?? '']
  if (first === '' && last === '') return undefined
  if (first === '') {
    const length = Math.min(Number(last), bytes)
    return length === 0 ? 'unsatisfiable' : { start: bytes - length, end: bytes - 1 }
  }
  const start = Number(first)
  if (last !== '' && Number(last) < start) return undefined
  if (start >= bytes) return 'unsatisfiable'
  return { start, end: last === '' ? bytes - 1 : Math.min(Number(last), bytes - 1) }
}
