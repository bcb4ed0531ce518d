/** `scission resources`: list them, run another one on this machine, and forget one that is gone. */
import type { Command } from 'commander'
import { OwnResourceName } from '../../../shared/contracts/own-resource-name.ts'
import type { ResourceView } from '../../../shared/contracts/resource.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { createLog } from '../../../shared/platform/log.ts'
import { freePorts } from '../../start/ports.ts'
import { ProcessGroup } from '../../start/processes/group.ts'
import { keyFileIn } from '../../start/system-key-file.ts'
import { stopOnSignals } from '../../start/processes/stop-on-signals.ts'
import { csvOption } from '../common-options.ts'
import type { Context } from '../context.ts'
import { portNumber, positive, wholeNumberFrom } from '../numbers.ts'
import { resourcesTable } from '../tables.ts'

interface AddOptions {
  tier: string
  port: number
  slowdown?: number
  threads?: number
}

export function defineResources(command: Command, context: Context): void {
  command
    .command('list', { isDefault: true })
    .description('all machines, and whether they are alive')
    .addOption(csvOption())
    .action(async () => context.printTable(await context.planner.resources(), resourcesTable))
  command
    .command('add <name>')
    .description(
      'run an inference service on this machine as a resource of the system that runs here, until Ctrl-C',
    )
    .requiredOption('--tier <tier>', 'where it stands: device, edge or cloud')
    .option('--port <n>', 'that it listens on (default: any free one)', portNumber, 0)
    .option('--slowdown <factor>', 'how many times slower it plays than this machine is', positive)
    .option('--threads <n>', 'of one session', wholeNumberFrom(1))
    .action((name: string, options: AddOptions) => addResource(context, name, options))
  command
    .command('remove <name>')
    .description(
      'forget a resource that is lost or was imported, and its links; one that is alive is stopped instead',
    )
    .action(async (name: string) => {
      await context.planner.forgetResource(name)
      context.print({ removed: name }, ({ removed }) => `removed ${removed}`)
    })
}

async function addResource(context: Context, name: string, options: AddOptions): Promise<void> {
  const { services, planner } = context
  const { error } = OwnResourceName.safeParse(name)
  if (error) throw new ScissionError('badRequest', `${name}: ${error.issues[0]?.message}`)
  const redisUrl = process.env.REDIS_URL ?? services.system?.redis?.url
  if (redisUrl === undefined)
    throw new ScissionError(
      'badRequest',
      `where the Redis of this system is, is not known (${services.found}): set REDIS_URL=redis://host:6379`,
    )
  const resources = await planner.resources()
  if (resources.some((one) => one.name === name && one.alive))
    throw new ScissionError('conflict', `a resource called ${name} is alive: choose another name`)
  const log = createLog('scission', process.env.SCISSION_LOG_LEVEL ?? 'warn')
  const group = new ProcessGroup(log)
  stopOnSignals(() => group.stopAll(), log)
  const [free] = options.port === 0 ? await freePorts(1) : [options.port]
  const started = await group.startSupervised({
    name,
    entry: new URL('../../../services/inference/main.ts', import.meta.url),
    env: {
      REDIS_URL: redisUrl,
      SCISSION_REDIS_KIND: services.system?.redis?.kind ?? 'external',
      ...(services.system && {
        SCISSION_DATA: services.system.dataDir,
        SCISSION_SYSTEM_KEY_FILE: keyFileIn(services.system.dataDir),
        SCISSION_SYSTEM_KEY: '',
        SCISSION_TOKEN: '',
        SCISSION_TOKEN_FILE: '',
      }),
      SCISSION_BENCHMARK_URL: services.benchmark,
      SCISSION_RESOURCE: name,
      SCISSION_TIER: options.tier,
      SCISSION_TIERS: tiersWith(options.tier, resources).join(','),
      SCISSION_PORT: String(free),
      ...(options.slowdown !== undefined && { SCISSION_SLOWDOWN: String(options.slowdown) }),
      ...(options.threads !== undefined && { SCISSION_THREADS: String(options.threads) }),
    },
  })
  void group.gaveUp.then(({ message }) => {
    process.exitCode = 1
    log.error(message)
  })
  context.print(
    { name, tier: options.tier, url: started.url, pid: started.pid },
    (shown) =>
      `${shown.name} (${shown.tier}) is up at ${shown.url}, and is started again if it ends by itself; Ctrl-C takes it away\n` +
      `have a model measured on it: scission bench MODEL --resources ${shown.name}`,
  )
}

const DEFAULT_TIERS = ['device', 'edge', 'cloud']

/** The tiers in their order, as those that are there say. @throws ScissionError badRequest if the tier is none of them. */
function tiersWith(tier: string, resources: readonly ResourceView[]): string[] {
  const tiers = [...DEFAULT_TIERS]
  for (const one of resources) tiers[one.tierIndex] = one.tier
  if (tiers.includes(tier)) return tiers
  throw new ScissionError('badRequest', `--tier must be one of ${tiers.join(', ')}, got: ${tier}`)
}
