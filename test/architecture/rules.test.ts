/** The rules themselves, on small sources that break each. */
import { describe, expect, it } from 'vitest'
import { importsOf } from './import-graph.ts'
import {
  doesNotLoad,
  folderCycles,
  keepsOutOf,
  namesAlike,
  needlessExceptions,
  onlyThroughDoor,
  servicesApart,
  staysPure,
  valueCycles,
} from './rules.ts'

const sources = (files: Record<string, string>) => new Map(Object.entries(files))

describe('imports', () => {
  const read = (text: string) =>
    importsOf(sources({ 'shared/a/one.ts': text })).map(({ to, isType }) => `${isType ? 'type ' : ''}${to}`)

  it('are found in every form', () => {
    expect(read("import fs from 'node:fs'\nimport { a } from './two.ts'\nimport '../b/three.ts'\n")).toEqual([
      'node:fs',
      'shared/a/two.ts',
      'shared/b/three.ts',
    ])
    expect(read("import {\n  a,\n  b as c,\n} from './two.ts'\nexport * from './three.ts'\n")).toEqual([
      'shared/a/two.ts',
      'shared/a/three.ts',
    ])
    expect(read("const later = async () => (await import('./two.ts')).a\n")).toEqual(['shared/a/two.ts'])
    expect(read("import a, { type B } from './two.ts'\nimport * as c from './three.ts'\n")).toEqual([
      'shared/a/two.ts',
      'shared/a/three.ts',
    ])
  })

  it('of types are told from those of values', () => {
    expect(read("import type { A } from './two.ts'\nexport type { B } from './two.ts'\n")).toEqual([
      'type shared/a/two.ts',
      'type shared/a/two.ts',
    ])
    // Of the first `import {}` is left, which loads the module.
    expect(read("import { type A, type B } from './two.ts'\nimport { type C, d } from './two.ts'\n")).toEqual(
      ['shared/a/two.ts', 'shared/a/two.ts'],
    )
  })

  it('in comments and texts are none', () => {
    expect(
      read("/*\nimport { a } from './two.ts'\n*/\n// import('./two.ts')\nconst a = \"from './two.ts'\"\n"),
    ).toEqual([])
    expect(read("const url = 'https://example.org'; const later = import('./two.ts')\n")).toEqual([
      'shared/a/two.ts',
    ])
  })
})

