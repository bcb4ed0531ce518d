/**
 * A conversation: what is sent, byte for byte, and what the Open Inference Protocol has the server answer. The body of
 * an answer is given whole, in one of two ways:
 *
 * - as text, byte for byte, where the protocol determines it and nothing of ours is in it. Bytes that are no text stand
 *   in hex between < and >. `scission_timing` false leaves out this server's own response parameters, which the protocol
 *   allows and which are never the same twice. Of errors, those have a text here that clients of Triton know.
 * - as `json`, where it does not: exactly these members, with values that are fixed by the protocol or the model, or
 *   that must match one of the schemas of schemas.ts. So it is with metadata (`properties` are free), configuration
 *   (instances and version policy are the server's affair), statistics (nanoseconds), the index (reasons), responses
 *   that have parameters of ours, and errors (`{"error": "<text>"}`).
 *
 * What is not said here holds for every answer: its media type follows from its body, and it is compressed only where
 * its headers say so.
 */
import { ERROR, PARAMETERS } from './schemas.ts'

export interface Conversation {
  name: string
  request: WrittenRequest
  answer: Answer
}

export interface WrittenRequest {
  line: string
  headers?: Record<string, string>
  body?: string
  /** Compresses the body and says so in Content-Encoding; the other headers stay as they are. */
  packed?: Packing
}

export type Packing = 'gzip' | 'deflate'

export interface Answer {
  status: number
  /** Those given must be there, with this value; undefined = must not be there. Names in lower case. */
  headers?: Record<string, string | undefined>
  body: string | ParsedBody
}

export interface ParsedBody {
  json: unknown
  /** What follows the JSON; in hex, as above. */
  tensors?: string
}

/** Conversations of which each needs those before it. */
export interface Story {
  name: string
  turns: Conversation[]
}

/** An error whose text is the server's own. */
export const refused = (status: number): Answer => ({ status, body: { json: ERROR } })

export const QUIET = '"parameters":{"scission_timing":false}'
export const QUIET_BINARY = '"parameters":{"scission_timing":false,"binary_data_output":true}'
export const X4 = '"name":"x","shape":[1,4],"datatype":"FP32"'
/** 1.0, -2.5, 0.0, 3.25 */
export const FOUR = '<0000803f 000020c0 00000000 00005040>'
/** What model m answers to FOUR. */
export const Y4 =
  '{"model_name":"m","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1,4],"data":[1,-2.5,0,3.25]}]}'
/** The same in binary; the JSON has 132 bytes. */
export const Y4_BINARY = `{"model_name":"m","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1,4],"parameters":{"binary_data_size":16}}]}${FOUR}`
/** The same where the request cannot leave out the parameters of the server's own. */
export const y4WithParameters = (id: { id?: string } = {}): ParsedBody => ({
  json: {
    model_name: 'm',
    model_version: '1',
    ...id,
    parameters: PARAMETERS,
    outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 4], parameters: { binary_data_size: 16 } }],
  },
  tensors: FOUR,
})
