/**
 * What identities and TLS cost a hop: resources that ask everybody for a token and show each other certificates, by turns with
 * such as ask nothing. Once with nothing between the machines, where the bytes move at the speed of memory, and once over an
 * emulated link.
 */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { makeAuthority, makeCertificate } from '../../infra/certificates/make-certificates.ts'
import { ownCredentials } from '../../infra/cli/own-credentials.ts'
import { startProcess } from '../../infra/start/processes/process.ts'
import { keyPathIn } from '../../infra/start/system-key-file.ts'
import { startLinkEmulatorProcess } from '../../infra/testbed/link-emulator/remote.ts'
import { Caller } from '../../services/inference/http/call.ts'
import { createLog } from '../../shared/platform/log.ts'
import { median } from '../../shared/platform/statistics.ts'
import { type Figure, figure, type Result } from './bench.ts'
import { HOP_TENSOR_BYTES, writeHopModel } from './hop-model.ts'
import { infer, type ServeModel, type ServeSystem } from './serve-setup.ts'

const WARM_UP = 2000
const ROUNDS = 600
const MOST_RATIO = 1.15
const HOST = '127.0.0.1'
const LINK = { rttMs: 0.2, upMbps: 1000, downMbps: 1000 }
const LINK_NAME = 'emulated link of 1 Gbit/s, 0.2 ms'

/** Two resources with a deployment across them. */
interface Pair {
  name: string
  isSecure: boolean
  isLinked: boolean
}

const PAIRS: readonly Pair[] = [false, true].flatMap((isLinked) =>
  [false, true].map((isSecure) => ({
    name: `${isSecure ? 'secure' : 'plain'}${isLinked ? '-link' : ''}`,
    isSecure,
    isLinked,
  })),
)

export async function secure(serving: ServeSystem): Promise<Result> {
  const settings = await settingsOf(serving)
  const caller = new Caller(ownCredentials(await settings('client')))
  const stops: (() => Promise<unknown>)[] = []
  try {
    const model = await serving.upload('hop', writeHopModel)
    for (const pair of PAIRS) stops.push(await start(serving, pair, model, settings))
    const times = new Map<Pair, number[]>(PAIRS.map((pair) => [pair, []]))
    for (let round = -WARM_UP; round < ROUNDS; round += 1)
      for (const [pair, ms] of times) {
        const own = pair.isSecure ? caller : serving.caller
        const device = `${pair.name}-device`
        const url = `${serving.urlOf(device)}/v2/models/${pair.name}-hop/infer`
        const { parameters } = await infer(own, url, model.inputs, {}, device)
        const next = Number(parameters['scission_hop0_nextMs'])
        if (round >= 0) ms.push(next - Number(parameters['scission_hop1_computeMs']))
      }
    return { figures: [...figuresOf(times, false), ...figuresOf(times, true)], raw: [...times] }
  } finally {
    caller.close()
    for (const stop of stops) await stop()
  }
}

type SettingsOf = (name: string) => Promise<NodeJS.ProcessEnv>

/** @returns a function that ends the link. */
async function start(serving: ServeSystem, pair: Pair, model: ServeModel, settings: SettingsOf) {
  const device = `${pair.name}-device`
  const edge = `${pair.name}-edge`
  const secured = async (name: string) => (pair.isSecure ? await settings(name) : {})
  await serving.start(edge, { SCISSION_TIER: 'edge', ...(await secured(edge)) })
  const link = pair.isLinked ? await linkTo(edge, serving.urlOf(edge)) : undefined
  const routes = link?.routes ?? {}
  await serving.start(device, {
    SCISSION_TIER: 'device',
    SCISSION_ROUTES: JSON.stringify(routes),
    ...(await secured(device)),
  })
  const credentials = ownCredentials(await secured('client'))
  const count = model.structure.layers.length
  await serving.deploy(
    `${pair.name}-hop`,
    model,
    [
      [device, 0, 1],
      [edge, 1, count],
    ],
    { credentials },
  )
  return async () => link?.close()
}

async function linkTo(resource: string, url: string) {
  const { protocol, port } = new URL(url)
  const log = createLog('bench', 'error')
  const target = { host: HOST, port: Number(port) }
  const emulator = await startLinkEmulatorProcess(
    (options) => startProcess({ ...options, log }),
    [{ name: 'link', ...LINK, target }],
  )
  const routes = { [resource]: { url: `${protocol}//${HOST}:${emulator.ports['link']}`, emulation: LINK } }
  return { routes, close: emulator.close }
}

function figuresOf(times: ReadonlyMap<Pair, number[]>, isLinked: boolean): Figure[] {
  const of = (isSecure: boolean) =>
    [...times].find(([pair]) => pair.isSecure === isSecure && pair.isLinked === isLinked)?.[1] ?? []
  const plain = of(false)
  const secured = of(true)
  const ratio = median(secured.map((ms, round) => ms / (plain[round] ?? Number.NaN)))
  const where = isLinked ? LINK_NAME : 'nothing between'
  const name = `one hop with ${HOP_TENSOR_BYTES / 1e6} MB, ${where}, identities and TLS`
  const baseline = { name: 'without', value: median(plain) }
  return [
    figure(`${name}: to one without`, ratio, 'x', 'lower', MOST_RATIO),
    figure(name, median(secured), 'ms', 'lower', null, baseline),
  ]
}

/** @returns for the name of a service: its settings, with a certificate of that name. */
async function settingsOf({ folder, system }: ServeSystem): Promise<SettingsOf> {
  const authority = await makeAuthority('benchmark')
  const file = (name: string, text: string) => {
    const at = path.join(folder, name)
    writeFileSync(at, text, { mode: 0o600 })
    return at
  }
  const tlsCa = file('ca.pem', authority.certificate)
  return async (name) => {
    const { certificate, key } = await makeCertificate(authority, name, { hosts: [HOST], days: 1 })
    return {
      SCISSION_IDENTITY: 'always',
      SCISSION_SYSTEM_KEY_FILE: keyPathIn(system.dataDir),
      SCISSION_TLS_CERT: file(`${name}.pem`, certificate),
      SCISSION_TLS_KEY: file(`${name}.key`, key),
      SCISSION_TLS_CA: tlsCa,
    }
  }
}
