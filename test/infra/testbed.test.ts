import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadTestbed } from '../../infra/testbed/testbed.ts'
import { LinkEmulation } from '../../shared/contracts/resource.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { NETWORK_NAMES, NETWORK_PRESETS } from '../../shared/contracts/network-presets.ts'
import { withFolder } from '../support/folder.ts'

const folder = withFolder('testbed')

function fileOf(content: unknown): string {
  const file = path.join(folder(), 'testbed.json')
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
  return file
}

const two = {
  tiers: ['device', 'cloud'],
  resources: [
    { name: 'phone', tier: 'device', slowdown: 3 },
    { name: 'server', tier: 'cloud', threads: 2 },
  ],
  links: [{ from: 'phone', to: 'server', rttMs: 30, upMbps: 5, downMbps: 12 }],
}

describe('the default testbed', () => {
  it('has a slow device behind Wi-Fi, an edge, and a cloud 20 ms beyond it', () => {
    const { tiers, resources, links } = loadTestbed()
    expect(tiers).toEqual(['device', 'edge', 'cloud'])
    expect(resources.map(({ name, slowdown }) => [name, slowdown])).toEqual([
      ['device', 25],
      ['edge', 2],
      ['cloud', 1],
    ])
    expect(links).toEqual([
      { from: 'device', to: 'edge', preset: 'wifi', rttMs: 10, upMbps: 18.88, downMbps: 18.88 },
      {
        from: 'device',
        to: 'cloud',
        preset: 'wifi',
        rttMs: 30,
        extraRttMs: 20,
        upMbps: 18.88,
        downMbps: 18.88,
      },
      { from: 'edge', to: 'cloud', rttMs: 20, upMbps: 50, downMbps: 50 },
    ])
  })

  it.each(NETWORK_NAMES)('with --network %s changes only the links of the device', (network) => {
    const links = loadTestbed(undefined, { network }).links
    const preset = NETWORK_PRESETS[network]
    expect(links.map(({ preset }) => preset)).toEqual([network, network, undefined])
    expect(links.map(({ rttMs }) => rttMs)).toEqual([preset.rttMs, preset.rttMs + 20, 20])
    expect(links.map(({ upMbps }) => upMbps)).toEqual([preset.upMbps, preset.upMbps, 50])
    for (const link of links) expect(LinkEmulation.safeParse(link).success).toBe(true)
  })
})

describe('a testbed file', () => {
  it('may have any tiers and give a link by its figures', () => {
    const { resources, links } = loadTestbed(fileOf(two))
    expect(resources[0]).toEqual({ name: 'phone', tier: 'device', slowdown: 3, threads: 1 })
    expect(resources[1]).toEqual({ name: 'server', tier: 'cloud', slowdown: 1, threads: 2 })
    expect(links).toEqual([{ from: 'phone', to: 'server', rttMs: 30, upMbps: 5, downMbps: 12 }])
  })

  it('may have one machine and no link', () => {
    const alone = { tiers: ['device'], resources: [{ name: 'phone', tier: 'device' }] }
    expect(loadTestbed(fileOf(alone)).links).toEqual([])
  })

  it('gets its figures replaced by --network where the link starts in the first tier', () => {
    const [link] = loadTestbed(fileOf(two), { network: '3g' }).links
    expect(link).toMatchObject({ preset: '3g', rttMs: 66.7, upMbps: 1.6 })
  })

  const [phone, server] = two.resources
  const [link] = two.links
  it.each([
    ['is not JSON', '{', /cannot be read/],
    ['lacks resources', { tiers: ['a'] }, /resources: /],
    ['has an unknown field', { ...two, colour: 'red' }, /there is no field "colour"/],
    ['has a wrong name', { ...two, resources: [{ ...phone, name: 'My Phone' }] }, /resources\[0\]\.name: /],
    ['slows down by less than 1', { ...two, resources: [{ ...phone, slowdown: 0.5 }] }, /\[0\]\.slowdown: /],
    [
      'has an unknown tier',
      { ...two, resources: [{ ...phone, tier: 'fog' }, server] },
      /resources\[0\]\.tier: .*"fog"/,
    ],
    ['has a tier twice', { ...two, tiers: ['device', 'cloud', 'cloud'] }, /tiers: "cloud" is there twice/],
    [
      'has two resources of one name',
      { ...two, resources: [phone, server, phone] },
      /two are called "phone"/,
    ],
    ['has a link twice', { ...two, links: [link, link] }, /phone → server is there twice/],
    ['lacks a link', { ...two, links: [] }, /phone → server is missing/],
    [
      'links an unknown resource',
      { ...two, links: [{ ...link, to: 'moon' }] },
      /links\[0\]\.to: .*"moon"; known: phone/,
    ],
    ['links backwards', { ...two, links: [{ ...link, from: 'server', to: 'phone' }] }, /only moves forward/],
    [
      'has a link without figures',
      { ...two, links: [{ from: 'phone', to: 'server', rttMs: 1 }] },
      /links\[0\]: give a preset/,
    ],
    ['has a preset and figures', { ...two, links: [{ ...link, preset: '4g' }] }, /not both/],
    [
      'has an unknown preset',
      { ...two, links: [{ from: 'phone', to: 'server', preset: '5g' }] },
      /links\[0\]\.preset: /,
    ],
    ['has no bandwidth', { ...two, links: [{ ...link, upMbps: 0 }] }, /links\[0\]\.upMbps: /],
  ])('that %s is refused with the field named', (_what, content, message) => {
    const load = () => loadTestbed(fileOf(content))
    expect(load).toThrow(ScissionError)
    expect(load).toThrow(message)
  })

  it('with a resource that would share the folder of the models is refused', () => {
    const [phone, server] = two.resources
    const named = { ...two, resources: [phone, { ...server, name: 'models' }] }
    expect(() => loadTestbed(fileOf(named))).toThrow(/resources\[1\]\.name: models is the name of a service/)
  })

  it('that does not exist is refused with its name', () => {
    expect(() => loadTestbed(path.join(folder(), 'none.json'))).toThrow(/none\.json cannot be read/)
  })
})
