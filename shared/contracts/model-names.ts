/**
 * The names and versions of models, one notion for every service. A name has versions 1, 2, … in the order in which
 * different files were uploaded under it; a file keeps its version of a name however often it is uploaded again, and has
 * one version under each of its names. A model is referred to by its id, by a name, or by `name@version`.
 */
import { z } from 'zod'
import { ScissionError } from '../platform/errors.ts'
import { nearest } from '../platform/nearest.ts'
import { ModelId, Name } from './common.ts'
import type { Model } from './model.ts'
import { idOfShort } from './short-id.ts'

/** `name@version` in a request; names themselves contain no `@`. */
const NameAndVersion = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}@[1-9]\d{0,8}$/, 'reads name@version, e.g. mobilenet@2')

/** A reference to a model: its id, a name (its highest version) or `name@version`. */
export const ModelReference = z.union([ModelId, Name, NameAndVersion])

export interface NameOfModel {
  name: string
  version: number
}

/** A model under the name by which it was found; its first name if it was found by its id. */
export interface NamedModel extends NameOfModel {
  model: Model
}

/** All names of a model: its first one and those that the same bytes were uploaded under later. */
export const namesOf = (model: Model): NameOfModel[] => [
  { name: model.name, version: model.version },
  ...(model.aliases ?? []),
]

/** The versions of a name, lowest first. */
export const versionsOf = (models: readonly Model[], name: string): number[] =>
  modelsNamed(models, name).map((named) => named.version)

/**
 * The model that a reference means. A plain name means its highest version; what is no name may be a short id.
 * @throws ScissionError notFound naming what exists.
 */
export function pickNamed(models: readonly Model[], reference: string): NamedModel {
  const byId = models.find((model) => model.id === reference)
  if (byId) return { model: byId, name: byId.name, version: byId.version }
  const [name = '', version] = reference.split('@')
  const named = modelsNamed(models, name)
  const found = version === undefined ? named.at(-1) : named.find((one) => String(one.version) === version)
  if (found) return found
  const short = idOfShort(
    reference,
    models.map(({ id }) => id),
  )
  if (short !== undefined) return pickNamed(models, short)
  throw unknown(models, reference, named)
}

/** The same without the name. @throws ScissionError notFound naming what exists. */
export const pickModel = (models: readonly Model[], reference: string): Model =>
  pickNamed(models, reference).model

/** Lowest version first. Should two files have the same one, the older file counts, in every service. */
function modelsNamed(models: readonly Model[], name: string): NamedModel[] {
  return models
    .flatMap((model) => namesOf(model).map((own) => ({ model, ...own })))
    .filter((named) => named.name === name)
    .sort((a, b) => a.version - b.version || compare(b.model.createdAt, a.model.createdAt))
    .filter((named, index, all) => all[index + 1]?.version !== named.version)
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

function unknown(models: readonly Model[], reference: string, named: readonly NamedModel[]): ScissionError {
  const known = [...new Set(models.flatMap((model) => namesOf(model).map((own) => own.name)))].sort()
  if (named.length > 0) {
    const versions = named.map(({ version }) => version)
    const message = `unknown model "${reference}": "${named[0]?.name}" has version ${versions.join(', ')}`
    return new ScissionError('notFound', message, { versions })
  }
  const hint = known.length === 0 ? '; none has been uploaded yet' : nearest(reference, known)
  return new ScissionError('notFound', `unknown model "${reference}"${hint}`, { known: known.slice(0, 100) })
}
