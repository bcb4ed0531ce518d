/** Files that describe times and networks: ONNX Runtime's trace of a run, and testbeds with their links. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { EmulatedLink } from '../../../infra/testbed/link-emulator/settings.ts'
import { loadTestbed } from '../../../infra/testbed/testbed.ts'
import { readEvents } from '../../../services/inference/jobs/profiler/profiler-output.ts'
import { NETWORK_PRESETS } from '../../../shared/contracts/network-presets.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { checkJson } from '../../../shared/platform/outside-input.ts'
import { PURE, refusing, type Target, text } from '../target.ts'

const RUNS = 3

const kernel = (name: string, op: string, ts: number, dur: number) =>
  `{"cat" : "Node","pid" :1,"tid" :1,"dur" :${dur},"ts" :${ts},"ph" : "X","name" :"${name}_kernel_time","args" : {"op_name" : "${op}"}}`
const runEnds = (ts: number) =>
  `{"cat" : "Session","pid" :1,"tid" :1,"dur" :90,"ts" :${ts},"ph" : "X","name" :"model_run","args" : {}}`

/** As ONNX Runtime writes it: an event a line, the bodies of a Loop inside its interval. */
const trace = () => {
  const lines = Array.from({ length: RUNS }, (_, run) => run * 1000).flatMap((at) => [
    kernel('conv1', 'Conv', at, 40),
    kernel('loop1', 'Loop', at + 50, 30),
    kernel('inner', 'Add', at + 55, 5),
    runEnds(at),
  ])
  return `[\n${lines.join(',\n')}\n]`
}

/** It is read by a child process, which may fail with what is wrong; times that are none would be stored. */
function checkTrace(given: string): void {
  let times: ReturnType<typeof readEvents>
  try {
    times = readEvents(given, RUNS, 1)
  } catch (thrown) {
    if (thrown instanceof ScissionError || thrown instanceof SyntaxError) return
    throw thrown
  }
  for (const { name, op, ms } of times)
    if (typeof name !== 'string' || typeof op !== 'string' || typeof ms !== 'number')
      throw new TypeError(`no time of a node: ${JSON.stringify({ name, op, ms }).slice(0, 200)}`)
}

const link = { rttMs: 20, upMbps: 5, downMbps: null }
const testbed = () => ({
  tiers: ['device', 'edge'],
  resources: [
    { name: 'device', tier: 'device', slowdown: 4 },
    { name: 'edge', tier: 'edge', threads: 2 },
  ],
  links: [{ from: 'device', to: 'edge', preset: Object.keys(NETWORK_PRESETS)[0], extraRttMs: 3 }],
})
const ownFigures = () => ({
  ...testbed(),
  links: [{ from: 'device', to: 'edge', rttMs: 20, upMbps: 5, downMbps: 10 }],
})

export const traces: Target = {
  name: 'traces',
  share: 6,
  sample: 600,
  ...PURE,
  open: () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-fuzz-traces-'))
    const file = path.join(folder, 'testbed.json')
    return {
      seeds: [
        text(trace()),
        text(testbed()),
        text(ownFigures()),
        text({ ...link, name: 'device-edge', target: { host: '127.0.0.1', port: 8090 } }),
      ],
      run: (input) => {
        const given = Buffer.from(input).toString()
        checkTrace(given)
        checkJson(EmulatedLink, given)
        writeFileSync(file, input)
        refusing(() => loadTestbed(file))
      },
      close: () => Promise.resolve(rmSync(folder, { recursive: true, force: true })),
    }
  },
}
