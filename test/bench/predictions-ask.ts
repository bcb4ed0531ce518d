/** Deployed plans, asked in turn for a while. */
import { Caller } from '../../services/inference/http/call.ts'
import type { Structure } from '../../shared/contracts/model.ts'
import type { Plan } from '../../shared/contracts/plan.ts'
import type { DeploymentView } from '../../shared/contracts/stand-in.ts'
import { messageHeaders } from '../../shared/oip/binary-message.ts'
import { writeInferRequest } from '../../shared/oip/request-message.ts'
import { parseInferResponse } from '../../shared/oip/response-message.ts'
import { makeInputs } from '../../shared/onnx/sample-inputs/sample-inputs.ts'

export interface Deployed {
  plan: Plan
  /** Layers of the first stage. */
  k: number
  /** Of the deployment. */
  name: string
  ask: () => Promise<Asked>
}

/** One answered request, in ms: from its arrival at the first machine to its answer, and CPU time of its stages. */
export interface Asked {
  totalMs: number
  cpuMs: number[]
  round: number
}

const TIMEOUT_MS = 60_000
/** Clients think between requests; without a pause a quota is never whole when one comes. */
const PAUSE_MS = 2

export function deployedAt(deployment: DeploymentView, plan: Plan, structure: Structure): Deployed {
  const caller = new Caller()
  const url = `${deployment.entry.url}/v2/models/${deployment.id}/infer`
  const inputs = makeInputs(structure.inputs, 1, structure.inputHints)
  const message = writeInferRequest({ inputs, parameters: { binary_data_output: true } })
  const ask = async (): Promise<Asked> => {
    const answer = await caller.send({
      method: 'POST',
      url,
      headers: messageHeaders(message),
      body: [message.json, ...message.binary],
      timeoutMs: TIMEOUT_MS,
      maxBytes: 2 ** 30,
    })
    if (answer.status !== 200)
      throw new Error(`${url}: ${answer.status} ${Buffer.from(answer.json).toString()}`)
    const { parameters } = parseInferResponse(answer.json, answer.tensors)
    const stages = plan.stages.map((_, at) => Number(parameters[`scission_hop${at}_cpuMs`] ?? 0))
    return { totalMs: Number(parameters.scission_totalMs), cpuMs: stages, round: 0 }
  }
  return { plan, k: plan.stages[0]?.to ?? 0, name: deployment.id, ask }
}

/** @returns by plan id. */
export async function askFor(deployed: readonly Deployed[], forMs: number): Promise<Map<string, Asked[]>> {
  const asked = new Map<string, Asked[]>(deployed.map(({ plan }) => [plan.id, []]))
  // The first request after a pause loads and warms up.
  for (const { ask } of deployed) await ask()
  const until = performance.now() + forMs
  for (let round = 0; performance.now() < until; round++) {
    for (const { plan, ask } of deployed) {
      asked.get(plan.id)?.push({ ...(await ask()), round })
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    }
  }
  return asked
}
