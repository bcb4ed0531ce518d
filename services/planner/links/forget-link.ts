/** Deletes the override of a link. What is measured beneath holds with the same write, so that no plan misses the link. */
import { withoutOverride } from '../../../shared/contracts/link-override.ts'
import { type ForgottenLink, isAlive, type Link, type Resource } from '../../../shared/contracts/resource.ts'
import { linkId } from '../../../shared/platform/redis/state.ts'
import type { PlannerDeps } from '../queries/answer-plans.ts'

type Ends = Pick<Link, 'from' | 'to'>

/**
 * Asked twice, or by two clients at once, it does no more than once: what is measured stays.
 * @param all true to forget what was measured or imported too. @throws ScissionError notFound if there is no such link.
 */
export async function forgetLink(deps: PlannerDeps, ends: Ends, all: boolean): Promise<ForgottenLink> {
  const { links } = deps.state
  const id = linkId(ends.from, ends.to)
  let before: Link | undefined
  const link = all
    ? undefined
    : await links.update(id, (current) => {
        before = current
        return current && withoutOverride(current)
      })
  if (link) return { link, note: `${nameOf(ends)} ${heldText(link, before?.source === 'override')}` }
  // Also where it is gone already: no service that knows it may write it back to a Redis that has lost it.
  if (!(await links.delete(id)) && !before) await links.need(id)
  return { note: `${nameOf(ends)} is not known now: ${await whoMeasures(deps, ends)}` }
}

const nameOf = ({ from, to }: Ends): string => `the link ${from} → ${to}`

function heldText({ source, measuredAt }: Link, wasOverridden: boolean): string {
  const figures = `as ${source} at ${measuredAt}`
  return wasOverridden
    ? `is ${figures} again`
    : `was not overridden: it stays ${figures}. With all=true that is forgotten too`
}

async function whoMeasures({ state, heartbeatMs, now }: PlannerDeps, { from, to }: Ends): Promise<string> {
  const [first, second] = await Promise.all([state.resources.find(from), state.resources.find(to)])
  const isService = (resource: Resource | undefined) => resource && resource.source !== 'imported'
  if (!isService(first) || !isService(second))
    return 'nobody measures it, because not both of its machines run a service. Import its figures, or set them'
  const lost = [first, second].filter((resource) => resource && !isAlive(resource, heartbeatMs, now()))
  if (lost.length > 0)
    return `${from} measures it once ${lost.map((resource) => resource?.name).join(' and ')} can be reached again`
  return `${from} measures it now, which takes some seconds; plans do without it until then`
}
