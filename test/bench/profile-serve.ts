/**
 * The truth: two inference services and HTTP between them on this machine. A model is deployed at each cut, a dummy of
 * the same bytes beside it (profile-hop.ts), and both are asked in interleaved rounds.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { Caller } from '../../services/inference/http/call.ts'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import type { Structure } from '../../shared/contracts/model.ts'
import { messageHeaders } from '../../shared/oip/binary-message.ts'
import { writeInferRequest } from '../../shared/oip/request-message.ts'
import { parseInferResponse } from '../../shared/oip/response-message.ts'
import { makeInputs } from '../../shared/onnx/sample-inputs/sample-inputs.ts'
import { createLog } from '../../shared/platform/log.ts'
import { producerConnection } from '../../shared/platform/redis/connections.ts'
import { openState, type State } from '../../shared/platform/redis/state.ts'
import { exampleDeployment, hop } from '../support/fixtures.ts'
import { startThisMachine } from './this-machine.ts'

/** One answered request, as the client and the services saw it: ms. The suffix of a whole model is 0. */
export interface Sample {
  endToEndMs: number
  /** Wall time of the stages alone, as their executors reported it. */
  prefixMs: number
  suffixMs: number
  /** CPU time of both. */
  cpuMs: number
}

export interface Deployed {
  ask: () => Promise<Sample>
  release: () => Promise<void>
}

export interface TwoServices {
  folder: string
  upload: (name: string, file: string, shapes?: Structure['inputShapes']) => Promise<Structure>
  /** @param k the cut; the number of layers for the whole model on one service. */
  deploy: (structure: Structure, k: number) => Promise<Deployed>
  close: () => Promise<void>
}

const NAMES = ['device', 'edge'] as const
const TIMEOUT_MS = 60_000

export async function startTwoServices(): Promise<TwoServices> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-bench-'))
  const system = await startThisMachine(folder, NAMES, NAMES)
  const state = openState(producerConnection(system.redis.url, createLog('bench', 'error')))
  const benchmark = createBenchmarkClient(system.benchmarkUrl)
  const urls = new Map(system.resources.map(({ name, url }) => [name, url]))
  const caller = new Caller()
  return {
    folder,
    upload: async (name, file, shapes) => {
      const { id } = await benchmark.uploadModel(file, name)
      return benchmark.structure(id, shapes)
    },
    deploy: (structure, k) => deploy({ caller, state, urls }, structure, k),
    close: async () => {
      caller.close()
      state.redis.disconnect()
      await system.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

let deployments = 0

async function deploy(
  { caller, state, urls }: { caller: Caller; state: State; urls: ReadonlyMap<string, string> },
  structure: Structure,
  k: number,
): Promise<Deployed> {
  deployments += 1
  const id = `bench${deployments}`
  const last = structure.layers.length
  const entry = urls.get('device') ?? ''
  const hops = [hop('device', 0, k), ...(k < last ? [hop('edge', k, last)] : [])]
  const { model, shapesKey } = structure
  const record = exampleDeployment(id, hops, { model, shapesKey, entry: { resource: 'device', url: entry } })
  const names = k < last ? NAMES : NAMES.slice(0, 1)
  await state.deployments.put(id, record)
  for (const name of names) await tell(`${urls.get(name)}/v1/deployments/${id}`, 'PUT', record)
  const inputs = makeInputs(structure.inputs, 1, structure.inputHints)
  const message = writeInferRequest({ inputs, parameters: { binary_data_output: true } })
  return {
    ask: () => ask(caller, `${entry}/v2/models/${id}/infer`, message),
    release: async () => {
      await state.deployments.delete(id)
      for (const name of names) await tell(`${urls.get(name)}/v1/deployments/${id}`, 'DELETE')
    },
  }
}

async function ask(
  caller: Caller,
  url: string,
  message: ReturnType<typeof writeInferRequest>,
): Promise<Sample> {
  const before = performance.now()
  const answer = await caller.send({
    method: 'POST',
    url,
    headers: messageHeaders(message),
    body: [message.json, ...message.binary],
    timeoutMs: TIMEOUT_MS,
    maxBytes: 2 ** 30,
  })
  const endToEndMs = performance.now() - before
  if (answer.status !== 200)
    throw new Error(`${url}: ${answer.status} ${Buffer.from(answer.json).toString()}`)
  const { parameters } = parseInferResponse(answer.json, answer.tensors)
  const figure = (hop: number, name: string) => Number(parameters[`scission_hop${hop}_${name}`] ?? 0)
  return {
    endToEndMs,
    prefixMs: figure(0, 'computeMs'),
    suffixMs: figure(1, 'computeMs'),
    cpuMs: figure(0, 'cpuMs') + figure(1, 'cpuMs'),
  }
}

async function tell(url: string, method: 'PUT' | 'DELETE', body?: unknown): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(url, {
    method,
    ...(body !== undefined && { headers, body: JSON.stringify(body) }),
  })
  if (!answer.ok) throw new Error(`${method} ${url}: ${answer.status} ${await answer.text()}`)
}
