/**
 * Whether the machines of a plan would serve it, by the limits that they announced when they registered. Planning keeps to
 * them too; what is deployed may have been planned under other conditions, or before a limit was set.
 */
import type { Plan } from '../../../shared/contracts/plan.ts'
import { MESSAGE_JSON_BYTES, type Resource } from '../../../shared/contracts/resource.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'

/** The settings of an inference service by which it limits what it serves. */
const SETTINGS = {
  messageBytes: 'SCISSION_BODY_MEMORY_BYTES',
  stageBytes: 'SCISSION_TRIAL_MEMORY_BYTES',
  hopTimeoutMs: 'SCISSION_HOP_TIMEOUT_MS',
} as const

interface Demand {
  resource: string
  setting: keyof typeof SETTINGS
  /** What the plan needs, in the unit of the setting. */
  needed: number
  /** Names the part of the plan. */
  what: string
  boundary?: number
}

/**
 * @param inputBytes of a request. @param resources by name; one without limits refuses nothing.
 * @throws ScissionError conflict, which names the boundary or the stage, what it needs, the limit and the machine.
 */
export function refuseUnservable(
  plan: Plan,
  inputBytes: number,
  resources: ReadonlyMap<string, Pick<Resource, 'limits'>>,
): void {
  for (const { resource, setting, needed, what, boundary } of demandsOf(plan, inputBytes)) {
    const limit = resources.get(resource)?.limits?.[setting]
    if (limit === undefined || needed <= limit) continue
    const unit = setting === 'hopTimeoutMs' ? 'ms' : 'bytes'
    throw new ScissionError(
      'conflict',
      `plan ${plan.id} cannot be served: ${what} needs ${Math.ceil(needed)} ${unit}, ${resource} allows ${limit} ` +
        `(${SETTINGS[setting]}): raise it there and start ${resource} again, or plan again`,
      {
        resource,
        setting: SETTINGS[setting],
        limit,
        needed: Math.ceil(needed),
        ...(boundary !== undefined && { boundary }),
      },
    )
  }
}

function demandsOf({ stages, transfers, source }: Plan, inputBytes: number): Demand[] {
  const entry: Demand = {
    resource: source,
    setting: 'messageBytes',
    needed: inputBytes + MESSAGE_JSON_BYTES,
    what: `a request, whose tensors have ${inputBytes} bytes,`,
    boundary: 0,
  }
  const loads = stages.map(
    ({ resource, from, to, memoryBytes }): Demand => ({
      resource,
      setting: 'stageBytes',
      needed: memoryBytes,
      what: `the stage of layers ${from}-${to}`,
    }),
  )
  return [entry, ...loads, ...transfers.flatMap((_, at) => crossingDemands(stages, transfers, at))]
}

function crossingDemands(stages: Plan['stages'], transfers: Plan['transfers'], at: number): Demand[] {
  const { from, to, boundary, bytes, returnBytes } = transfers[at]!
  const behind = transfers.slice(at)
  const first = stages.findIndex(({ resource }) => resource === to)
  const silentMs =
    behind.reduce((total, { ms, decodeMs }) => total + ms + decodeMs, 0) +
    stages.slice(first).reduce((total, { computeMs }) => total + computeMs, 0)
  const crossing = `boundary ${boundary} between ${from} and ${to}`
  return [
    {
      resource: to,
      setting: 'messageBytes',
      needed: bytes + MESSAGE_JSON_BYTES,
      what: `${crossing}, whose tensors have ${bytes} bytes,`,
      boundary,
    },
    {
      resource: from,
      setting: 'messageBytes',
      needed: returnBytes + MESSAGE_JSON_BYTES,
      what: `the answer of ${to} to ${from}, whose tensors have ${returnBytes} bytes,`,
      boundary,
    },
    {
      resource: from,
      setting: 'hopTimeoutMs',
      needed: silentMs,
      what: `what is behind ${crossing}`,
      boundary,
    },
  ]
}
