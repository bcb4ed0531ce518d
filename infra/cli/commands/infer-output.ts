/** `scission infer --output`: writes outputs as NumPy files. */
import { access, constants, stat } from 'node:fs/promises'
import path from 'node:path'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { writeWhole } from '../../../shared/platform/atomic-file.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { makeFolder } from '../../../shared/platform/make-folder.ts'
import { writeNpy, writeNpz } from '../../../shared/tensors/write-numpy.ts'

/** Before anything is asked for. @throws ScissionError badRequest if it is a file of another kind, or in no folder. */
export async function checkOutput(output: string | undefined): Promise<void> {
  if (output === undefined) return
  if (isArray(output) || isArchive(output)) {
    const folder = path.dirname(output)
    return access(folder, constants.W_OK).catch((thrown: unknown) => {
      throw new ScissionError(
        'badRequest',
        `--output ${output}: ${folder} is no folder that can be written to`,
        undefined,
        thrown,
      )
    })
  }
  const found = await stat(output).catch(() => undefined)
  if (found?.isDirectory() || (found === undefined && (/[/\\]$/.test(output) || path.extname(output) === '')))
    return
  throw new ScissionError('badRequest', `--output must be FILE.npz, FILE.npy or a folder, got: ${output}`)
}

const isArray = (file: string) => /\.npy$/i.test(file)
const isArchive = (file: string) => /\.npz$/i.test(file)

/** Before requests are sent, whose answers would be lost. @throws ScissionError badRequest for one array file and several outputs. */
export async function checkOutputCount(
  output: string | undefined,
  countOutputs: () => Promise<number>,
): Promise<void> {
  if (output === undefined || !isArray(output)) return
  const count = await countOutputs()
  if (count > 1) throw severalOutputs(output, count)
}

const severalOutputs = (output: string, count: number) =>
  new ScissionError('badRequest', `--output ${output}: there are ${count} outputs; take FILE.npz or a folder`)

/** @returns the files written. @throws ScissionError badRequest. */
export async function writeOutputs(output: string, tensors: readonly Tensor[]): Promise<string[]> {
  const files = filesOf(output, tensors)
  try {
    if (!isArray(output) && !isArchive(output)) await makeFolder(output)
    for (const [file, content] of files) await writeWhole(file, content)
  } catch (thrown) {
    throw new ScissionError('badRequest', `--output: ${coerceError(thrown).message}`, undefined, thrown)
  }
  return [...files.keys()]
}

/** File → content. */
function filesOf(output: string, tensors: readonly Tensor[]): Map<string, Buffer> {
  if (isArchive(output)) return new Map([[output, writeNpz(tensors)]])
  if (!isArray(output))
    return new Map(tensors.map((tensor, index) => [fileIn(output, tensors, index), writeNpy(tensor)]))
  const [only, ...others] = tensors
  if (only !== undefined && others.length === 0) return new Map([[output, writeNpy(only)]])
  throw severalOutputs(output, tensors.length)
}

/** Names of outputs come from a model: only letters, digits, ".", "_" and "-" of them are in the names of files. */
function fileIn(folder: string, tensors: readonly Tensor[], index: number): string {
  const names = tensors.map(({ name }) => name.replaceAll(/[^A-Za-z0-9._-]/g, '_').replace(/^\.+/, '_'))
  const name = names[index] ?? ''
  const isUnique = name !== '' && names.filter((one) => one === name).length === 1
  return path.join(folder, `${isUnique ? name : `${name}-${index}`}.npy`)
}
