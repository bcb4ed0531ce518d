/** `scission keys`: make the key of a system, and the keys of those who call it. */
import { type Command, Option } from 'commander'
import { KEY_KINDS, type KeyUse, type KeyView, type NewKey } from '../../../shared/contracts/key.ts'
import { readSecretFile } from '../../../shared/platform/access/secret-file.ts'
import { SystemKey } from '../../../shared/platform/access/system-key.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { writeNewKeyFile, writeSecretFile } from '../../start/system-key-file.ts'
import { type Table, tableOf } from '../../terminal/table.ts'
import { csvOption } from '../common-options.ts'
import type { Context } from '../context.ts'
import { type QuotaOptions, quotasOf, quotasText, useText, withQuotas } from '../quota-options.ts'

interface AddOptions extends QuotaOptions {
  infer?: string[]
  read: boolean
  days?: string
  out?: string
  replaces?: string
}

export function defineKeys(command: Command, context: Context): void {
  command
    .command('list', { isDefault: true })
    .description('all keys, without their tokens')
    .addOption(csvOption())
    .action(async () => context.printTable(await context.planner.keys(), keysTable))
  command
    .command('init [file]')
    .description(
      'make the key of a system, for all of its services: a file that only you can read (default: system.key)',
    )
    .action((file = 'system.key') => {
      writeNewKeyFile(file)
      context.print({ file }, () => initText(file))
    })
  command
    .command('public <file>')
    .description('print the public half of a system key, for machines that are not to have the private one')
    .action((file: string) => {
      const { publicText } = SystemKey.read(readSecretFile(file, file), file)
      context.print({ publicKey: publicText.trim() }, ({ publicKey }) => publicKey)
    })
  defineQuotas(command, context)
  withQuotas(command.command('add'))
    .description('make a key; its token is printed now and never again')
    .argument('<kind>', `${KEY_KINDS.join(', ')}: an operator may do everything, a client infer and read`)
    .argument('<name>', 'who it is: of a resource, the name of the service')
    .option(
      '--infer <names...>',
      'of a client: the models and deployments that it may run, * for any characters',
    )
    .addOption(new Option('--no-read', 'of a client: it may not read models, plans and profiles'))
    .option('--days <n>', 'until it expires (default: never)')
    .option(
      '--replaces <id>',
      'a key of the same kind and name: this one takes over its quotas, and what it has',
    )
    .option('--out <file>', 'write the token into a file that only you can read, instead of printing it')
    .action(async (kind: string, name: string, options: AddOptions) => addKey(context, kind, name, options))
  command
    .command('revoke <id>')
    .description('two seconds later its token holds nowhere')
    .action(async (id: string) => {
      context.print(
        await context.planner.revokeKey(id),
        (key) => `revoked ${key.kind} ${key.name} (${key.id})`,
      )
    })
}

function defineQuotas(command: Command, context: Context): void {
  command
    .command('show [id]')
    .description('the quotas of a key and what it has of them; without an id, your own')
    .action(async (id?: string) => {
      if (id === undefined)
        return context.print(
          await context.planner.ownQuotas(),
          ({ identity, limits, used }) => `${identity}\n${useText(limits, used)}`,
        )
      context.print(await context.planner.key(id), keyText)
    })
  withQuotas(command.command('set'))
    .description('change the quotas of a key; those that are not named stay')
    .argument('<id>', 'as keys list shows it')
    .action(async (id: string, options: QuotaOptions) => {
      if (Object.keys(options).length === 0)
        throw new ScissionError('badRequest', 'name a quota to change, for example --max-requests 50')
      const { quotas } = await context.planner.key(id)
      context.print(await context.planner.setQuotas(id, quotasOf(options, quotas)), keyText)
    })
}

const keyText = ({ kind, name, id, limits, used }: KeyUse): string =>
  `${kind} ${name} (${id})\n${useText(limits, used)}`

async function addKey(
  context: Context,
  kind: string,
  name: string,
  { infer, read, days, out, replaces, ...quotas }: AddOptions,
): Promise<void> {
  const known = KEY_KINDS.find((one) => one === kind)
  if (!known) throw new ScissionError('badRequest', `${kind}: a key is one of ${KEY_KINDS.join(', ')}`)
  const made = await context.planner.addKey({
    kind: known,
    name,
    ...(infer && { infer }),
    ...(!read && { read }),
    ...(days !== undefined && { expiresAt: inDays(days) }),
    ...(replaces !== undefined && { replaces }),
    ...(Object.keys(quotas).length > 0 && { quotas: quotasOf(quotas) }),
  })
  if (out === undefined) return context.print(made, (key) => madeText(key))
  writeSecretFile(out, made.token)
  const { token: _token, ...view } = made
  context.print({ ...view, file: out }, ({ id }) => `the token of ${known} ${name} (${id}) is in ${out}`)
}

const DAY_MS = 24 * 3600 * 1000

function inDays(text: string): string {
  const days = Number(text)
  const at = new Date(Date.now() + days * DAY_MS)
  if (!(days > 0) || Number.isNaN(at.getTime()))
    throw new ScissionError('badRequest', `--days must be a number above 0, for example 90, got: ${text}`)
  return at.toISOString()
}

const initText = (file: string): string =>
  `${file} is the key of a new system. Whoever has it can do everything there: give it to the services alone.
each service takes it by SCISSION_SYSTEM_KEY_FILE=${file}, and so does this command to make keys:
  SCISSION_SYSTEM_KEY_FILE=${file} scission keys add operator you --planner-url http://planner:8082`

const madeText = ({ kind, name, id, token }: NewKey): string =>
  `${kind} ${name} (${id}); its token, which is not shown again:\n${token}`

const keysTable = (keys: readonly KeyView[]): Table =>
  tableOf(keys, {
    id: ({ id }) => id,
    kind: ({ kind }) => kind,
    name: ({ name }) => name,
    infer: ({ kind, infer }) => (kind === 'client' ? (infer?.join(' ') ?? 'all') : ''),
    read: ({ kind, read }) => (kind === 'client' ? (read === false ? 'no' : 'yes') : ''),
    quotas: ({ quotas }) => quotasText(quotas),
    created: ({ createdAt }) => createdAt,
    expires: ({ expiresAt }) => expiresAt ?? 'never',
    revoked: ({ revokedAt }) => revokedAt ?? '',
  })
