/**
 * Answers in JSON. Those with long lists, such as the layers of a model or a page of profiles, are written a piece at a time: 24 MB
 * in one go would hold up everybody else for half a second.
 */
import type { Response } from 'express'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { jsonInTurns } from '../json-in-turns.ts'
import { askerOf } from './client-of.ts'

/** Sends the same bytes and headers as `res.json(body)`. Resolves when they are sent, or the client has left. */
export async function sendJson(res: Response, body: unknown): Promise<void> {
  if (!hasLists(body)) {
    res.json(body)
    return
  }
  const pieces = await piecesOf(body, res)
  if (!pieces) return
  const [only, ...others] = pieces
  if (others.length === 0) {
    res.type('json').send(only)
    return
  }
  res.type('json').set('Content-Length', String(pieces.reduce((sum, { length }) => sum + length, 0)))
  if (res.req.method === 'HEAD') {
    res.end()
    return
  }
  try {
    await pipeline(Readable.from(pieces), res)
  } catch (thrown) {
    // The error of a client that left is ignored.
    if (!res.req.destroyed && !res.destroyed) throw thrown
  }
}

/** @returns undefined if the client leaves: the turns are for those who wait. */
async function piecesOf(body: object, res: Response): Promise<Buffer[] | undefined> {
  const { gone } = askerOf(res.req, res)
  try {
    return await jsonInTurns(body, gone)
  } catch (thrown) {
    if (gone?.aborted) return undefined
    throw thrown
  }
}

const hasLists = (body: unknown): body is object =>
  typeof body === 'object' && body !== null && !Array.isArray(body) && Object.values(body).some(Array.isArray)
