/** The inputs of `scission infer`: from files, else the samples of the model, else made up. */
import type { InferenceClient } from '../../../shared/client/inference.ts'
import { Datatype, type InputShapes, type TensorSpec } from '../../../shared/contracts/common.ts'
import { byteLength, type Tensor } from '../../../shared/contracts/tensor.ts'
import { modelInputs } from '../../../shared/onnx/sample-inputs/model-inputs.ts'
import { entryOf } from '../../../shared/platform/entry-of.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { isNpy, isNpz, type NumpyArray, readNpy, readNpz } from '../../../shared/tensors/read-numpy.ts'
import { formatShape } from '../../terminal/format.ts'
import type { Context } from '../context.ts'
import { readBytes } from '../files.ts'

export interface Asked {
  client: InferenceClient
  /** What is served, and the model that it is. */
  model: string
  source: string
}

interface InputOptions {
  input?: string[]
  shapes?: InputShapes
  seed: number
}

/** The content of a file: an array, or bytes that say nothing of themselves. */
type Given = { array: NumpyArray } | { raw: Uint8Array }

/** Arrays of one archive together: more would not fit into a request. */
const MAX_ARCHIVE_BYTES = 2 ** 31

/** @throws ScissionError badRequest or invalidTensor, which names the option and the file; needsInputShapes. */
export async function inferInputs(
  { benchmark }: Context,
  { client, model, source }: Asked,
  options: InputOptions,
): Promise<Tensor[]> {
  const [metadata, record] = await Promise.all([client.metadata(model), benchmark.model(source)])
  const samples = await benchmark.samples(record)
  const sampled = new Map(samples.map(({ name, shape }) => [name, shape]))
  const given = await givenInputs(options.input ?? [])
  const names = metadata.inputs.map(({ name }) => name)
  for (const name of given.keys())
    if (!names.includes(name))
      throw new ScissionError('invalidTensor', `--input: unknown input "${name}"; known: ${names.join(', ')}`)
  const specs = metadata.inputs.map((input) => {
    const own = arrayOf(given.get(input.name))?.shape ?? sampled.get(input.name)
    return specOf(input, entryOf(options.shapes, input.name), own)
  })
  const shapes = Object.fromEntries(specs.map(({ name, shape }) => [name, shape]))
  const { inputHints } = await benchmark.structure(source, shapes)
  const byName = new Map(specs.map((spec) => [spec.name, spec]))
  return modelInputs({ inputs: specs, inputHints }, samples, options.seed).map((tensor) => {
    const file = given.get(tensor.name)
    const spec = byName.get(tensor.name)
    return file === undefined || spec === undefined ? tensor : { ...tensor, bytes: bytesFor(spec, file) }
  })
}

/** The files of all `--input`, by input. */
async function givenInputs(texts: readonly string[]): Promise<Map<string, Given>> {
  const given = new Map<string, Given>()
  for (const text of texts) {
    const equals = text.indexOf('=')
    if (equals < 1) {
      if (!/\.npz$/i.test(text))
        throw new ScissionError('badRequest', `--input must be name=file or FILE.npz, got: ${text}`)
      for (const [name, array] of await readNpz(await readBytes('--input', text), text, MAX_ARCHIVE_BYTES))
        given.set(name, { array })
    } else {
      const name = text.slice(0, equals)
      given.set(name, await givenFile(name, text.slice(equals + 1)))
    }
  }
  return given
}

async function givenFile(name: string, file: string): Promise<Given> {
  const bytes = await readBytes(`--input ${name}`, file)
  if (isNpy(bytes) || /\.npy$/i.test(file)) return { array: readNpy(bytes, file) }
  // Raw bytes may begin as an archive does: the name of the file says that it is one.
  if (!isNpz(bytes) || !/\.npz$/i.test(file)) return { raw: bytes }
  const arrays = await readNpz(bytes, file, MAX_ARCHIVE_BYTES)
  const array = arrays.get(name) ?? (arrays.size === 1 ? [...arrays.values()][0] : undefined)
  if (array) return { array }
  throw new ScissionError(
    'invalidTensor',
    `--input ${name}: ${file} holds no array of that name, but ${[...arrays.keys()].join(', ')}`,
  )
}

const arrayOf = (given: Given | undefined) => (given && 'array' in given ? given.array : undefined)

/** @param own shape of what is given for it. */
function specOf(
  input: { name: string; datatype: string; shape: number[] },
  asked: readonly number[] | undefined,
  own: readonly number[] | undefined,
): TensorSpec {
  const datatype = Datatype.parse(input.datatype)
  const isOpen = input.shape.some((dim) => dim < 0)
  const shape = [...(asked ?? (isOpen ? own : undefined) ?? input.shape)]
  if (shape.some((dim) => dim < 0)) {
    throw new ScissionError(
      'needsInputShapes',
      `input ${input.name} has shape [${shape.join(',')}]: fix it with --shapes ${input.name}:…`,
    )
  }
  return {
    name: input.name,
    datatype,
    shape,
    bytes: datatype === 'BYTES' ? 0 : byteLength(datatype, shape),
  }
}

function bytesFor(spec: TensorSpec, given: Given): Uint8Array {
  if ('raw' in given) {
    // Texts have lengths of their own, which the service checks.
    if (spec.datatype === 'BYTES' || given.raw.length === spec.bytes) return given.raw
    throw new ScissionError(
      'invalidTensor',
      `--input ${spec.name}: the file has ${given.raw.length} bytes, ${spec.datatype} ${formatShape(spec.shape)} takes ${spec.bytes}`,
    )
  }
  const { datatype, shape, bytes } = given.array
  if (datatype === spec.datatype && formatShape(shape) === formatShape(spec.shape)) return bytes
  throw new ScissionError(
    'invalidTensor',
    `--input ${spec.name}: the file holds ${datatype} ${formatShape(shape)}, the model takes ${spec.datatype} ${formatShape(spec.shape)}`,
  )
}
