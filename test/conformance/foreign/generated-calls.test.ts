/**
 * The descriptions against validators and generators of other projects, and the services against calls that are generated
 * from their descriptions: no answer that is not described, and no 5xx but 501.
 */
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { NEEDS_CLIENTS, runNode, runPython, script } from './run-client.ts'
import { type ForeignSystem, withForeignSystem } from './system.ts'

const CHECKS = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance',
  'negative_data_rejection',
  'unsupported_method',
  'allow_header_conformance',
]
const CONFIGURATION = fileURLToPath(new URL('schemathesis.toml', import.meta.url))
/** Bounds one service's run: on two idle cores it is done before. */
const SECONDS = 60

const SERVICES = ['benchmark', 'planner', 'inference'] as const
const urlOf = (system: ForeignSystem, service: (typeof SERVICES)[number]) =>
  ({ benchmark: system.benchmarkUrl, planner: system.plannerUrl, inference: system.device })[service]

describe('a description', NEEDS_CLIENTS, () => {
  const system = withForeignSystem()

  async function saved(service: (typeof SERVICES)[number]): Promise<string> {
    const file = path.join(system().folder, `${service}.json`)
    const answer = await fetch(`${urlOf(system(), service)}/openapi.json`)
    await writeFile(file, await answer.text())
    return file
  }

  it.each(SERVICES)('of the %s service is valid for openapi-spec-validator', async (service) => {
    const { code, text } = await runPython('openapi-spec-validator', [
      '--schema',
      '3.1',
      await saved(service),
    ])
    expect(code, text).toBe(0)
  })

  it.each(SERVICES)(
    'of the %s service becomes types that compile, by openapi-typescript',
    async (service) => {
      const types = path.join(system().folder, `${service}.d.ts`)
      const made = await runNode('openapi-typescript', [await saved(service), '--output', types])
      expect(made.code, made.text).toBe(0)
      expect(await readFile(types, 'utf8')).toContain('export interface operations')
      const compiled = await runNode('tsc', ['--noEmit', '--strict', '--skipLibCheck', 'false', types])
      expect(compiled.code, compiled.text).toBe(0)
    },
  )

  it('becomes Python clients that upload, measure, plan, deploy and infer, by openapi-python-client', async () => {
    const { folder } = system()
    for (const service of SERVICES) {
      const made = await runPython(
        'openapi-python-client',
        [
          'generate',
          '--path',
          await saved(service),
          '--meta',
          'none',
          '--output-path',
          path.join(folder, `${service}_client`),
          '--fail-on-warning',
        ],
        folder,
      )
      expect(made.code, made.text).toBe(0)
    }
    const { benchmarkUrl, plannerUrl, device, file } = system()
    const { code, text } = await runPython('python', [
      script('use_generated.py'),
      folder,
      benchmarkUrl,
      plannerUrl,
      device,
      file,
    ])
    expect(code, text).toBe(0)
    expect(text).toContain('inferred through generated-split')
  })

  it.concurrent.each(SERVICES)(
    'of the %s service get no answer that it does not describe',
    async (service) => {
      const { code, text } = await runPython(
        'schemathesis',
        [
          '--config-file',
          CONFIGURATION,
          'run',
          `${urlOf(system(), service)}/openapi.json`,
          '--checks',
          CHECKS.join(','),
          '--phases',
          'coverage,fuzzing',
          '--max-examples',
          '5',
          '--max-time',
          String(SECONDS),
          '--seed',
          '1',
          '--request-timeout',
          '30',
          '--suppress-health-check',
          'all',
          '--continue-on-failure',
        ],
        system().folder,
      )
      expect(code, text).toBe(0)
      expect(text).toMatch(/\d+ generated/)
    },
  )
})
