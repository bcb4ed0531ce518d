/** What a client may ask of send-file.ts, and what that answers, for the OpenAPI description. */
import { z } from 'zod'
import { ErrorBody } from '../../../shared/platform/http-server/error-answers.ts'
import { type Answer, OCTETS } from '../../../shared/platform/http-server/route.ts'

export const FileHeaders = z.object({
  Range: z
    .string()
    .optional()
    .meta({ description: 'one span of bytes', examples: ['bytes=0-1023'] }),
  'If-Range': z.string().optional().describe('the span only if the file has this ETag, else the whole'),
  'If-None-Match': z.string().optional().describe('an ETag: nothing is sent if the file has it'),
})

/**
 * The answers of a route that sends a file.
 * @param description of the whole file.
 * @param caching what its Cache-Control header says.
 */
export function fileAnswers(description: string, caching = 'It never changes'): Record<number, Answer> {
  const headers = { ETag: 'The SHA-256 in quotes', 'Accept-Ranges': 'bytes', 'Cache-Control': caching }
  return {
    200: { description, content: OCTETS, headers },
    206: {
      description: 'The bytes asked for',
      content: OCTETS,
      headers: { ...headers, 'Content-Range': 'First byte, last byte and size' },
    },
    304: { description: 'The client has it', headers },
    416: {
      description: '`invalidRange`: the span lies outside of the file',
      schema: ErrorBody,
      headers: { 'Content-Range': 'The size' },
    },
  }
}
