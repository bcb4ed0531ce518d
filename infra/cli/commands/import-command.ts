/** `scission import`: files of machines, links and profiles that were written by hand or measured elsewhere. */
import type { Command } from 'commander'
import { asPlainDocument, PlainDocument } from '../../../shared/contracts/plain-import.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { fileFaults } from '../../terminal/file-faults.ts'
import type { Context } from '../context.ts'
import { readBytes, readJson } from '../files.ts'
import { positive } from '../numbers.ts'
import { layerTimesOf } from './layer-times-csv.ts'

interface ImportOptions {
  model?: string
  resource?: string
  tier?: string
  slowdown?: number
}

export function defineImport(command: Command, context: Context): void {
  command
    .option('--model <model>', 'of times in a CSV file')
    .option('--resource <resource>', 'where those were measured')
    .option('--tier <tier>', 'makes a machine of that resource, if there is none of its name')
    .option('--slowdown <factor>', 'by which those times are multiplied', positive)
    .action(async (files: string[], options: ImportOptions) => {
      const documents = await Promise.all(files.map((file) => documentOf(file, options)))
      const others = documents.flatMap(({ other }) => (other === undefined ? [] : [other]))
      const plain = joined(documents.flatMap(({ plain }) => (plain ? [plain] : [])))
      const stored: Stored[] = []
      // Machines come first: a profile of another file may need them.
      for (const document of [...(plain ? [plain] : []), ...others])
        stored.push(await context.benchmark.importProfiles(document))
      context.print(stored.length === 1 ? stored[0] : stored, () => storedText(stored))
    })
}

type Stored = Awaited<ReturnType<Context['benchmark']['importProfiles']>>

function storedText(stored: readonly Stored[]): string {
  const profiles = stored.reduce((sum, one) => sum + (one.items ?? one.profiles ?? []).length, 0)
  const count = (kind: 'resources' | 'links') =>
    stored.reduce((sum, one) => sum + (one[kind]?.length ?? 0), 0)
  const beside = [countText(count('resources'), 'machine'), countText(count('links'), 'link')]
  return [`stored ${countText(profiles, 'profile')}`, ...beside.filter((text) => !text.startsWith('0'))].join(
    ', ',
  )
}

const countText = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`

/** @throws ScissionError badRequest, which names the file and every field that is wrong. */
async function documentOf(
  file: string,
  options: ImportOptions,
): Promise<{ plain?: PlainDocument; other?: unknown }> {
  const isCsv = file.toLowerCase().endsWith('.csv')
  const content = isCsv ? await csvProfile(file, options) : await readJson('import', file)
  const plain = asPlainDocument(content)
  if (plain === undefined) {
    if (isStored(content)) return { other: content }
    throw new ScissionError(
      'badRequest',
      `${file}: holds no machines, links or profiles: docs/guides/own-figures.md says how they are written`,
    )
  }
  const parsed = PlainDocument.safeParse(plain)
  if (parsed.success) return { plain: parsed.data }
  throw new ScissionError('badRequest', `${file}: ${fileFaults(parsed.error, PlainDocument).join('; ')}`)
}

/** Profiles as `profiles --json` prints them, or the original's; an empty list holds nothing that could be wrong. */
const isStored = (content: unknown): boolean =>
  Array.isArray(content)
    ? content.every(isStored)
    : typeof content === 'object' && content !== null && Object.keys(content).length > 0

async function csvProfile(file: string, { model, resource, tier, slowdown }: ImportOptions) {
  const missing = [
    ...(model === undefined ? ['--model'] : []),
    ...(resource === undefined ? ['--resource'] : []),
  ]
  if (missing.length > 0)
    throw new ScissionError(
      'badRequest',
      `${file}: a CSV file has only times; ${missing.join(' and ')} must say whose, for example --model mymodel --resource lab-pi`,
    )
  const layerMs = layerTimesOf(file, Buffer.from(await readBytes('import', file)).toString('utf8'))
  return {
    model,
    resource,
    layerMs,
    ...(tier !== undefined && { tier }),
    ...(slowdown !== undefined && { slowdown }),
  }
}

function joined(documents: readonly PlainDocument[]): PlainDocument | undefined {
  if (documents.length === 0) return undefined
  return {
    machines: documents.flatMap(({ machines }) => machines),
    links: documents.flatMap(({ links }) => links),
    profiles: documents.flatMap(({ profiles }) => profiles),
  }
}
