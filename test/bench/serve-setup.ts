/**
 * A system for the serving benchmarks: three resources on this machine, no emulation, nothing between them, and links
 * that are measured once and then left alone.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type ManagedProcess, startProcess } from '../../infra/start/processes/process.ts'
import type { System } from '../../infra/start/system.ts'
import { Caller } from '../../services/inference/http/call.ts'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { createJsonClient } from '../../shared/client/http.ts'
import type { Structure } from '../../shared/contracts/model.ts'
import { type Credentials, shownTo } from '../../shared/platform/credentials.ts'
import { createLog } from '../../shared/platform/log.ts'
import { messageHeaders } from '../../shared/oip/binary-message.ts'
import { writeInferRequest } from '../../shared/oip/request-message.ts'
import { type InferResponse, parseInferResponse } from '../../shared/oip/response-message.ts'
import { makeInputs } from '../../shared/onnx/sample-inputs/sample-inputs.ts'
import { producerConnection } from '../../shared/platform/redis/connections.ts'
import { openState, type State } from '../../shared/platform/redis/state.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { exampleDeployment, hop } from '../support/fixtures.ts'
import { kill } from '../support/kill.ts'
import { startThisMachine } from './this-machine.ts'

const SERVICE = new URL('../../services/inference/main.ts', import.meta.url)
const SETTINGS = { SCISSION_PORT: '0', SCISSION_THREADS: '1', SCISSION_LINK_INTERVAL_MS: '86400000' }
const placeOf = (name: string) => ({ SCISSION_RESOURCE: name, SCISSION_TIER: name })
const common = ({ redis, benchmarkUrl }: System, dataDir: string) => ({
  REDIS_URL: redis.url,
  SCISSION_DATA: dataDir,
  SCISSION_TIERS: TIERS.join(),
  SCISSION_BENCHMARK_URL: benchmarkUrl,
  SCISSION_LOG_LEVEL: 'error',
})

export type Hop = [resource: string, from: number, to: number]

export const TIERS = ['device', 'edge', 'cloud']

export interface ServeModel {
  id: string
  file: string
  structure: Structure
  inputs: Tensor[]
}

interface DeployOptions {
  fallback?: 'native' | 'none'
  /** Shown to the resources. */
  credentials?: Credentials
}

export interface ServeSystem {
  folder: string
  system: System
  state: State
  caller: Caller
  urlOf: (resource: string) => string
  pidOf: (resource: string) => number
  /** Starts a resource, or starts it again. @param env beyond that of all: its tier is named as it is itself. */
  start: (resource: string, env?: NodeJS.ProcessEnv) => Promise<void>
  kill: (resource: string) => Promise<void>
  upload: (name: string, write: (file: string) => Promise<unknown>) => Promise<ServeModel>
  deploy: (id: string, model: ServeModel, hops: Hop[], options?: DeployOptions) => Promise<void>
  infer: (resource: string, model: string, inputs: readonly Tensor[]) => Promise<InferResponse>
  close: () => Promise<void>
}

export async function startServeSystem(tiers: readonly string[] = TIERS): Promise<ServeSystem> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-bench-'))
  const log = createLog('bench', 'error')
  const dataDir = path.join(folder, 'data')
  // A testbed joins its resources by emulated links: so it has one, which is not used, and the others start beside it.
  const system = await startThisMachine(folder, ['spare'], TIERS)
  const state = openState(producerConnection(system.redis.url, log))
  const benchmark = createBenchmarkClient(system.benchmarkUrl)
  const caller = new Caller()
  const running = new Map<string, ManagedProcess>()
  const start = async (name: string, more: NodeJS.ProcessEnv = {}) => {
    const env = { ...SETTINGS, ...placeOf(name), ...common(system, dataDir), ...more }
    running.set(name, await startProcess({ name, entry: SERVICE, env, log }))
  }
  for (const tier of tiers) await start(tier)
  const urlOf = (name: string) => running.get(name)?.url ?? ''
  return {
    folder,
    system,
    state,
    caller,
    urlOf,
    start,
    async kill(name) {
      const resource = running.get(name)
      kill(resource ?? {})
      await resource?.exited
    },
    pidOf: (name) => running.get(name)?.pid ?? 0,
    async upload(name, write) {
      const file = path.join(folder, `${name}.onnx`)
      await write(file)
      const { id } = await benchmark.uploadModel(file, name)
      const structure = await benchmark.structure(id)
      return { id, file, structure, inputs: makeInputs(structure.inputs, 1) }
    },
    deploy: (id, model, hops, options) => deploy(state, urlOf, id, model, hops, options),
    infer: (resource, model, inputs) => infer(caller, `${urlOf(resource)}/v2/models/${model}/infer`, inputs),
    async close() {
      caller.close()
      state.redis.disconnect()
      await Promise.all([...running.values()].map((one) => one.stop()))
      await system.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** As the planner does it, without asking for profiles first. */
async function deploy(
  state: State,
  urlOf: (resource: string) => string,
  id: string,
  { id: model, structure }: ServeModel,
  hops: Hop[],
  { fallback = 'none', credentials }: DeployOptions = {},
): Promise<void> {
  const entry = hops[0]?.[0] ?? ''
  const deployment = exampleDeployment(
    id,
    hops.map(([resource, from, to]) => hop(resource, from, to)),
    { model, shapesKey: structure.shapesKey, entry: { resource: entry, url: urlOf(entry) }, fallback },
  )
  await state.deployments.put(id, deployment)
  for (const [resource] of hops) {
    const peer = createJsonClient(
      `resource ${resource}`,
      urlOf(resource),
      undefined,
      shownTo(resource, credentials),
    )
    await peer.send({ method: 'PUT', url: `/v1/deployments/${id}`, data: deployment })
  }
}

export async function infer(
  caller: Caller,
  url: string,
  inputs: readonly Tensor[],
  parameters: Record<string, string | number | boolean> = {},
  to?: string,
): Promise<InferResponse> {
  const message = writeInferRequest({ inputs, parameters: { binary_data_output: true, ...parameters } })
  const answer = await caller.send({
    method: 'POST',
    url,
    to,
    headers: messageHeaders(message),
    body: [message.json, ...message.binary],
    timeoutMs: 60_000,
    maxBytes: 1e9,
  })
  if (answer.status !== 200)
    throw new Error(`${url}: ${answer.status} ${Buffer.from(answer.json).toString()}`)
  return parseInferResponse(answer.json, answer.tensors)
}

/** The single-tensor clean cut at which a share of the multiply-accumulates lies nearest to `share`. */
export function cutAt(structure: Structure, share: number): number {
  const macs = structure.layers.map((layer) => layer.macs ?? 0)
  const total = macs.reduce((sum, one) => sum + one, 0)
  let best = 0
  let distance = Infinity
  let before = 0
  for (const boundary of structure.boundaries) {
    if (boundary.single && boundary.clean && boundary.k > 0 && boundary.k < macs.length) {
      const gap = Math.abs(before / total - share)
      if (gap < distance) [best, distance] = [boundary.k, gap]
    }
    before += macs[boundary.k] ?? 0
  }
  return best
}
