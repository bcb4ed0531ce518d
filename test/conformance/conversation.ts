/**
 * A conversation: the bytes that a client sends, and the answer that the Open Inference Protocol requires. The complete
 * body of an answer is given in one of two forms:
 *
 * - as text, byte for byte, if the protocol determines it and it contains nothing of this server's own. Bytes that are not
 *   text are written in hex between < and >. `scission_timing` false leaves out this server's own response parameters,
 *   which the protocol allows and which differ every time. Errors have a text here if clients of Triton know it.
 * - as `json` otherwise: exactly these members, with values that the protocol or the model determines, or that must match
 *   one of the schemas in schemas.ts. This applies to metadata (`properties` are free), configuration (the server chooses
 *   instances and version policy), statistics (nanoseconds), the index (reasons), responses with this server's own
 *   parameters, and errors (`{"error": "<text>"}`).
 *
 * Two rules apply to every answer: its media type follows from its body, and it is compressed only if its headers say so.
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
  /** Compresses the body and sets Content-Encoding; the other headers are unchanged. */
  packed?: Packing
}

export type Packing = 'gzip' | 'deflate'

export interface Answer {
  status: number
  /** The answer must have these headers with these values; undefined: it must not have the header. Names in lower case. */
  headers?: Record<string, string | undefined>
  body: string | ParsedBody
}

export interface ParsedBody {
  json: unknown
  /** The bytes after the JSON, in hex as above. */
  tensors?: string
}

/** Conversations that depend on those before them. */
export interface Story {
  name: string
  turns: Conversation[]
}

/** An error whose text the server chooses. */
export const refused = (status: number): Answer => ({ status, body: { json: ERROR } })

export const QUIET = '"parameters":{"scission_timing":false}'
export const QUIET_BINARY = '"parameters":{"scission_timing":false,"binary_data_output":true}'
export const X4 = '"name":"x","shape":[1,4],"datatype":"FP32"'
/** 1.0, -2.5, 0.0, 3.25 */
export const FOUR = '<0000803f 000020c0 00000000 00005040>'
/** The answer of model m to FOUR. */
export const Y4 =
  '{"model_name":"m","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1,4],"data":[1,-2.5,0,3.25]}]}'
/** The same answer in binary form; its JSON has 132 bytes. */
export const Y4_BINARY = `{"model_name":"m","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1,4],"parameters":{"binary_data_size":16}}]}${FOUR}`
/** The same answer to a request that cannot leave out the server's own parameters. */
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
