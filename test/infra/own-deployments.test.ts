/** What an experiment has deployed: noted before it is made, taken down by whoever finds it, and told from that of others. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, it } from 'vitest'
import { DEPLOYMENTS_FILE, OwnDeployments } from '../../infra/experiment/own-deployments.ts'
import type { DeploymentView } from '../../shared/contracts/stand-in.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { withFolder } from '../support/folder.ts'

const root = withFolder('own-deployments')
const AT = '2026-01-01T00:00:00.000Z'
const LATER = '2026-01-01T00:00:01.000Z'

function newPlace(name: string) {
  const folder = path.join(root(), name)
  mkdirSync(folder)
  const notes = () =>
    JSON.parse(readFileSync(path.join(folder, DEPLOYMENTS_FILE), 'utf8')) as { name: string }[]
  return { folder, lock: { assertHeld: () => undefined }, notes }
}

/** A planner with the deployments of a map: name → plan and time. */
function plannerWith(there: Map<string, { planId: string; createdAt: string }>, baseUrl = 'http://planner') {
  const need = async (name: string) => {
    const found = there.get(name)
    if (!found) throw new ScissionError('notFound', `there is no ${name}`)
    return Promise.resolve({ id: name, ...found } as unknown as DeploymentView)
  }
  const undeploy = async (name: string) => {
    await need(name)
    there.delete(name)
  }
  return { baseUrl, deployment: need, undeploy }
}

it('a name is on record before anything is made under it, and one that is there is not taken', async () => {
  const place = newPlace('noted')
  const asked: string[] = []
  const planner = plannerWith(new Map())
  const own = await OwnDeployments.open(
    {
      ...planner,
      deployment: (name) => {
        asked.push(name)
        // The first name is somebody's already.
        return asked.length === 1
          ? Promise.resolve({ id: name, planId: 'theirs', createdAt: AT } as unknown as DeploymentView)
          : planner.deployment(name)
      },
    },
    place,
  )
  const name = await own.name('plan')
  expect(asked).toEqual([expect.stringMatching(/^experiment-[0-9a-f]{16}$/), name])
  expect(place.notes()).toEqual([{ name, plan: 'plan', planner: 'http://planner' }])
  await own.made({ id: name, createdAt: AT })
  expect(place.notes()).toEqual([{ name, plan: 'plan', planner: 'http://planner', createdAt: AT }])
})

it('the next run takes down what is the experiment’s, whether or not it learnt that it was made', async () => {
  const place = newPlace('left')
  const first = await OwnDeployments.open(plannerWith(new Map()), place)
  const [known, unknown, never] = [await first.name('p'), await first.name('p'), await first.name('p')]
  await first.made({ id: known, createdAt: AT })
  const there = new Map([known, unknown, 'others'].map((name) => [name, { planId: 'p', createdAt: AT }]))
  const said: string[] = []
  const next = await OwnDeployments.open(plannerWith(there), place)
  expect(await next.takeDown((text) => void said.push(text))).toBeUndefined()
  expect([...there.keys()]).toEqual(['others'])
  expect(said).toEqual([
    `${known}, which an earlier run left, is taken down`,
    `${unknown}, which an earlier run left, is taken down`,
    `${never}, which an earlier run noted, is gone`,
  ])
  expect(existsSync(path.join(place.folder, DEPLOYMENTS_FILE))).toBe(false)
})

it.each([
  ['of another plan', { planId: 'q', createdAt: AT }],
  ['of another time', { planId: 'p', createdAt: LATER }],
])('a deployment of the name %s is left alone', async (kind, theirs) => {
  const place = newPlace(kind)
  const there = new Map<string, { planId: string; createdAt: string }>()
  const own = await OwnDeployments.open(plannerWith(there), place)
  const name = await own.name('p')
  await own.made({ id: name, createdAt: AT })
  there.set(name, theirs)
  const said: string[] = []
  expect(await own.takeDown((text) => void said.push(text))).toBeUndefined()
  expect([...there.keys()]).toEqual([name])
  expect(said).toEqual([expect.stringMatching(/another deployment has its name now, and is left alone/)])
})

it('what cannot be taken down stays on record', async () => {
  const place = newPlace('stuck')
  const there = new Map<string, { planId: string; createdAt: string }>()
  const own = await OwnDeployments.open(
    {
      ...plannerWith(there),
      undeploy: () => Promise.reject(new ScissionError('queueUnavailable', 'no Redis')),
    },
    place,
  )
  const [stuck, gone] = [await own.name('p'), await own.name('p')]
  there.set(stuck, { planId: 'p', createdAt: AT })
  expect(await own.takeDown()).toMatchObject({
    code: 'conflict',
    message: `take these down yourself (scission undeploy): ${stuck}: no Redis`,
  })
  expect(place.notes().map(({ name }) => name)).toEqual([stuck])
  expect(gone).not.toBe(stuck)
})

it('what was made in another system is named with its planner', async () => {
  const place = newPlace('elsewhere')
  const first = await OwnDeployments.open(plannerWith(new Map(), 'http://user:secret@lab:8082'), place)
  const name = await first.name('p')
  const said: string[] = []
  const next = await OwnDeployments.open(plannerWith(new Map()), place)
  await next.takeDown((text) => void said.push(text))
  expect(said).toEqual([
    expect.stringMatching(new RegExp(`^${name} was made at http://user:\\*\\*\\*@lab:8082`)),
  ])
})

it('a damaged record is named, and so is what to do', async () => {
  const place = newPlace('damaged')
  writeFileSync(path.join(place.folder, DEPLOYMENTS_FILE), '[{}]')
  await expect(OwnDeployments.open(plannerWith(new Map()), place)).rejects.toThrow(
    /^output: .*damaged: deployments\.json: .*name.*scission undeploy/,
  )
})
