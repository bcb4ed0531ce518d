/** Input that this process has left out because it cannot be read or believed: counted, beside being logged once. */
import { Counter, type Registry } from 'prom-client'

const counts = { message: 0, document: 0 }

/** @param what a message on the channel of changes, or a document in Redis, each time that it is read. */
export function countIgnored(what: keyof typeof counts): void {
  counts[what] += 1
}

export function addIgnoredMetric(registry: Registry): void {
  const total = new Counter({
    name: 'scission_ignored_total',
    help: 'Messages and documents of Redis that were left out: damaged, of another version, or not signed by this system',
    labelNames: ['what'],
    registers: [registry],
    collect: () => {
      total.reset()
      for (const [what, count] of Object.entries(counts)) total.inc({ what }, count)
    },
  })
}
