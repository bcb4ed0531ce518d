/**
 * Cases driven through a running system. Here each is uploaded, run whole and cut once, and some go on to be measured,
 * planned and deployed; `npm run bench -- models` takes every case to the end, at every cut.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { CASES } from '../support/material.ts'
import { PATIENCE_MS } from '../support/patience.ts'
import { startedOnce } from '../support/started.ts'
import { startTestSystem } from '../support/system.ts'
import { driveCase } from './drive.ts'
import { largeCaseNames, makeLargeCases, whyNoLargeCases } from './large-cases.ts'
import { writeOwnCases } from './own-cases.ts'
import { readCases } from './read-cases.ts'
import { faultsOf } from './verdict.ts'

/** They go to the end: a function whose weights lie in bodies, texts, a list, lengths that are open. */
const TO_THE_END = /^(61|43|12)-/
const BRIEF = { cuts: 1, toTheEnd: false }
const PATIENCE = { timeout: 10 * PATIENCE_MS }

const system = startedOnce(startTestSystem, (started) => started.close())

describe('the driver', PATIENCE, () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-own-cases-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  const own = writeOwnCases(folder)

  it('takes a model to the end: whole, cut everywhere, measured, planned, deployed, asked', async () => {
    const drive = await driveCase(system(), own.works, { cuts: 60, toTheEnd: true })
    expect(faultsOf(own.works, drive)).toEqual([])
    expect(drive.notes).toEqual([])
    const steps = ['whole', 'json', 'cuts', 'single', 'benchmark', 'plan', 'deploy', 'infer', 'inferJson']
    for (const step of steps) expect(drive.steps[step]?.ok, step).toBe(true)
    expect(drive.steps.cuts).toMatchObject({ tried: 7 })
  })

  it('accepts a refusal that gives the reason', async () => {
    const drive = await driveCase(system(), own.refused, BRIEF)
    expect(faultsOf(own.refused, drive)).toEqual([])
    const other = { ...own.refused, message: /something else/ }
    expect(faultsOf(other, drive)).toEqual([expect.stringContaining('does not say')])
  })

  it('finds answers that differ from the reference', async () => {
    const drive = await driveCase(system(), own.wrong, BRIEF)
    const found = ['whole', 'json', 'cuts'].map((step) => expect.stringMatching(`^${step}: .*off by`))
    expect(faultsOf(own.wrong, drive)).toEqual(found)
  })

  it('finds a model that was taken and is to be refused', async () => {
    expect(faultsOf(own.taken, await driveCase(system(), own.taken, BRIEF))).toEqual([
      'it was taken, and is to be refused',
    ])
  })
})

const stored = CASES.found === undefined ? [] : readCases(CASES.found)

if (stored.length > 0)
  describe('cases of reported faults', { ...PATIENCE, tags: [CASES.tag], concurrent: true }, () => {
    it.each(stored)('$name: $expect', async (one) => {
      const toTheEnd = TO_THE_END.test(one.name)
      expect(faultsOf(one, await driveCase(system(), one, { ...BRIEF, toTheEnd }))).toEqual([])
    })
  })

const largeNames = CASES.found === undefined ? [] : largeCaseNames(CASES.found)
const whyNot = largeNames.length > 0 ? whyNoLargeCases() : 'the other cases are not here either'
if (whyNot !== undefined && largeNames.length > 0)
  process.stdout.write(`skipped ${largeNames.join(', ')}: ${whyNot}\n`)

describe('cases that are made because they are large', { ...PATIENCE, tags: [CASES.tag] }, () => {
  it.skipIf(whyNot !== undefined)('go as they should', { timeout: 20 * PATIENCE_MS }, async () => {
    const { cases, remove } = makeLargeCases(CASES.path, largeNames)
    try {
      for (const one of cases)
        expect(faultsOf(one, await driveCase(system(), one, BRIEF)), one.name).toEqual([])
    } finally {
      remove()
    }
  })
})