describe('the rule', () => {
  it('against cycles of values names the way round, and lets types pass', () => {
    const cycle = {
      'shared/a.ts': "import { b } from './b.ts'\n",
      'shared/b.ts': "export { c } from './c.ts'\n",
      'shared/c.ts': "import { a } from './a.ts'\n",
    }
    expect(valueCycles(sources(cycle))).toEqual(['shared/a.ts -> shared/b.ts -> shared/c.ts -> shared/a.ts'])
    expect(valueCycles(sources({ ...cycle, 'shared/c.ts': "import type { a } from './a.ts'\n" }))).toEqual([])
  })

  it('against cycles of values finds each of several', () => {
    const two = {
      'a.ts': "import './b.ts'\n",
      'b.ts': "import './a.ts'\n",
      'c.ts': "import './a.ts'\nimport './d.ts'\n",
      'd.ts': "import './c.ts'\n",
    }
    expect(valueCycles(sources(two))).toEqual(['a.ts -> b.ts -> a.ts', 'c.ts -> d.ts -> c.ts'])
  })

  it('against cycles of folders names the files, and counts types', () => {
    const files = {
      'shared/planning/chain/one.ts': "import type { Two } from '../graph/two.ts'\n",
      'shared/planning/graph/two.ts': 'export type Two = 2\n',
      'shared/planning/graph/three.ts': "import { four } from '../chain/four.ts'\n",
      'shared/planning/chain/four.ts': 'export const four = 4\n',
    }
    expect(folderCycles(sources(files), 'shared/planning')).toEqual([
      'shared/planning/chain/one.ts -> shared/planning/graph/two.ts, shared/planning/graph/three.ts -> shared/planning/chain/four.ts',
    ])
    expect(folderCycles(sources(files), 'shared/onnx')).toEqual([])
  })

  it('against imports from service to service names the edge', () => {
    const files = {
      'services/planner/a.ts':
        "import type { B } from '../benchmark/b.ts'\nimport './own.ts'\nimport '../../shared/c.ts'\n",
    }
    expect(servicesApart(sources(files))).toEqual(['services/planner/a.ts -> services/benchmark/b.ts'])
  })

  it('that keeps one folder out of another names the edge', () => {
    const files = {
      'infra/start/a.ts': "import { b } from '../../services/planner/b.ts'\nimport '../demo/c.ts'\n",
    }
    expect(keepsOutOf(sources(files), 'infra', 'services')).toEqual([
      'infra/start/a.ts -> services/planner/b.ts',
    ])
    expect(keepsOutOf(sources(files), 'infra', 'infrastructure')).toEqual([])
  })

  it('that a folder has one door names the edge past it', () => {
    const files = {
      'services/planner/a.ts':
        "import { x } from '../../shared/planning/index.ts'\nimport '../../shared/planning/chain/b.ts'\n",
      'shared/planning/index.ts': "export { x } from './chain/b.ts'\n",
    }
    expect(onlyThroughDoor(sources(files), 'shared/planning')).toEqual([
      'services/planner/a.ts -> shared/planning/chain/b.ts',
    ])
  })

  it('that a folder is pure follows what it loads, and lets types pass', () => {
    const files = {
      'shared/planning/index.ts':
        "import { a } from '../platform/a.ts'\nimport type { Redis } from 'ioredis'\n",
      'shared/platform/a.ts':
        "import { randomUUID } from 'node:crypto'\nimport express from 'express'\nimport 'zod'\n",
    }
    expect(staysPure(sources(files), 'shared/planning')).toEqual([
      'shared/planning/index.ts -> shared/platform/a.ts -> node:crypto',
      'shared/planning/index.ts -> shared/platform/a.ts -> express',
    ])
    expect(staysPure(sources(files), 'shared/planning', { allowedBuiltins: ['node:crypto'] })).toEqual([
      'shared/planning/index.ts -> shared/platform/a.ts -> express',
    ])
    const exceptions = { 'shared/platform/a.ts': 'a reason' }
    expect(staysPure(sources(files), 'shared/planning', { exceptions })).toEqual([])
  })

  it('on exceptions names those that nothing needs', () => {
    const files = {
      'shared/codec/a.ts': "import 'node:module'\n",
      'shared/platform/b.ts': "import 'node:fs'\n",
    }
    const exceptions = {
      'node:module': 'a reason',
      'node:fs': 'another folder imports it',
      'node:path': 'gone',
    }
    expect(needlessExceptions(sources(files), 'shared/codec', { exceptions })).toEqual([
      'node:fs',
      'node:path',
    ])
  })

  it('on names names the files that are alike', () => {
    const files = {
      'a/targets.ts': '',
      'b/targets.ts': '',
      'a/index.ts': '',
      'b/index.ts': '',
      'c/other.ts': '',
    }
    expect(namesAlike(sources(files))).toEqual(['a/targets.ts and b/targets.ts'])
  })

  it('against a package names the way to it, and passes over types and what is not loaded', () => {
    const files = sources({
      'services/a/main.ts': "import { b } from './b.ts'\nimport type { E } from './e.ts'\n",
      'services/a/b.ts': "import { d } from 'deep'\n",
      'services/a/e.ts': "import { w } from 'wide'\n",
      'services/a/apart.ts': "import { w } from 'wide'\n",
    })
    expect(doesNotLoad(files, 'services/a/main.ts', ['deep', 'wide'])).toEqual([
      'services/a/main.ts -> services/a/b.ts -> deep',
    ])
  })
})
