/**
 * Emulates links between services on one machine, with the delay and the rate of real ones. One service calls the other at
 * a port of the emulator. lane.ts models a link, settings.ts lists its parameters.
 *
 * It is our own because figures must be exact and changeable while in use, without privileges: Linux `tc netem` needs root
 * and works per interface, and there is no such thing on other systems. `npm run bench -- links` holds it against its
 * settings: probes through it found round trips within 4.8 % and rates within 2.1 % (docs/results.md).
 */
import { z } from 'zod'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { Link } from './link.ts'
import { Schedule } from './schedule.ts'
import {
  type CutKind,
  EmulatedLink,
  type EmulatedLinkInput,
  LinkSettings,
  type LinkStatistics,
} from './settings.ts'

export interface LinkEmulator {
  /** Link name → port on which the link is reached. */
  ports: Readonly<Record<string, number>>
  /** Changes a link while it is in use. @throws ScissionError notFound, badRequest. */
  set: (link: string, changes: Partial<LinkSettings>) => Promise<void>
  /** Interrupts a link until `restore`. @param kind @defaultValue silent */
  cut: (link: string, kind?: CutKind) => Promise<void>
  restore: (link: string) => Promise<void>
  stats: () => Promise<Record<string, LinkStatistics>>
  close: () => Promise<void>
}

/**
 * Starts the emulator in this process. `startLinkEmulatorProcess` starts it in a process of its own, where no other work
 * delays it. All links share one clock.
 * @throws ScissionError badRequest, which names the field; conflict if a port is taken.
 */
export async function startLinkEmulator(specifications: readonly EmulatedLinkInput[]): Promise<LinkEmulator> {
  const schedule = new Schedule()
  const links = new Map<string, Link>()
  const close = async () => {
    schedule.close()
    await Promise.all([...links.values()].map((link) => link.close()))
  }
  try {
    for (const specification of parse(z.array(EmulatedLink), specifications, 'links')) {
      const { name } = specification
      if (links.has(name)) throw new ScissionError('badRequest', `two links are called ${name}`)
      links.set(name, await Link.start(specification, schedule))
    }
  } catch (thrown) {
    await close()
    throw thrown
  }
  return {
    ports: Object.fromEntries([...links].map(([name, link]) => [name, link.port])),
    set: async (name, changes) =>
      find(links, name).set(parse(LinkSettings.partial(), changes, `link ${name}`)),
    cut: async (name, kind = 'silent') => find(links, name).cut(kind),
    restore: async (name) => find(links, name).restore(),
    stats: async () => Object.fromEntries([...links].map(([name, link]) => [name, link.statistics()])),
    close,
  }
}

function find(links: ReadonlyMap<string, Link>, name: string): Link {
  const link = links.get(name)
  if (link) return link
  const known = [...links.keys()]
  throw new ScissionError('notFound', `unknown link ${name}; known: ${known.join(', ') || 'none'}`, { known })
}

function parse<T extends z.ZodType>(schema: T, value: unknown, what: string): z.infer<T> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  throw new ScissionError('badRequest', `${what}: ${z.prettifyError(parsed.error)}`)
}
