/** `scission infer`: requests to a deployment, or to a model on a named resource. */
import type { Command } from 'commander'
import { createInferenceClient, type InferenceClient } from '../../../shared/client/inference.ts'
import type { InputShapes } from '../../../shared/contracts/common.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { csvOption, shapesOption } from '../common-options.ts'
import type { Context } from '../context.ts'
import { wholeNumber, wholeNumberFrom } from '../numbers.ts'
import { inferInputs } from './infer-inputs.ts'
import { checkOutput, checkOutputCount, writeOutputs } from './infer-output.ts'
import { repeatRequests } from './infer-repeats.ts'
import { type Inferred, inferredText, outputsTable, shownOutput, timesTable } from './infer-text.ts'

interface InferOptions {
  on?: string
  input?: string[]
  shapes?: InputShapes
  seed: number
  repeat: number
  concurrency: number
  output?: string
}

export function defineInfer(command: Command, context: Context): void {
  command
    .option('--on <resource>', 'the resource to ask; default: the entry of the deployment')
    .option(
      '--input <name=file...>',
      'an input: .npy, .npz, or raw little-endian bytes; FILE.npz alone gives all that it holds; inputs not given are the samples of the model, or made up',
    )
    .addOption(shapesOption('shapes of inputs with open dimensions: input:1x3x224x224'))
    .option('--seed <n>', 'of made-up values; with 1 samples are taken as they are', wholeNumber, 1)
    .option('--repeat <n>', 'so many requests, with a summary of their times', wholeNumberFrom(1), 1)
    .option('--concurrency <n>', 'so many requests at a time', wholeNumberFrom(1), 1)
    .option(
      '--output <file>',
      'write the outputs (of the last request): .npz for all, .npy for the only one, or a folder with a .npy for each',
    )
    .addOption(csvOption())
    .action(async (model: string, options: InferOptions) => {
      await checkOutput(options.output)
      const { client, source } = await clientFor(context, model, options.on)
      await checkOutputCount(options.output, async () => (await client.metadata(model)).outputs.length)
      const inputs = await inferInputs(context, { client, source, model }, options)
      const { last, times } = await repeatRequests(() => client.infer(model, inputs), options)
      const { outputs, parameters } = last
      const files = options.output === undefined ? [] : await writeOutputs(options.output, outputs)
      const inferred: Inferred = {
        elapsedMs: times.lastMs,
        ...(options.repeat > 1 && { times }),
        parameters,
        outputs: outputs.map((output: Tensor) => shownOutput(output)),
        ...(files.length > 0 && { files }),
      }
      context.printTable(
        inferred,
        (shown) => (shown.times ? timesTable(shown.times) : outputsTable(shown)),
        (shown) => inferredText(shown, outputsTable(shown)),
      )
    })
}

/** `source` is the model that a deployment serves, or the one that was named. */
async function clientFor(
  { benchmark, planner, known, credentials }: Context,
  model: string,
  on: string | undefined,
): Promise<{ client: InferenceClient; source: string }> {
  if (on === undefined) {
    const { entry, model: source } = await planner
      .deployment(model)
      .catch(async (thrown: unknown) => Promise.reject(await hintedAt(benchmark, model, thrown)))
    return { client: createInferenceClient(entry.resource, entry.url, known, credentials), source }
  }
  const [resources, deployments] = await Promise.all([planner.resources(), planner.deployments()])
  const source = deployments.find(({ id }) => id === model)?.model ?? model
  const found = resources.find((resource) => resource.name === on)
  if (found) return { client: createInferenceClient(found.name, found.url, known, credentials), source }
  throw new ScissionError(
    'notFound',
    `--on: unknown resource "${on}"; known: ${resources.map((resource) => resource.name).join(', ')}`,
  )
}

/** The name of a model is no deployment: what to do with one is said. */
async function hintedAt({ model }: Context['benchmark'], name: string, thrown: unknown): Promise<unknown> {
  if (!(thrown instanceof ScissionError) || thrown.code !== 'notFound') return thrown
  const isModel = await model(name).then(
    () => true,
    () => false,
  )
  if (!isModel) return thrown
  return new ScissionError(
    'notFound',
    `${name} is a model, not a deployment: --on RESOURCE runs it whole there, scission deploy makes a plan of it live`,
    thrown.details,
    thrown,
  )
}
