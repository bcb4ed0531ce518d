/** `scission …` from a shell: every command, as a table, as JSON, and with the exit codes it promises. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Calibration } from '../../shared/contracts/calibration.ts'
import type { Deployment, PlanAnswer } from '../../shared/contracts/plan.ts'
import type { Structure, UploadedModel } from '../../shared/contracts/model.ts'
import type { RepeatTimes } from '../../infra/cli/commands/infer-repeats.ts'
import type { Status } from '../../infra/cli/commands/status-command.ts'
import type { Link } from '../../shared/contracts/resource.ts'
import { readNpy, readNpz } from '../../shared/tensors/read-numpy.ts'
import { encode, model, node, value } from '../onnx/support/build.ts'
import { npyOf } from '../support/numpy.ts'
import { runNode, SCISSION } from '../support/command.ts'
import { isAlive } from '../infra/processes/support.ts'
import { eventually, until } from '../support/eventually.ts'
import { startTestSystem, type TestSystem } from '../support/system.ts'

interface Calibrated {
  calibration: Calibration
  bounds: { plan?: unknown }[]
}

/** y = max(x, 0), of four numbers. */
const modelWithName = (name: string) =>
  encode(
    model({
      nodes: [node('Relu', ['x'], ['y'], {}, { name })],
      inputs: [value('x', [1, 4])],
      outputs: [value('y', [1, 4])],
    }),
  )

// If CI is set, colours are on by default, also in a pipe.
const scission = (args: string[], env: NodeJS.ProcessEnv = {}) =>
  runNode([SCISSION, ...args], { env: { ...process.env, NO_COLOR: '1', ...env } })

describe('without services', () => {
  it('the zoo is listed and a network is built', async () => {
    const listed = await scission(['zoo', 'list', '--json'])
    expect((JSON.parse(listed.stdout) as unknown[]).length).toBe(18)
    const unknown = await scission(['zoo', 'build', 'resnet51', '-o', 'x.onnx'])
    expect([unknown.code, unknown.stderr]).toEqual([3, expect.stringContaining('resnet51')])
  })

  it('the settings are printed with their values, defaults and reasons', async () => {
    const { stdout } = await scission(['config', 'inference'], { SCISSION_SLOWDOWN: '3' })
    expect(stdout).toMatch(/inference +SCISSION_SLOWDOWN +3 +1 /)
    const wrong = await scission(['config', 'inference'], { SCISSION_SLOWDOWN: 'x' })
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('SCISSION_SLOWDOWN')])
  })

  it.each([
    ['bench net --runs abc', '--runs <n>'],
    ['bench net --runs 2', '--runs <n>'],
    ['bench net --max-age -1', '--max-age <seconds>'],
    ['calibrate net --made-up 0', '--made-up <n>'],
    ['calibrate net --made-up 2 --boundaries 4,x', '--boundaries <list>'],
    ['calibrate net --made-up 2 --network 5g', '--network <preset>'],
    ['calibrate net', '--input, or --made-up'],
    ['zoo build mobilenetv2 -o x.onnx --seed abc', '--seed <n>'],
  ])('%s is refused before any service is asked, naming the option', async (text, option) => {
    const { code, stderr } = await scission([...text.split(' '), '--benchmark-url', 'http://127.0.0.1:9'])
    expect([code, stderr]).toEqual([2, expect.stringContaining(option)])
  })

  it('wrong usage exits with 2 and a service that is away with 5', async () => {
    expect((await scission(['nonsense'])).code).toBe(2)
    const away = await scission(['models', 'list', '--json', '--benchmark-url', 'http://127.0.0.1:9'])
    expect(away.code).toBe(5)
    expect(JSON.parse(away.stderr)).toMatchObject({ error: { code: 'peerUnavailable' } })
  })
})

