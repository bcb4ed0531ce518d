/** `scission models …` and `scission layers`. */
import path from 'node:path'
import type { Command } from 'commander'
import { parseInputShapes } from '../../../shared/contracts/input-shapes.ts'
import type { UploadedModel } from '../../../shared/client/benchmark.ts'
import { uploadFiles } from '../../steps/upload-model.ts'
import type { Context } from '../context.ts'
import { layersTable, modelsTable, uploadedText } from '../tables.ts'

interface AddOptions {
  name?: string
  shapes?: string
}

export function addModelCommands(program: Command, context: () => Context): void {
  const models = program.command('models').description('models in the registry')
  models
    .command('add <file>')
    .description(
      'upload an ONNX file, with the external data files it names; the same bytes again give the same id',
    )
    .option('--name <name>', 'default: the file’s name')
    .option('--shapes <shapes>', 'fix open dimensions: input:1x3x224x224,other:1x16')
    .action(async (file: string, options: AddOptions) => {
      const { benchmark, print } = context()
      const uploaded: UploadedModel = await uploadFiles(benchmark, file, {
        name: options.name ?? path.basename(file, '.onnx'),
        inputShapes: options.shapes === undefined ? undefined : parseInputShapes(options.shapes),
      })
      print(uploaded, () => uploadedText(uploaded))
    })
  models
    .command('list')
    .description('all models')
    .action(async () => {
      const { benchmark, print } = context()
      const list = await benchmark.models()
      print(list, () => modelsTable(list))
    })
  models
    .command('delete <model>')
    .description('remove a model that no deployment uses')
    .action(async (model: string) => {
      const { benchmark, print } = context()
      await benchmark.deleteModel(model)
      print({ deleted: model }, () => `deleted ${model}`)
    })
  program
    .command('layers <model>')
    .description('layers of a model, and where it can be cut')
    .option('--shapes <shapes>', 'input:1x3x224x224,other:1x16')
    .action(async (model: string, options: AddOptions) => {
      const { benchmark, print } = context()
      const shapes = options.shapes === undefined ? undefined : parseInputShapes(options.shapes)
      const structure = await benchmark.structure(model, shapes)
      print(structure, () => layersTable(structure))
    })
}
