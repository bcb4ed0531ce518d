/** How the folders may depend on each other. A failure names the import to look at. */
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import type { Sources } from './import-graph.ts'
import {
  doesNotLoad,
  folderCycles,
  keepsOutOf,
  namesAlike,
  needlessExceptions,
  onlyThroughDoor,
  type Purity,
  servicesApart,
  staysPure,
  valueCycles,
} from './rules.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

function readSources(): Sources {
  const files = ['services', 'shared', 'infra'].flatMap((folder) =>
    readdirSync(path.join(ROOT, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.(ts|mjs)$/.test(entry.name))
      .map((entry) => path.relative(ROOT, path.join(entry.parentPath, entry.name)).replaceAll('\\', '/')),
  )
  return new Map(files.sort().map((file) => [file, readFileSync(path.join(ROOT, file), 'utf8')]))
}

/** Parts of Node that files are read and named with, and digests of them. */
const FILES = ['node:fs', 'node:fs/promises', 'node:path', 'node:os', 'node:crypto', 'node:url']

const PURE: Record<string, Purity> = {
  'shared/planning': {},
  'shared/contracts': {},
  'shared/codec': {},
  'shared/onnx': {
    allowedBuiltins: FILES,
    exceptions: {
      'shared/platform/processes/limited-child.ts':
        'a hostile model may take down the process that analyses it, so this one is started for it',
    },
  },
}

const sources = readSources()

/** A rule on a folder that is not there would hold whatever the code does. */
function expectFolder(folder: string): void {
  const files = [...sources.keys()].filter((file) => file.startsWith(`${folder}/`))
  expect(files.length, `files in ${folder}`).toBeGreaterThan(1)
}

describe('the imports of the product', () => {
  it('are read', () => {
    expect(sources.size).toBeGreaterThan(300)
  })

  it('form no cycle of values', () => {
    expect(valueCycles(sources)).toEqual([])
  })

  it('form no cycle between the folders of shared/planning, types included', () => {
    expectFolder('shared/planning')
    expect(folderCycles(sources, 'shared/planning')).toEqual([])
  })

  it.each(['shared/onnx', 'shared/platform', 'services/inference/jobs'])(
    'form no cycle between the folders of %s, types included',
    (folder) => {
      expectFolder(folder)
      expect(folderCycles(sources, folder)).toEqual([])
    },
  )

  it('enter shared/planning through its index.ts only', () => {
    expectFolder('shared/planning')
    expect(onlyThroughDoor(sources, 'shared/planning')).toEqual([])
  })

  it('lead from no service to another', () => {
    expect(servicesApart(sources)).toEqual([])
  })

  it('lead from infra/ to no service', () => {
    expect(keepsOutOf(sources, 'infra', 'services')).toEqual([])
  })

  it('lead from shared/ to no service and not to infra/', () => {
    expect(keepsOutOf(sources, 'shared', 'services')).toEqual([])
    expect(keepsOutOf(sources, 'shared', 'infra')).toEqual([])
  })

  it.each(Object.entries(PURE))('of %s need neither Node nor Redis nor Express', (folder, purity) => {
    expectFolder(folder)
    expect(staysPure(sources, folder, purity)).toEqual([])
    expect(needlessExceptions(sources, folder, purity)).toEqual([])
  })
})

describe('a service that serves', () => {
  it('loads neither the analyser of models nor ONNX Runtime, which its threads load', () => {
    expect(
      doesNotLoad(sources, 'services/inference/main.ts', ['@bufbuild/protobuf', 'onnxruntime-node']),
    ).toEqual([])
  })
})

describe('the process that measures a model', () => {
  it('starts quickly: it loads no schema library', () => {
    const job = 'services/inference/jobs/profiler/measure-model-job.ts'
    // Codecs are measured once per service, and loaded then only.
    const always = doesNotLoad(sources, job, ['zod']).filter((chain) => !chain.includes('codec-speed.ts'))
    expect(always).toEqual([])
  })
})

describe('the files of the product', () => {
  it('have names that tell them apart without their folders', () => {
    expect(namesAlike(sources)).toEqual([])
  })
})
