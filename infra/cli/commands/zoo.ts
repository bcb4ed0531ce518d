/** `scission zoo list|build`: the paper's networks as ONNX files. */
import type { Command } from 'commander'
import { buildZooModel, listZoo } from '../../../shared/zoo/index.ts'
import { formatBytes } from '../../terminal/format.ts'
import { tableOf } from '../../terminal/table.ts'
import type { Context } from '../context.ts'
import { wholeNumber } from '../numbers.ts'

export function addZooCommands(program: Command, context: Context): void {
  const zoo = program.command('zoo').description('built-in networks, with random weights made from a seed')
  zoo
    .command('list')
    .description('their names, sizes and inputs')
    .action(() =>
      context.print(listZoo(), (networks) =>
        tableOf(networks, {
          network: ({ name }) => name,
          parameters: ({ parameters }) => parameters.toLocaleString('en'),
          input: ({ inputSize }) => `1x3x${inputSize}x${inputSize}`,
        }),
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