describe('with the system up', () => {
  let system: TestSystem
  beforeAll(async () => {
    system = await startTestSystem()
  })
  afterAll(() => system?.close())
  const run = (...args: string[]) =>
    scission(args, { SCISSION_BENCHMARK_URL: system.benchmarkUrl, SCISSION_PLANNER_URL: system.plannerUrl })
  const json = async <T>(...args: string[]): Promise<T> => {
    const { code, stdout, stderr } = await run('--json', ...args)
    expect(code, stderr).toBe(0)
    return JSON.parse(stdout) as T
  }

  it('a model goes from a file to an answer of its split; constraints that cannot be met exit with 4', async () => {
    const file = path.join(system.folder, 'net.onnx')
    expect((await run('zoo', 'build', 'mobilenetv2', '-o', file)).code).toBe(0)
    expect(statSync(file).size).toBeGreaterThan(14e6)
    const added = await json<UploadedModel>('models', 'add', file, '--name', 'net')
    expect(added.layers).toBe(158)
    expect((await run('models', 'list')).stdout).toContain(added.id.slice(0, 12))
    const structure = await json<Structure>('layers', 'net')
    expect(structure.layers.length).toBe(158)
    expect((await run('layers', 'net')).stdout).toMatch(/157 +Softmax/)

    expect((await run('bench', 'net', '--runs', '3')).stdout).toMatch(/device +[\d.]+ ms/)
    await expect.poll(async () => (await json<unknown[]>('links')).length).toBe(3)
    expect((await json<unknown[]>('profiles', '--model', 'net')).length).toBe(3)
    expect((await run('resources')).stdout).toMatch(/cloud +cloud +alive/)
    // What tables print of an id is enough of it.
    const [shown = ''] = /[0-9a-f]{12}\.\S+\.cloud\.\S+/.exec((await run('profiles')).stdout) ?? []
    expect((await run('profiles', 'show', shown, '--csv')).stdout.trimEnd().split('\r\n').length).toBe(159)
    const planned = await run('plan', added.id.slice(0, 12), '--profiles', shown, '--source', 'cloud')
    expect([planned.code, planned.stderr]).toEqual([0, ''])

    const same = ['bench', 'net', '--runs', '3', '--threads', '1', '--optimisation', 'all']
    expect((await run(...same)).stdout).toContain('cloud is not measured again')
    const forced = await json<{ benchmark: { notes: string[] } }>('bench', 'net', '--runs', '3', '--force')
    expect(forced.benchmark.notes.join()).not.toContain('not measured again')
    const aged = await run('bench', 'net', '--runs', '3', '--max-age', '0', '--resources', 'cloud')
    expect([aged.code, aged.stdout.includes('not measured again')]).toEqual([0, false])

    const exported = path.join(system.folder, 'profiles.json')
    writeFileSync(exported, JSON.stringify(await json('profiles', '--model', 'net')))
    expect((await run('import', exported)).stdout).toContain('stored 3 profiles')
    writeFileSync(exported, 'no JSON')
    expect((await run('import', exported)).stderr).toContain('profiles.json is not JSON')
    expect((await run('import', `${exported}.gone`)).stderr).toContain('cannot read')

    const calibrate = ['calibrate', 'net', '--made-up', '2', '--codecs', 'q8,zstd', '--boundaries', '63']
    const calibrated = await json<Calibrated>(...calibrate, '--network', '4g')
    expect(calibrated.calibration).toMatchObject({ state: 'completed', samples: 2, sampleSource: 'made-up' })
    expect(calibrated.calibration.cells.map(({ codec }) => codec)).toEqual(['q8', 'zstd'])
    expect(calibrated.bounds.every(({ plan }) => plan !== undefined)).toBe(true)
    const { id } = calibrated.calibration
    expect((await run('calibrations', '--model', 'net')).stdout).toMatch(
      new RegExp(`${id} +[0-9a-f]{12} +\\w+ +completed +2 made-up +2`),
    )
    expect((await run('calibrations', id)).stdout).toMatch(/63 +q8 +2\d\.\d %[^]*accuracy lost +best plan/)
    expect((await run('calibrations', 'nobody')).stderr).toContain(
      'unknown calibration "nobody"; scission calibrations',
    )
    expect((await run(...calibrate)).stdout).toMatch(/63 +q8 +2\d\.\d %[^]*accuracy lost +best plan/)

    const answer = await json<PlanAnswer>(
      'plan',
      'net',
      '--first-layers-on-device',
      '4',
      '--min-stages',
      '2',
      '--top',
      '2',
    )
    expect(answer.plans.length).toBe(2)
    expect((await run('plan', 'net')).stdout).toContain('native baselines')
    const deployed = await json<Deployment>('deploy', answer.plans[0]?.id ?? '', '--name', 'split')
    expect(deployed).toMatchObject({ state: 'ready', verification: { outcome: 'equal', input: 'made-up' } })
    const again = await run('deploy', answer.plans[0]?.id ?? '', '--name', 'split')
    expect(again.stdout).toMatch(/verified with one made-up input .*\n {2}as planned: equal, off by/)
    const unverified = await run('deploy', answer.plans[0]?.id ?? '', '--name', 'split', '--no-verify')
    expect([unverified.code, unverified.stdout]).toEqual([0, expect.stringContaining('not verified')])
    expect((await run('deployments')).stdout).toContain('/v2/models/split/infer')

    const input = path.join(system.folder, 'input.bin')
    writeFileSync(input, Buffer.alloc(602_112))
    const inferred = await json<{ outputs: { values: number[] }[] }>(
      'infer',
      'split',
      '--input',
      `input_1=${input}`,
    )
    const sum = inferred.outputs[0]?.values.reduce((total, value) => total + value, 0)
    expect(sum).toBeCloseTo(1, 4)
    expect((await run('infer', added.id, '--on', 'cloud')).stdout).toMatch(/predictions +FP32 +1x1000/)
    const absent = await run('infer', 'split', '--input', `input_1=${input}.missing`)
    expect([absent.code, absent.stderr]).toEqual([2, expect.stringContaining('--input input_1: cannot read')])
    expect((await run('undeploy', 'split')).code).toBe(0)
    const impossible = await run('plan', 'net', '--use', 'edge', '--avoid', 'edge')
    expect([impossible.code, impossible.stderr]).toEqual([4, expect.stringContaining('edge')])
    expect((await run('models', 'delete', 'net')).code).toBe(0)
    expect(existsSync(file)).toBe(true)
  })

  it('links are set and forgotten, resources added and removed, and status tells what is not well', async () => {
    await expect.poll(async () => (await json<unknown[]>('links')).length, { timeout: 30_000 }).toBe(3)
    const well = await run('status')
    expect([well.code, well.stdout]).toEqual([
      0,
      expect.stringMatching(/planner +ready +\d[^]*cloud +alive[^]*device → edge[^]*all is well/),
    ])
    const status = await json<Status>('status')
    expect(status).toMatchObject({ ok: true, problems: [], found: 'as given' })
    expect(status.services.map(({ name, state }) => `${name} ${state}`)).toEqual([
      'benchmark ready',
      'planner ready',
    ])
    expect(status.resources.map(({ version }) => version)).toEqual(Array(3).fill(status.services[0]?.version))

    const set = await json<Link>('links', 'set', 'device', 'edge', '--rtt', '7', '--bandwidth', '3')
    expect(set).toMatchObject({ rttMs: 7, bandwidthMbps: 3, returnBandwidthMbps: 3, source: 'override' })
    expect((await run('links', 'list')).stdout).toMatch(/device → edge +7\.00 ms +3\.00 Mbit\/s.*override/)
    expect((await run('links', 'list', '--csv')).stdout).toMatch(
      /^device → edge,7,,3,,3,,[^,]+,,override\r?$/m,
    )
    expect((await run('links', 'forget', 'device', 'edge')).stdout).toMatch(
      /^the link device → edge is as measured at .* again$/m,
    )
    expect((await run('links', 'forget', 'device', 'nobody')).code).toBe(3)
    const zero = await run('links', 'set', 'device', 'edge', '--rtt', '7', '--bandwidth', '0')
    expect([zero.code, zero.stderr]).toEqual([
      2,
      'scission: --bandwidth must be Mbit/s, more than 0, for example --bandwidth 5\n',
    ])

    const added = spawn(
      process.execPath,
      [SCISSION, 'resources', 'add', 'spare', '--tier', 'edge', '--json'],
      {
        env: {
          ...process.env,
          REDIS_URL: system.redis.url,
          SCISSION_DATA: system.dataDir,
          SCISSION_BENCHMARK_URL: system.benchmarkUrl,
          SCISSION_PLANNER_URL: system.plannerUrl,
        },
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    const ended = once(added, 'exit')
    try {
      const [printed] = (await once(added.stdout, 'data')) as [Buffer]
      const { pid, url } = JSON.parse(printed.toString()) as { pid: number; url: string }
      expect((await run('resources')).stdout).toMatch(/spare +edge +alive/)
      // Ended by the system, as one that takes too much memory is, it comes back at its address.
      process.kill(pid, 'SIGKILL')
      await until(async () => !isAlive(pid))
      await eventually(async () => expect((await fetch(`${url}/readyz`)).status).toBe(200))
      const alive = await run('resources', 'remove', 'spare')
      expect([alive.code, alive.stderr]).toEqual([1, expect.stringContaining('is alive')])
    } finally {
      added.kill('SIGTERM')
    }
    expect(await ended).toEqual([143, null])
    expect((await run('resources')).stdout).not.toContain('spare')
    expect((await run('resources', 'remove', 'spare')).code).toBe(3)
    const other = await run('resources', 'add', 'spare', '--tier', 'moon')
    expect([other.code, other.stderr]).toEqual([2, expect.stringMatching(/REDIS_URL|--tier must be one of/)])
  })

  it('an unreachable service makes status exit with 5, and says which', async () => {
    const env = {
      SCISSION_BENCHMARK_URL: 'http://user:secret@127.0.0.1:9',
      SCISSION_PLANNER_URL: system.plannerUrl,
    }
    const { code, stdout } = await scission(['status'], env)
    expect([code, stdout]).toEqual([5, expect.stringMatching(/benchmark +unreachable[^]*problem: benchmark/)])
    expect(stdout).not.toContain('secret')
  })

  it('requests are repeated, inputs and outputs are NumPy files, and hostile names stay text', async () => {
    const file = path.join(system.folder, 'named.onnx')
    writeFileSync(file, modelWithName('evil\u001b[2Jname'))
    const added = await run('models', 'add', file, '--name', 'named')
    expect(added.code, added.stderr).toBe(0)
    const layers = await run('layers', 'named')
    expect(layers.stdout).toContain('evil\\x1b[2Jname')
    expect(layers.stdout).not.toContain('\u001b[2J')

    const input = path.join(system.folder, 'x.npy')
    writeFileSync(input, npyOf('FP32', [1, 4], 1, new Uint8Array(Float32Array.of(1, -2, 3, -4).buffer)).file)
    const out = path.join(system.folder, 'out')
    const asked = ['infer', 'named', '--on', 'edge', '--input', `x=${input}`]
    const folder = await run(...asked, '--output', out)
    expect([folder.code, folder.stdout]).toEqual([
      0,
      expect.stringContaining(`wrote ${path.join(out, 'y.npy')}`),
    ])
    const written = readNpy(readFileSync(path.join(out, 'y.npy')), 'y.npy')
    expect(written.shape).toEqual([1, 4])
    expect([...new Float32Array(Uint8Array.from(written.bytes).buffer)]).toEqual([1, 0, 3, 0])
    const archive = path.join(system.folder, 'out.npz')
    const repeated = await run(...asked, '--repeat', '6', '--concurrency', '3', '--output', archive)
    expect(repeated.stdout).toMatch(/6 requests, 3 at a time: median .* requests per second\n.*99 % within/)
    expect([...(await readNpz(readFileSync(archive), 'out.npz', 1e6)).keys()]).toEqual(['y'])
    const exact = await json<{ times: RepeatTimes }>(...asked, '--repeat', '4')
    expect(exact.times).toMatchObject({ requests: 4, concurrency: 1 })
    expect(exact.times.samplesMs).toHaveLength(4)
    expect(exact.times.minMs).toBeLessThanOrEqual(exact.times.medianMs)
    expect(exact.times.medianMs).toBeLessThanOrEqual(exact.times.p99Ms)

    writeFileSync(input, npyOf('FP32', [1, 3]).file)
    const wrong = await run(...asked)
    expect([wrong.code, wrong.stderr]).toEqual([
      2,
      expect.stringContaining('FP32 1x3, the model takes FP32 1x4'),
    ])
    const other = await run(...asked, '--output', 'x.bin')
    expect([other.code, other.stderr]).toEqual([2, expect.stringContaining('--output must be FILE.npz')])
    expect((await run('models', 'delete', 'named')).code).toBe(0)
  })

  it('names that do not exist exit with 3', async () => {
    const missing = await run('layers', 'nothing')
    expect([missing.code, missing.stderr]).toEqual([3, expect.stringContaining('unknown model "nothing"')])
    expect((await run('deploy', 'nonsense')).code).toBe(3)
  })

  it('a model where a plan or a deployment is asked for is told what to do with it', async () => {
    const file = path.join(system.folder, 'asked.onnx')
    writeFileSync(file, modelWithName('asked'))
    expect((await run('models', 'add', file)).code).toBe(0)
    for (const [line, hint] of [
      ['price asked', 'for a model say which resource runs which layers: --stages '],
      ['deploy asked', 'the last line of scission plan MODEL has that of the best'],
      ['infer asked', 'asked is a model, not a deployment: --on RESOURCE runs it whole there'],
    ] as const) {
      const { code, stderr } = await run(...line.split(' '))
      expect([code, stderr], line).toEqual([3, expect.stringContaining(hint)])
    }
  })

  it('refusals name no part of a request, and what cannot be written is told before requests are sent', async () => {
    const fileOf = (name: string, content: string) => {
      const file = path.join(system.folder, name)
      writeFileSync(file, content)
      return file
    }
    for (const [line, message] of [
      ['links set Foo edge --rtt 1 --bandwidth 1', /^scission: from: a resource name is lower-case/],
      ['undeploy A_/', /^scission: id: a name starts with/],
      ['sweep net --source device --vary slowdown=1:2:2', /say of which resource: slowdown@edge=1:8:20/],
      ['sweep net --source device --vary rtt@device=1,2', /"device" is no link; one reads rtt@device>edge=…/],
      ['sweep net --source device --vary network=3g,5g', /a network is 3g, 4g, wifi, wired, got: 5g/],
      ['infer net --on device --output no/such/folder/x.npz', /no\/such\/folder is no folder that can be/],
      [`infer asked --on device --input x=${fileOf('empty.npy', '')}`, /empty.npy: it is no .npy file$/m],
      [
        `infer asked --on device --input x=${fileOf('raw.bin', 'abc')}`,
        /^scission: --input x: the file has 3 bytes, FP32 1x4 takes 16$/m,
      ],
      ['resources add Foo --tier edge', /^scission: (Foo: a resource name is lower-case|.*REDIS_URL)/],
    ] as const) {
      const { code, stderr } = await run(...line.split(' '))
      expect([code, stderr], line).toEqual([2, expect.stringMatching(message)])
    }
  })

  it('one array file for several outputs is refused before requests are sent', async () => {
    const file = path.join(system.folder, 'twin.onnx')
    const nodes = [node('Abs', ['x'], ['a']), node('Neg', ['a'], ['b'])]
    const outputs = [value('a', [2, 3]), value('b', [2, 3])]
    writeFileSync(file, encode(model({ nodes, inputs: [value('x', [2, 3])], outputs })))
    expect((await run('models', 'add', file)).code).toBe(0)
    const output = path.join(system.folder, 'twin.npy')
    const before = await inferences()
    const { code, stderr } = await run('infer', 'twin', '--on', 'cloud', '--repeat', '5', '--output', output)
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining('there are 2 outputs; take FILE.npz or a folder'),
    ])
    expect(await inferences()).toBe(before)
  })

  /** Requests that the cloud has answered. */
  async function inferences(): Promise<string> {
    const resources = await json<{ name: string; url: string }[]>('resources')
    const cloud = resources.find(({ name }) => name === 'cloud')
    const metrics = await (await fetch(`${cloud?.url}/metrics`)).text()
    return metrics
      .split('\n')
      .filter((line) => /^scission_inference\w*_(total|count)\b/.test(line))
      .join('\n')
  }

  it('the times of many requests are CSV, in lines that all end alike', async () => {
    const { code, stdout } = await run('infer', 'asked', '--on', 'cloud', '--repeat', '3', '--csv')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^request,latency \(ms\)\r\n0,[\d.]+\r\n1,[\d.]+\r\n2,[\d.]+\r\n$/)
  })

  it('status says what it cannot know without the planner', async () => {
    const env = { SCISSION_BENCHMARK_URL: system.benchmarkUrl, SCISSION_PLANNER_URL: 'http://127.0.0.1:9' }
    const { code, stdout } = await scission(['status'], env)
    expect([code, stdout]).toEqual([
      5,
      expect.stringContaining('resources, links and deployments are not known'),
    ])
    expect(stdout).not.toContain('no resources')
  })
})
