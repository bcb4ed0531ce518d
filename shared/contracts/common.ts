/** Names, numbers and tensors of all contracts. Times are milliseconds, sizes bytes, Mbps = 10^6 bit/s. */
import { z } from 'zod'

/** SHA-256 of the model's content (for one file: of its bytes; see shared/contracts/model.ts for several). */
export const ModelId = z
  .string()
  .regex(/^[0-9a-f]{64}$/, 'a model id is 64 hexadecimal digits')
  .brand<'ModelId'>()
export type ModelId = z.infer<typeof ModelId>

/** Key of the fixed input shapes of a canonical graph: the first 12 hex digits of their SHA-256. */
export const ShapesKey = z
  .string()
  .regex(/^[0-9a-f]{12}$/, 'a shapes key is 12 hexadecimal digits')
  .brand<'ShapesKey'>()
export type ShapesKey = z.infer<typeof ShapesKey>

/** A name given by a user: valid unescaped in a URL path, a Redis key, a file name and a queue name. */
export const Name = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/,
    'a name starts with a letter or digit; then letters, digits, ". _ -", at most 100',
  )
export const ResourceName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'a resource name is lower-case letters, digits and "-", at most 63')
export const TierName = ResourceName

/** The Open Inference Protocol's tensor types; BF16 is Triton's extension. */
export const DATATYPES = [
  'BOOL',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'FP16',
  'BF16',
  'FP32',
  'FP64',
  'BYTES',
] as const
export const Datatype = z.enum(DATATYPES)
export type Datatype = z.infer<typeof Datatype>

/** Beyond these a number is no measurement but a mistake, and sums of it would end in infinity. */
const MAX_MS = 1e15
const MIN_MBPS = 1e-6
const MAX_MBPS = 1e9

/** A number without a unit that multiplies or divides others. */
export const factor = z.number().min(1e-9).max(1e9)
/** A difference of two times. */
export const signedMs = z.number().min(-MAX_MS).max(MAX_MS)
export const ms = z.number().nonnegative().max(MAX_MS)
export const byteCount = z.number().int().nonnegative()
export const mbps = z.number().min(MIN_MBPS).max(MAX_MBPS)
export const timestamp = z.iso.datetime()

const MAX_URL_CHARACTERS = 2000

/** Of a service: others call what is registered under it, so it is no other protocol and holds no password. */
export const ServiceUrl = z
  .url({ protocol: /^https?$/, error: 'is no URL, which begins with http:// or https://' })
  .max(MAX_URL_CHARACTERS)
  .refine((text) => {
    if (!URL.canParse(text)) return true
    const { username, password, search, hash } = new URL(text)
    return [username, password, search, hash].every((part) => part === '')
  }, 'the URL of a service has no user, password, query or fragment')

/**
 * A tensor whose shape is known. -1 marks a dimension that depends on the data; `bytes` is then from one trial run. So is the
 * number of dimensions if that depends on the data too (`anyRank`).
 */
export const TensorSpec = z.object({
  name: z.string(),
  datatype: Datatype,
  shape: z.array(z.number().int().min(-1)),
  bytes: byteCount,
  anyRank: z.literal(true).optional(),
})
export type TensorSpec = z.infer<typeof TensorSpec>

/** A graph input or output as the file declares it: symbolic dimensions are strings. */
export const DeclaredTensor = z.object({
  name: z.string(),
  datatype: Datatype,
  shape: z.array(z.union([z.number().int().nonnegative(), z.string()])),
})
export type DeclaredTensor = z.infer<typeof DeclaredTensor>

/** Input name → fixed shape. */
export const InputShapes = z.record(z.string(), z.array(z.number().int().nonnegative()))
export type InputShapes = z.infer<typeof InputShapes>

/** Cursor paging: `next` is absent on the last page. */
export const PageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  cursor: z.string().optional(),
})
export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item), next: z.string().optional() })
}
export interface Page<T> {
  items: T[]
  next?: string | undefined
}
