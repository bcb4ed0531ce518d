/** `scission infer`: one request to a deployment, or to a model on a named resource. */
import type { Command } from 'commander'
import { createInferenceClient, type InferenceClient } from '../../../shared/client/inference.ts'
import { Datatype, type InputShapes, type TensorSpec } from '../../../shared/contracts/common.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { modelInputs } from '../../../shared/onnx/sample-inputs/model-inputs.ts'
import { byteLength, type Tensor } from '../../../shared/contracts/tensor.ts'
import { tensorValues } from '../../../shared/tensors/tensor-values.ts'
import { formatMs, formatShape } from '../../terminal/format.ts'
import { tableOf } from '../../terminal/table.ts'
import type { Context } from '../context.ts'
import { inputFile, readBytes } from '../files.ts'
import { wholeNumber } from '../numbers.ts'
import { shapesOption } from '../common-options.ts'
import { entryOf } from '../../../shared/platform/entry-of.ts'

interface InferOptions {
  on?: string
  input?: string[]
  shapes?: InputShapes
  seed: number
}

/** Maximum number of elements shown of each output. */
const SHOWN = 8

export function addInferCommand(program: Command, context: Context): void {
  program
    .command('infer <model>')
    .description('run a deployment (or, with --on, a model on one resource) once')
    .option('--on <resource>', 'the resource to ask; default: the entry of the deployment')
    .option(
      '--input <name=file...>',
      'raw little-endian bytes of an input; inputs not given are the samples of the model, or made up',
    )
    .addOption(shapesOption('shapes of inputs with open dimensions: input:1x3x224x224'))
    .option('--seed <n>', 'of made-up values; with 1 samples are taken as they are', wholeNumber, 1)
    .action(async (model: string, options: InferOptions) => {
      const { client, source } = await clientFor(context, model, options.on)
      const inputs = await inputsFor(context, { client, source, model }, options)
      const start = performance.now()
      const { outputs, parameters } = await client.infer(model, inputs)
      const elapsedMs = performance.now() - start
      const shown = outputs.map((output) => {
        const { name, datatype, shape } = output
        return { name, datatype, shape, values: Array.from(tensorValues(output)) }
      })
      context.print({ elapsedMs, parameters, outputs: shown }, inferredText)
    })
}

interface Inferred {
  elapsedMs: number
  parameters: Record<string, string | number | boolean>
  outputs: (Pick<Tensor, 'name' | 'datatype' | 'shape'> & { values: number[] })[]
}

function inferredText({ elapsedMs, parameters, outputs }: Inferred): string {
  const table = tableOf(outputs, {
    output: ({ name }) => name,
    type: ({ datatype }) => datatype,
    shape: ({ shape }) => formatShape(shape),
    'first values': ({ values }) =>
      values
        .slice(0, SHOWN)
        .map((value) => value.toPrecision(4))
        .join(' '),
  })
  const times = Object.entries(parameters).map(([key, value]) => `  ${key} ${value}`)
  return [table, `took ${formatMs(elapsedMs)}`, ...times].join('\n')
}

/** `source` is the model that a deployment serves, or the one that was named. */
async function clientFor(
  { planner, known }: Context,
  model: string,
  on: string | undefined,
): Promise<{ client: InferenceClient; source: string }> {
  if (on === undefined) {
    const { entry, model: source } = await planner.deployment(model)
    return { client: createInferenceClient(entry.resource, entry.url, known), source }
  }
  const [resources, deployments] = await Promise.all([planner.resources(), planner.deployments()])
  const source = deployments.find(({ id }) => id === model)?.model ?? model
  const found = resources.find((resource) => resource.name === on)
  if (found) return { client: createInferenceClient(found.name, found.url, known), source }
  throw new ScissionError(
    'notFound',
    `unknown resource "${on}"; known: ${resources.map((resource) => resource.name).join(', ')}`,
  )
}

interface Asked {
  client: InferenceClient
  /** What is served, and the model that it is. */
  model: string
  source: string
}

async function inputsFor(
  { benchmark }: Context,
  { client, model, source }: Asked,
  options: InferOptions,
): Promise<Tensor[]> {
  const [metadata, record] = await Promise.all([client.metadata(model), benchmark.model(source)])
  const samples = await benchmark.samples(record)
  const sampled = new Map(samples.map(({ name, shape }) => [name, shape]))
  const specs = metadata.inputs.map((input): TensorSpec => {
    const datatype = Datatype.parse(input.datatype)
    const own = input.shape.some((dim) => dim < 0) ? sampled.get(input.name) : undefined
    const shape = entryOf(options.shapes, input.name) ?? own ?? input.shape
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
  })
  const given = (options.input ?? []).map((text) => inputFile(text, specs))
  const files = new Map(given.map(({ spec, file }) => [spec.name, file]))
  const { inputHints } = await benchmark.structure(source, shapesOf(specs))
  return Promise.all(
    modelInputs({ inputs: specs, inputHints }, samples, options.seed).map(async (tensor) => {
      const file = files.get(tensor.name)
      if (file === undefined) return tensor
      return { ...tensor, bytes: await readBytes(`--input ${tensor.name}`, file) }
    }),
  )
}

const shapesOf = (specs: readonly TensorSpec[]): InputShapes =>
  Object.fromEntries(specs.map(({ name, shape }) => [name, shape]))
