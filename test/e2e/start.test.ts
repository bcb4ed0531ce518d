/** `npm start -- --once`, as a user runs it, on the built-in model, on our own and on those of other projects. */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Report } from '../../infra/demo/report.ts'
import { runNode } from '../support/command.ts'
import { needsFiles, ownFile, thirdPartyFile } from '../support/test-models.ts'
import { killGroup } from '../support/kill.ts'
import { withFolder } from '../support/folder.ts'

/** `npm start` runs these. */
const START = ['infra/start/install.mjs', 'infra/start/main.ts']

const folder = withFolder('start')

type Run = Awaited<ReturnType<typeof start>>

let runs = 0
async function start(args: string[], env: NodeJS.ProcessEnv = {}) {
  runs += 1
  const reportFile = path.join(folder(), `report-${runs}.json`)
  const all = [...START, ...args, '--once', '--port-base', '0', '--report', reportFile]
  const dataDir = path.join(folder(), `data-${runs}`)
  const ran = await runNode(all, { env: { ...process.env, SCISSION_DATA: dataDir, ...env } })
  const report = existsSync(reportFile)
    ? (JSON.parse(readFileSync(reportFile, 'utf8')) as Report)
    : ({} as Report)
  return { ...ran, report }
}

/** A PATH with Node and nothing else, so that no Redis server is found. */
function onlyNode(): string {
  const bin = path.join(folder(), 'bin')
  mkdirSync(bin, { recursive: true })
  symlinkSync(process.execPath, path.join(bin, 'node'))
  return bin
}

function expectStory({ code, stdout, stderr, report }: Run): void {
  expect(code, `${stdout}\n${stderr}`).toBe(0)
  expect(report.ok).toBe(true)
  expect(report.maxAbsDiff).toBeLessThanOrEqual(1e-5 * report.maxAbsOutput)
  expect(report.profiles.map((profile) => profile.resource).sort()).toEqual(['cloud', 'device', 'edge'])
  expect(report.links.length).toBe(3)
  expect(report.native.length).toBe(3)
  expect(report.emulated).toBe(true)
  expect(stdout).toContain('emulated')
  expect(stdout).toContain(report.plans.why)
}

describe('npm start -- --once', () => {
  it('shows the main job on embedded defaults: a split is deployed and equals the whole model', async () => {
    const run = await start([], { PATH: onlyNode(), REDIS_URL: undefined })
    expectStory(run)
    expect(run.report.redis.kind).toBe('emulated')
    const split = run.report.raw.served.at(-1)
    expect(split?.plan.stages.length).toBeGreaterThan(1)
    expect(run.report.split?.plans[0]?.stages[0]?.resource).toBe('device')
  })

  const says = 'works with %s and says when not splitting is best'
  it.each(['detector.onnx', 'digits-cnn.onnx'])(says, (name) => expectWorks(ownFile(name)))
  const models = [
    'yolox_nano.onnx',
    'ultraface_rfb320.onnx',
    'deeplabv3_mobilenetv2.onnx',
    'mnist-8_cnn.onnx',
  ]
  it.each(models)(says, needsFiles(...models), (name) => expectWorks(thirdPartyFile(name)))

  async function expectWorks(file: string): Promise<void> {
    const run = await start([file])
    expectStory(run)
    const best = run.report.plans.plans[0]
    if (best?.native) expect(run.report.plans.why).toContain(best.stages[0]?.resource ?? '')
  }

  it('refuses a file that is no model with the reason and a failed report', async () => {
    const run = await start(['package.json'])
    expect(run.code).toBe(2)
    expect(run.stderr).toMatch(/package\.json/)
    expect(run.report.ok).toBe(false)
  })
})

describe('npm start', () => {
  it('stays up until Ctrl-C, then leaves no process behind', async () => {
    const child = spawn(process.execPath, [...START, '--port-base', '0', ownFile('digits-cnn.onnx')], {
      env: { ...process.env, SCISSION_DATA: path.join(folder(), 'data-stay') },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    let output = ''
    child.stdout.on('data', (data: Buffer) => {
      output += data.toString()
    })
    await expect.poll(() => output, { interval: 100 }).toContain('Ctrl-C stops everything')
    expect(output.match(/^ {2}curl .*$|^ {2}head .*curl .*$/gm)?.length).toBe(3)
    const url = /planner +(http:\/\/[\d.:]+)\/docs/.exec(output)?.[1] ?? ''
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    const before = processesNaming(path.join(folder(), 'data-stay'))
    const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
    // A terminal's Ctrl-C reaches the whole foreground group.
    killGroup(child, 'SIGINT')
    expect(await exited).toBe(130)
    await expect(fetch(`${url}/healthz`)).rejects.toThrow()
    if (process.platform === 'linux') {
      expect(before).toBeGreaterThan(0)
      await expect.poll(() => processesNaming(path.join(folder(), 'data-stay'))).toBe(0)
    }
  })
})

describe('npm start, stopped by Ctrl-C in the middle', () => {
  it('says nothing of what was under way, and reports who stopped it', async () => {
    const report = path.join(folder(), 'stopped.json')
    const args = [...START, '--port-base', '0', '--report', report, ownFile('digits-cnn.onnx')]
    const child = spawn(process.execPath, args, {
      env: { ...process.env, SCISSION_DATA: path.join(folder(), 'data-stopped') },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    let [output, errors] = ['', '']
    child.stdout.on('data', (data: Buffer) => {
      output += data.toString()
    })
    child.stderr.on('data', (data: Buffer) => {
      errors += data.toString()
    })
    const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)))
    await expect.poll(() => output, { interval: 20 }).toContain('measuring the model layer by layer')
    killGroup(child, 'SIGINT')
    expect(await exited).toBe(130)
    // Only progress: what is begun, how long it has taken, and a line per resource.
    expect(errors).toMatch(/^(Scission is starting\n)?(( {2})?… .*\n| {2}\w+: .*\n)*$/)
    expect(JSON.parse(readFileSync(report, 'utf8'))).toEqual({ ok: false, error: 'stopped by SIGINT' })
  })
})

/** Processes whose environment holds this data folder: all that the run started. */
function processesNaming(text: string): number {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return pids.filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(text)
    } catch {
      return false
    }
  }).length
}
