/** `scission models …` and `scission layers`. */
import path from 'node:path'
import type { Command } from 'commander'
import type { InputShapes } from '../../../shared/contracts/common.ts'
import { uploadFiles } from '../../steps/upload-model.ts'
import type { Context } from '../context.ts'
import { shapesOption } from '../common-options.ts'
import { layersTable, modelsTable, uploadedText } from '../tables.ts'

interface AddOptions {
  name?: string
  shapes?: InputShapes
}

export function addModelCommands(program: Command, context: Context): void {
  const models = program.command('models').description('models in the registry')
  models
    .command('add <file>')
    .description(
      'upload an ONNX file, with the external data files it names; the same bytes again give the same id',
    )
    .option('--name <name>', 'default: the file’s name')
    .addOption(shapesOption('fix open dimensions: input:1x3x224x224,other:1x16'))
    .action(async (file: string, options: AddOptions) => {
      const name = options.name ?? path.basename(file, '.onnx')
      const uploaded = await uploadFiles(context.benchmark, file, { name, inputShapes: options.shapes })
      context.print(uploaded, uploadedText)
    })
  models
    .command('list')
    .description('all models')
    .action(async () => context.print(await context.benchmark.models(), modelsTable))
  models
    .command('delete <model>')
    .description('remove a model that no deployment uses')
    .action(async (model: string) => {
      await context.benchmark.deleteModel(model)
      context.print({ deleted: model }, () => `deleted ${model}`)
    })
  program
    .command('layers <model>')
    .description('layers of a model, and where it can be cut')
    .addOption(shapesOption())
    .action(async (model: string, options: { shapes?: InputShapes }) =>
      context.print(await context.benchmark.structure(model, options.shapes), layersTable),
    )
}
