/** `scission zoo list|build`: the paper's networks as ONNX files. */
import type { Command } from 'commander'
import { buildZooModel, listZoo } from '../../../shared/zoo/index.ts'
import { formatBytes } from '../../terminal/format.ts'
import { tableOf } from '../../terminal/table.ts'
import { csvOption } from '../common-options.ts'
import type { Context } from '../context.ts'
import { wholeNumber } from '../numbers.ts'

export function defineZoo(zoo: Command, context: Context): void {
  zoo
    .command('list', { isDefault: true })
    .description('their names, sizes and inputs')
    .addOption(csvOption())
    .action(() =>
      context.printTable(listZoo(), (networks) =>
        tableOf(
          networks,
          {
            network: ({ name }) => name,
            parameters: ({ parameters }) => ({ text: parameters.toLocaleString('en'), value: parameters }),
            input: ({ inputSize }) => `1x3x${inputSize}x${inputSize}`,
          },
          { expendable: ['input'] },
        ),
      ),
    )
  zoo
    .command('build <name>')
    .description('write one as an ONNX file')
    .requiredOption('-o, --output <file>', 'where to')
    .option('--seed <n>', 'same seed, same bytes', wholeNumber, 1)
    .action(async (name: string, { output, seed }: { output: string; seed: number }) => {
      const built = await buildZooModel(name, output, { seed })
      context.print({ ...built, file: output }, () => `${output}: ${name}, ${formatBytes(built.bytes)}`)
    })
}
