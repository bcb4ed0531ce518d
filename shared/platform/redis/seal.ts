/**
 * Whether a document in Redis is what a service of the system wrote: whoever reaches Redis can write there, and is not
 * believed. A sealed document ends with who wrote it and a signature over its kind, its id, its writer and its text:
 *
 *   {"name":"edge",…,"sealed":{"by":"system","signature":"…"}}
 *
 * A version that knows of no seals reads it too. The signature does not tell an old document from the present one: who can
 * write into Redis can bring back what was true before, or take documents away, but make up nothing.
 */
export interface Seal {
  /** @returns the text with the seal at its end. */
  close: (kind: string, id: string, text: string) => string
  /** @returns why the document counts for nothing; undefined if it is to be believed. */
  fault: (kind: string, id: string, text: string) => Promise<string | undefined>
  /** @returns a text that the system has sealed with a key that is being replaced, sealed with the present one; else undefined. */
  renew: (kind: string, id: string, text: string) => string | undefined
}

const SEALED = /,"sealed":\{"by":"([a-z0-9-]{1,80})","signature":"([A-Za-z0-9_-]{86})"\}\}$/

export interface OpenedSeal {
  by: string
  signature: string
  /** The document without the seal. */
  text: string
  /** What was signed. */
  message: string
}

const messageOf = (kind: string, id: string, by: string, text: string): string =>
  `${kind}\n${id}\n${by}\n${text}`

/** @param text a JSON object with at least one member. */
export function sealText(
  kind: string,
  id: string,
  text: string,
  { by, sign }: { by: string; sign: (message: string) => string },
): string {
  const signature = sign(messageOf(kind, id, by, text))
  return `${text.slice(0, -1)},"sealed":{"by":"${by}","signature":"${signature}"}}`
}

/** @returns undefined if the text has no seal. */
export function openSeal(kind: string, id: string, text: string): OpenedSeal | undefined {
  const found = SEALED.exec(text)
  const [, by, signature] = found ?? []
  if (!found || by === undefined || signature === undefined) return undefined
  const document = `${text.slice(0, found.index)}}`
  return { by, signature, text: document, message: messageOf(kind, id, by, document) }
}
