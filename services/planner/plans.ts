/** From a plan query to an answer: gathers the problem from the view, lets the optimiser solve it. */
import { NETWORK_PRESETS } from '../../shared/network-presets.ts'
import type { Model } from '../../shared/contracts/model.ts'
import type { Plan, PlanAnswer, PlanQuery } from '../../shared/contracts/plan.ts'
import type { Profile } from '../../shared/contracts/profile.ts'
import type { Link, Resource } from '../../shared/contracts/resource.ts'
import { ScissionError } from '../../shared/errors.ts'
import { resolveInputShapes } from '../../shared/onnx/declared.ts'
import { shapesKeyOf } from '../../shared/onnx/shapes-key.ts'
import { findModel, type State } from '../../shared/state.ts'
import { parsePlanId } from '../../shared/plan-id.ts'
import { withLiveness } from '../../shared/alive.ts'
import { evaluatePlan, optimise, type Problem } from './optimiser/index.ts'
import type { View } from './view.ts'

export interface PlannerParts {
  state: State
  view: View
  heartbeatMs: number
  now: () => number
}

export async function answerPlans(parts: PlannerParts, query: PlanQuery): Promise<PlanAnswer> {
  await parts.view.ready()
  const model = await findModel(parts.state, query.model)
  const shapesKey = query.inputShapes
    ? shapesKeyOf(resolveInputShapes(model.inputs, query.inputShapes))
    : needShapesKey(model)
  refuseLost(parts, [
    ...(query.source ? [query.source] : []),
    ...(query.mustUseResources ?? []),
    ...(query.mustUseTiers ?? []).flatMap((tier) => onlyLost(parts, tier)),
  ])
  const { problem, leftOut } = await gather(parts, model.id, shapesKey, query.network)
  const solved = optimise(problem, query)
  return {
    model: model.id,
    shapesKey: problem.structure.shapesKey,
    objective: query.objective,
    plans: solved.plans,
    native: solved.native,
    why: solved.why,
    considered: solved.considered,
    leftOut: [...leftOut, ...solved.leftOut],
    emulated: [...solved.plans, ...solved.native].some((plan) => plan.emulated),
    notes: notesOf(problem, query),
  }
}

/** The plan that an id names, at today's profiles and links. @throws ScissionError notFound, notMeasured. */
export async function planById(parts: PlannerParts, id: string): Promise<Plan> {
  await parts.view.ready()
  const named = parsePlanId(id)
  await findModel(parts.state, named.model).catch((error: unknown) => {
    throw new ScissionError(
      'notFound',
      `plan ${id}: its model is not registered`,
      { model: named.model },
      error,
    )
  })
  refuseLost(parts, [named.source, ...named.stages.map((stage) => stage.resource)])
  const { problem } = await gather(parts, named.model, named.shapesKey, undefined)
  return evaluatePlan(problem, named)
}

function needShapesKey(model: Model): string {
  if (model.shapesKey) return model.shapesKey
  const open = model.inputs.filter((input) => input.shape.some((dim) => typeof dim === 'string'))
  throw new ScissionError(
    'needsInputShapes',
    `model ${model.name} has open dimensions in ${open.map((input) => input.name).join(', ')}: give inputShapes (shapes=name:1x3x224x224 in a URL)`,
    {
      inputs: open,
    },
  )
}

/** @throws ScissionError conflict for a resource that is registered but has stopped sending heartbeats. */
function refuseLost(parts: PlannerParts, names: readonly string[]): void {
  for (const name of names) {
    const resource = parts.view.resources.get(name)
    if (!resource || withLiveness(resource, parts.heartbeatMs, parts.now()).alive) continue
    const message = `resource ${name} is down: no heartbeat since ${resource.heartbeatAt}; start it again or leave it out`
    throw new ScissionError('conflict', message, { resource: name })
  }
}

/** The resources of a tier when none of them is alive. */
function onlyLost(parts: PlannerParts, tier: string): string[] {
  const all = [...parts.view.resources.values()].filter((resource) => resource.tier === tier)
  const alive = all.some((resource) => withLiveness(resource, parts.heartbeatMs, parts.now()).alive)
  return alive ? [] : all.map((resource) => resource.name)
}

interface Gathered {
  problem: Problem
  leftOut: PlanAnswer['leftOut']
}

async function gather(
  parts: PlannerParts,
  model: string,
  shapesKey: string,
  network: PlanQuery['network'],
): Promise<Gathered> {
  const structure = await parts.view.structure(model, shapesKey)
  const now = parts.now()
  const views = [...parts.view.resources.values()].map((resource) =>
    withLiveness(resource, parts.heartbeatMs, now),
  )
  const leftOut = views
    .filter((resource) => !resource.alive)
    .map(({ name, heartbeatAt }) => ({ resource: name, reason: `no heartbeat since ${heartbeatAt}` }))
  const resources: Resource[] = views.filter((resource) => resource.alive)
  const profiles = [...parts.view.profiles.values()].filter((profile) =>
    isFor(profile, model, shapesKey, resources),
  )
  const measured = [...parts.view.links.values()]
  const links = network ? measured.map((link) => asPreset(link, network, resources)) : measured
  return { problem: { structure, resources, profiles, links }, leftOut }
}

/** A profile counts for the options its resource runs with now. */
function isFor(profile: Profile, model: string, shapesKey: string, resources: readonly Resource[]): boolean {
  if (profile.model !== model || profile.shapesKey !== shapesKey) return false
  const resource = resources.find((candidate) => candidate.name === profile.resource)
  if (!resource) return false
  const { threads, optimisation } = profile.options
  return threads === resource.options.threads && optimisation === resource.options.optimisation
}

/** What-if: links that leave the first tier get the preset's figures; those between the others stay as measured. */
function asPreset(
  link: Link,
  network: NonNullable<PlanQuery['network']>,
  resources: readonly Resource[],
): Link {
  const from = resources.find((resource) => resource.name === link.from)
  if (from?.tierIndex !== 0) return link
  const preset = NETWORK_PRESETS[network]
  return {
    ...link,
    rttMs: preset.rttMs,
    bandwidthMbps: preset.upMbps,
    returnBandwidthMbps: preset.downMbps,
    source: 'preset',
    emulated: true,
  }
}

function notesOf(problem: Problem, query: PlanQuery): string[] {
  const slowed = problem.resources.filter((resource) => resource.slowdown > 1)
  const emulatedLinks = problem.links.filter((link) => link.emulated && link.source === 'measured')
  return [
    ...(slowed.length > 0
      ? [
          `emulated speed: ${slowed.map((resource) => `${resource.name} runs ${resource.slowdown}x slower than this machine`).join(', ')}`,
        ]
      : []),
    ...(emulatedLinks.length > 0
      ? [`emulated links: ${emulatedLinks.map((link) => `${link.from} to ${link.to}`).join(', ')}`]
      : []),
    ...(query.network
      ? [`what-if: links from the first tier as the preset ${query.network}, not as measured`]
      : []),
  ]
}
