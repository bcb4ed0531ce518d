/** `scission models …` and `scission layers`. */
import path from 'node:path'
import type { Command } from 'commander'
import type { InputShapes } from '../../../shared/contracts/common.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { uploadFiles } from '../../steps/upload-model.ts'
import type { Context } from '../context.ts'
import { csvOption, shapesOption } from '../common-options.ts'
import { checkReadable } from '../files.ts'
import { namingOptions, type OptionHints } from '../option-errors.ts'
import { layersTable, modelsTable, samplesText, uploadedText } from '../tables.ts'

interface AddOptions {
  name?: string
  samples?: string[]
  shapes?: InputShapes
}

const HINTS: OptionHints = {
  name: {
    flag: '--name',
    expected: 'a letter or digit, then letters, digits, ".", "_" or "-", 100 at most',
    example: 'mymodel',
  },
}

export function defineModels(models: Command, context: Context): void {
  models
    .command('add <file>')
    .description(
      'upload an ONNX file, with the external data files it names; the same bytes again give the same id',
    )
    .option('--name <name>', 'default: the file’s name')
    .addOption(shapesOption('fix open dimensions: input:1x3x224x224,other:1x16'))
    .option(
      '--samples <file...>',
      'values for its inputs, with which it is measured and checked: .npz, .npy named like its input, or JSON',
    )
    .action(async (file: string, { name = path.basename(file, '.onnx'), shapes, samples }: AddOptions) => {
      await checkReadable('--samples', samples)
      const uploaded = await namingOptions(HINTS, () =>
        uploadFiles(context.benchmark, file, { name, inputShapes: shapes, samples }),
      )
      context.print(uploaded, uploadedText)
    })
  models
    .command('list', { isDefault: true })
    .description('all models')
    .addOption(csvOption())
    .action(async () => context.printTable(await context.benchmark.models(), modelsTable))
  models
    .command('delete <model>')
    .description('remove a model that no deployment uses')
    .action(async (model: string) => {
      await context.benchmark.deleteModel(model)
      context.print({ deleted: model }, ({ deleted }) => `deleted ${deleted}`)
    })
  addSamplesCommand(models, context)
}

export function defineLayers(command: Command, context: Context): void {
  command
    .addOption(shapesOption())
    .addOption(csvOption())
    .action(async (model: string, options: { shapes?: InputShapes }) =>
      context.printTable(await context.benchmark.structure(model, options.shapes), layersTable),
    )
}

function addSamplesCommand(models: Command, context: Context): void {
  models
    .command('samples <model>')
    .description('values of its inputs with which a model is measured and checked: list, give or remove them')
    .option('--give <file...>', 'replace them: .npz, .npy named like its input, or JSON')
    .option('--remove', 'from now on all values are made up')
    .action(async (model: string, options: { give?: string[]; remove?: true }) => {
      if (options.give && options.remove)
        throw new ScissionError('badRequest', '--give and --remove: one of the two')
      if (options.remove) {
        await context.benchmark.deleteSamples(model)
        return context.print({ removed: model }, ({ removed }) => `removed the samples of ${removed}`)
      }
      await checkReadable('--give', options.give)
      const { benchmark } = context
      const { samples } = options.give
        ? await benchmark.giveSamples(model, options.give)
        : await benchmark.model(model)
      return context.print(samples ?? { inputs: [] }, samplesText)
    })
}
