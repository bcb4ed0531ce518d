import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import {
  BENCHMARK_SETTINGS,
  INFERENCE_SETTINGS,
  PLANNER_SETTINGS,
  readConfig,
} from '../../shared/platform/service/service-config.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { parseInputShapes } from '../../shared/contracts/input-shapes.ts'
import { formatInputShapes } from '../../shared/contracts/format-input-shapes.ts'
import { VERSION } from '../../shared/platform/version.ts'

describe('the configuration', () => {
  it('has a valid default for every setting of every service', () => {
    for (const table of [BENCHMARK_SETTINGS, PLANNER_SETTINGS, INFERENCE_SETTINGS]) {
      const config: Record<string, unknown> = readConfig(table, {})
      expect(Object.keys(config)).toEqual(Object.keys(table))
      for (const entry of Object.values(table)) expect(entry.why.length).toBeGreaterThan(5)
    }
  })

  it('reads values from the environment, typed', () => {
    const config = readConfig(INFERENCE_SETTINGS, {
      SCISSION_SLOWDOWN: '2.5',
      SCISSION_TIERS: 'sensor, gateway,cloud',
      SCISSION_ROUTES: '{"edge":{"url":"http://127.0.0.1:9000"}}',
    })
    expect(config.slowdown).toBe(2.5)
    expect(config.tiers).toEqual(['sensor', 'gateway', 'cloud'])
    expect(config.routes).toEqual({ edge: { url: 'http://127.0.0.1:9000' } })
  })

  it('hands on headers by name, but none that a message says of itself', () => {
    const read = (names: string) => readConfig(INFERENCE_SETTINGS, { SCISSION_TRAVELLING_HEADERS: names })
    expect(read('X-Tenant, traceparent').travellingHeaders).toEqual(['x-tenant', 'traceparent'])
    for (const name of ['Content-Length', 'host', 'content-encoding', 'Transfer-Encoding', 'a b'])
      expect(() => read(`traceparent,${name}`)).toThrow(/SCISSION_TRAVELLING_HEADERS/)
  })

  it('takes no duration that is longer than timers can be, which would fire at once', () => {
    for (const table of [BENCHMARK_SETTINGS, PLANNER_SETTINGS, INFERENCE_SETTINGS]) {
      const durations = Object.values(table).map(({ env }) => env)
      for (const env of durations.filter((name) => name.endsWith('_MS'))) {
        expect(() => readConfig(table, { [env]: '9999999999' }), env).toThrow(env)
        expect(() => readConfig(table, { [env]: '10000' }), env).not.toThrow()
      }
    }
  })

  it.each(['models', 'redis', 'redis-memory', 'port-base-9000', 'planner'])(
    'refuses %s as a resource: its folder would be that of something else',
    (name) => {
      const read = () => readConfig(INFERENCE_SETTINGS, { SCISSION_RESOURCE: name })
      expect(read).toThrow(/SCISSION_RESOURCE=.* is the name of a service, or of what it keeps/)
    },
  )

  it('refuses in plain words', () => {
    const refusal = (env: Record<string, string>) => {
      try {
        return String(readConfig(INFERENCE_SETTINGS, env).port)
      } catch (thrown) {
        return (thrown as Error).message
      }
    }
    expect(refusal({ SCISSION_PORT: 'x' })).toBe('environment: SCISSION_PORT="x": must be a number')
    expect(refusal({ SCISSION_PORT: '70000' })).toMatch(/: must be at most 65535$/)
    expect(refusal({ SCISSION_PUBLIC_URL: 'gateway:8090x/' })).not.toMatch(/Invalid/)
    expect(refusal({ REDIS_URL: '10.0.0.1' })).toMatch(/is no URL, which begins with http:\/\/ or the like$/)
    expect(refusal({ SCISSION_PUBLIC_URL: '10.0.0.1' })).toMatch(/is no URL/)
    const phrases = /Invalid (input|option|URL|string)|Too (small|big)|expected .* received/
    for (const { env } of Object.values(INFERENCE_SETTINGS))
      for (const text of ['?', '-1e99', '{', '[1]'])
        expect(refusal({ [env]: text }), env).not.toMatch(phrases)
  })

  it('names every wrong variable at once', () => {
    const read = () =>
      readConfig(INFERENCE_SETTINGS, { SCISSION_SLOWDOWN: '0.5', SCISSION_PORT: 'abc', SCISSION_ROUTES: '{' })
    expect(read).toThrow(ScissionError)
    expect(read).toThrow(/SCISSION_SLOWDOWN.*|SCISSION_PORT/)
    try {
      read()
    } catch (error) {
      expect((error as ScissionError).details?.faults).toHaveLength(3)
    }
  })

  it('knows the version of package.json, which the other files that name it name as well', () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
    expect(VERSION).toBe(version)
    const lockfile = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
      version: string
      packages: Record<string, { version: string }>
    }
    expect([lockfile.version, lockfile.packages['']?.version]).toEqual([version, version])
    const citation = parse(readFileSync('CITATION.cff', 'utf8')) as Record<string, string>
    expect(citation.version).toBe(version)
    // The newest dated section; unreleased changes stand above it, under Pending.
    const [, released, date] = /^## (\d\S*) - (\S+)$/m.exec(readFileSync('CHANGELOG.md', 'utf8')) ?? []
    expect([released, date]).toEqual([version, citation['date-released']])
  })
})

describe('input shapes in text', () => {
  it('survive a round trip, scalars and names with colons included', () => {
    const shapes = { 'serving:0': [1, 3, 224, 224], sr: [] }
    expect(parseInputShapes(formatInputShapes(shapes))).toEqual(shapes)
  })

  it('may be JSON, for names that hold a comma', () => {
    expect(parseInputShapes('{"a,b:0":[2,3]}')).toEqual({ 'a,b:0': [2, 3] })
    expect(() => parseInputShapes('{"a":3}')).toThrow(/are not of the form/)
  })

  it('are refused with the part that is wrong', () => {
    expect(() => parseInputShapes('x:1x-3')).toThrow(/"x:1x-3" is not of the form/)
  })
})
