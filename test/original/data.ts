/** The measurements that the tests run over: made-up ones, and those that the original published if present. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { onTestFinished } from 'vitest'
import { ORIGINAL } from '../support/material.ts'
import { DEVICE, madeUp, STILL_EDGE } from './made-up.ts'

/** Options for tests that need the published measurements. */
export const NEEDS_ORIGINAL = { tags: [ORIGINAL.tag], skip: ORIGINAL.found === undefined }

/** Their folder; it need not be there. */
export const ORIGINAL_FOLDER = ORIGINAL.path

export interface Measurements {
  what: string
  options: { tags?: string[]; skip?: boolean }
  /** A folder with profiles.json and networks.json; removed at the end of the test if it was made for it. */
  folder: () => string
  /** Names of networks of connections, sorted. */
  networks: readonly [string, string]
  device: string
  /** A model; the first in the alphabet; one of which an edge measured 0 s. */
  models: { any: string; first: string; still: string }
  stillEdge: string
}

export const MEASUREMENTS: readonly Measurements[] = [
  {
    what: 'made-up measurements',
    options: {},
    folder: madeUpFolder,
    networks: ['ethernet.csv', 'wlan.csv'],
    device: DEVICE,
    models: { any: 'chain', first: 'chain', still: 'still' },
    stillEdge: STILL_EDGE,
  },
  {
    what: "the original's measurements",
    options: NEEDS_ORIGINAL,
    folder: () => ORIGINAL_FOLDER,
    networks: ['network_stats.csv', 'network_stats_wired.csv'],
    device: 'raspi4',
    models: { any: 'mobilenet', first: 'densenet121', still: 'densenet121' },
    stillEdge: 'vm2Core',
  },
]

/** A folder with the made-up measurements for the time of a test. */
export function madeUpFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'scission-made-up-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const { profiles, networks } = madeUp()
  writeFileSync(path.join(folder, 'profiles.json'), JSON.stringify(profiles))
  writeFileSync(path.join(folder, 'networks.json'), JSON.stringify(networks))
  return folder
}

/** A document of a folder of measurements. */
export const readDocument = (folder: string, name: 'profiles' | 'networks' | 'expected-sample'): unknown =>
  JSON.parse(readFileSync(path.join(folder, `${name}.json`), 'utf8'))
