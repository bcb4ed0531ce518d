/** Whether a case went as it is to go. */
import type { Drive } from './driven.ts'
import type { Case } from './read-cases.ts'

/** Answers that say that the client's file is at fault. */
const REFUSALS = [400, 409, 413, 422, 501]

/** ONNX Runtime's JavaScript interface would change such a text: it arrives whole or is refused, and this one cannot arrive. */
const IMPOSSIBLE_TEXT = /string element \d+ (has a NUL character|is not valid UTF-8)/

/** @returns what did not go as the case wants it, a sentence each; empty if all did. */
export function faultsOf(given: Case, { steps }: Drive): string[] {
  const { upload, inputs } = steps
  if (inputs && !inputs.ok) return [`the inputs cannot be read: ${inputs.error}`]
  if (given.expect === 'refused' || (given.expect === 'either' && !upload?.ok))
    return refusalFaults(given, upload)
  return Object.entries(steps)
    .filter(([name, { ok }]) => !ok && name !== 'reference' && !given.mayFail.includes(name))
    .filter(([, { error = '' }]) => !IMPOSSIBLE_TEXT.test(error))
    .map(([name, { status, error }]) => `${name}: ${status ?? ''} ${error}`)
}

function refusalFaults({ message }: Case, upload: Drive['steps'][string] | undefined): string[] {
  if (!upload || upload.ok) return ['it was taken, and is to be refused']
  const { status, error = '' } = upload
  if (status === undefined || !REFUSALS.includes(status)) return [`it was refused with ${status}: ${error}`]
  return message.test(error) ? [] : [`the refusal does not say ${String(message)}: ${error}`]
}
