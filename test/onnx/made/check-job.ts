/** Runs in a child of its own for check-models.ts: ONNX Runtime may end its process on a made model. */
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { checkMadeModel, type Outcome, type Stage } from './check-model.ts'

export interface CheckInput {
  seeds: number[]
}

export type CheckProgress = { seed: number; stage: Stage } | Outcome

export async function run({ seeds }: CheckInput, report: (progress: CheckProgress) => void): Promise<void> {
  for (const seed of seeds) {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-made-'))
    try {
      report(await checkMadeModel(seed, folder, (stage) => report({ seed, stage })))
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }
}
