import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type TrialRequest, trial } from '../../../services/inference/serving/executor/trial-load.ts'
import { PATIENCE_MS } from '../../support/patience.ts'
import { recordedLog } from '../../support/recorded-log.ts'
import { RUBBISH_RECORDS } from '../../support/rubbish.ts'
import { looping } from './tiny-model-examples.ts'
import { manifestOf, spec, type TinyModel, writeModel } from '../tiny-models.ts'
import { withFolder } from '../../support/folder.ts'

const folder = withFolder('trial')

const adding: TinyModel = {
  inputs: [spec('x', 'FP32', [3])],
  outputs: [spec('y', 'FP32', [3])],
  nodes: [{ op: 'Add', inputs: ['x', 'x'], outputs: ['y'] }],
}

function request(name: string, model: TinyModel, changes: Partial<TrialRequest> = {}): TrialRequest {
  const file = path.join(folder(), `${name}.onnx`)
  writeModel(file, model)
  return {
    path: file,
    manifest: { ...manifestOf(model), onnx: { bytes: fs.statSync(file).size, sha256: name } },
    options: { threads: 1, optimisation: 'all' },
    timeoutMs: PATIENCE_MS,
    memoryBytes: 2 ** 31,
    ...changes,
  }
}
const verdictOf = ({ path: file }: TrialRequest): unknown =>
  JSON.parse(fs.readFileSync(`${file}.trial.json`, 'utf8'))

describe('a trial', () => {
  it('lets a model pass that loads and runs, and remembers so', async () => {
    const good = request('good', adding)
    await trial(good)
    expect(verdictOf(good)).toMatchObject({ sha256: 'good', options: good.options })
    // A limit that no process could keep: only the remembered verdict explains that it passes.
    await trial({ ...good, timeoutMs: 1 })
  })

  it('finds what could run away, does not run it, and remembers that', async () => {
    const endless = request('runaway', looping)
    const found = { runaway: expect.stringContaining('as many turns as "trips" says') }
    expect(await trial(endless)).toMatchObject(found)
    expect(verdictOf(endless)).toMatchObject(found)
    expect(await trial({ ...endless, timeoutMs: 1 })).toMatchObject(found)
    expect(await trial(request('bounded', adding))).toMatchObject({ nodes: 1 })
  })

  it('is repeated for other options and for another file', async () => {
    const good = request('changed', adding)
    await trial(good)
    const others: Partial<TrialRequest>[] = [
      { options: { threads: 2, optimisation: 'all' } },
      { manifest: { ...good.manifest, onnx: { bytes: 1, sha256: 'another' } } },
    ]
    for (const other of others) {
      await expect(trial({ ...good, ...other, timeoutMs: 1 })).rejects.toMatchObject({
        details: { reason: 'timeout' },
      })
    }
  })

  it.each(Object.entries(RUBBISH_RECORDS))(
    'is repeated when its verdict is damaged: %s',
    async (what, rubbish) => {
      const { log, lines } = recordedLog()
      const good = request(what.replaceAll(' ', '-'), adding, { log })
      fs.writeFileSync(`${good.path}.trial.json`, rubbish)
      await trial(good)
      expect(verdictOf(good)).toMatchObject({ options: good.options })
      expect(lines).toEqual([expect.stringContaining(`${good.path}.trial.json is damaged`)])
    },
  )

  it('refuses a model that does not load, with the reason, and remembers it', async () => {
    const broken = request('broken', {
      ...adding,
      nodes: [{ op: 'NoSuchOperator', inputs: ['x'], outputs: ['y'] }],
    })
    await expect(trial(broken)).rejects.toMatchObject({
      code: 'invalidModel',
      message: expect.stringContaining('NoSuchOperator'),
    })
    await expect(trial({ ...broken, timeoutMs: 1 })).rejects.toMatchObject({
      code: 'invalidModel',
      message: expect.stringContaining('NoSuchOperator'),
      details: { remembered: true },
    })
  })

  it('does not refuse a model because made-up values do not suit it', async () => {
    const picky = request('picky', {
      inputs: [spec('x', 'FP32', [1]), spec('i', 'INT64', [8])],
      outputs: [spec('y', 'FP32', [8])],
      nodes: [{ op: 'Gather', inputs: ['x', 'i'], outputs: ['y'] }],
    })
    await trial(picky)
    expect(verdictOf(picky)).toMatchObject({ complaint: expect.stringContaining('out of data bounds') })
  })

  it('ends a model that takes too long or too much memory, and does not hold it against it', async () => {
    const endless = request('endless', {
      inputs: [spec('m0', 'FP32', [1500, 1500])],
      outputs: [spec('m200', 'FP32', [1500, 1500])],
      nodes: [...Array(200).keys()].map((step) => ({
        op: 'MatMul',
        inputs: [`m${step}`, `m${step}`],
        outputs: [`m${step + 1}`],
      })),
    })
    await expect(trial({ ...endless, timeoutMs: 1500 })).rejects.toMatchObject({
      details: { reason: 'timeout' },
    })
    await expect(trial({ ...endless, memoryBytes: 2 ** 20 })).rejects.toMatchObject({
      details: { reason: 'memory' },
    })
    expect(fs.existsSync(`${endless.path}.trial.json`)).toBe(false)
  })

  it('ends when its caller is gone', async () => {
    const caller = new AbortController()
    const started = trial(request('gone', adding), caller.signal)
    setTimeout(() => caller.abort(), 20)
    await expect(started).rejects.toMatchObject({ code: 'cancelled' })
  })
})
