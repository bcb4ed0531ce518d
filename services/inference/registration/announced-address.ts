/**
 * Whether the addresses in the settings can work between machines. A service that others cannot reach starts and registers
 * all the same, so it says at its start what is wrong.
 */
import { hidePasswordOf } from '../../../shared/platform/hidden-passwords.ts'
import { isLoopback } from '../../../shared/platform/loopback.ts'
import type { InferenceConfig } from '../../../shared/platform/service/service-config.ts'

type Addresses = Pick<InferenceConfig, 'host' | 'publicUrl' | 'redisUrl' | 'benchmarkUrl'>

const isOfThisMachine = (url: string) => isLoopback(new URL(url).hostname)

/** @param url that is announced. @returns what is wrong and what to do, a sentence each. */
export function addressWarnings(
  { host, publicUrl, redisUrl, benchmarkUrl }: Addresses,
  url: string,
): string[] {
  const warnings: string[] = []
  const announced = hidePasswordOf(url)
  if (publicUrl !== '' && isLoopback(host) && !isOfThisMachine(publicUrl))
    warnings.push(
      `peers and clients are told to call ${announced}, but this service listens on ${host}, which only this machine ` +
        'reaches: set SCISSION_HOST=0.0.0.0, unless a proxy of this machine passes requests on',
    )
  const redisIsElsewhere = !isOfThisMachine(redisUrl)
  if (isOfThisMachine(url) && (redisIsElsewhere || !isLoopback(host)))
    warnings.push(
      `peers and clients are told to call ${announced}, which on every other machine leads to that machine itself: set ` +
        'SCISSION_PUBLIC_URL to an address of this machine that they can reach' +
        (isLoopback(host) ? ', and SCISSION_HOST=0.0.0.0' : ''),
    )
  if (redisIsElsewhere && isOfThisMachine(benchmarkUrl))
    warnings.push(
      `Redis is on another machine, but layers are fetched from ${hidePasswordOf(benchmarkUrl)} on this one: set SCISSION_BENCHMARK_URL, ` +
        'unless a benchmark service runs here',
    )
  return warnings
}
