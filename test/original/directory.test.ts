/** The original's own files: pickles of plain objects, and network statistics as CSV. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { predict } from '../../infra/cli/commands/predict.ts'
import { readConnections, readSystems } from '../../shared/original/index.ts'
import { unpickle } from '../../shared/original/unpickle.ts'

/**
 * {'Tiny': [LayerBenchmark 0–1, 0.25 s, 70000 B; 2–300, 0.5 s, 4128 B], 'other': [0–3, 0 s, 2^33 B]}, written by
 * Python's pickle.
 */
const PROTOCOL_3 =
  'gAN9cQAoWAQAAABUaW55cQFdcQIoY19fbWFpbl9fCkxheWVyQmVuY2htYXJrCnEDKYFxBH1xBShYBQAAAG1vZGVscQZoAVgIAAAAcGxhdGZvcm1x' +
  'B1gBAAAAcHEIWAsAAABpbnB1dF9sYXllcnEJSwBYDAAAAG91dHB1dF9sYXllcnEKSwFYEQAAAHNlY29uZF9wcmVkaWN0aW9ucQtHP9AAAAAAAABY' +
  'CwAAAG91dHB1dF9zaXplcQxKcBEBAHViaAMpgXENfXEOKGgGaAFoB2gIaAlLAmgKTSwBaAtHP+AAAAAAAABoDE0gEHViZVgFAAAAb3RoZXJxD11x' +
  'EGgDKYFxEX1xEihoBmgPaAdoCGgJSwBoCksDaAtLAGgMigUAAAAAAnViYXUu'
const PROTOCOL_4 =
  'gASV/QAAAAAAAAB9lCiMBFRpbnmUXZQojAhfX21haW5fX5SMDkxheWVyQmVuY2htYXJrlJOUKYGUfZQojAVtb2RlbJRoAYwIcGxhdGZvcm2UjAFw' +
  'lIwLaW5wdXRfbGF5ZXKUSwCMDG91dHB1dF9sYXllcpRLAYwRc2Vjb25kX3ByZWRpY3Rpb26URz/QAAAAAAAAjAtvdXRwdXRfc2l6ZZRKcBEBAHVi' +
  'aAUpgZR9lChoCGgBaAloCmgLSwJoDE0sAWgNRz/gAAAAAAAAaA5NIBB1YmWMBW90aGVylF2UaAUpgZR9lChoCGgRaAloCmgLSwBoDEsDaA1LAGgO' +
  'igUAAAAAAnViYXUu'
/** A pickle that calls print('x') when Python reads it. */
const CALL = 'gANjYnVpbHRpbnMKcHJpbnQKcQBYAQAAAHhxAYVxAlJxAy4='
const bytes = (text: string) => new Uint8Array(Buffer.from(text, 'base64'))

const CSV = `source,destination,ping(ms),bandwidth(mbps)
pi,Server(GPU),            50,  1.6
`

const root = mkdtempSync(path.join(tmpdir(), 'scission-original-'))
afterAll(() => rmSync(root, { recursive: true }))

function folder(name: string, files: Record<string, string | Uint8Array>): string {
  const made = path.join(root, name)
  mkdirSync(made)
  for (const [file, content] of Object.entries(files)) writeFileSync(path.join(made, file), content)
  return made
}

describe('a folder as the original writes it', () => {
  const measured = folder('measured', {
    'device-pi.dat': bytes(PROTOCOL_3),
    'cloud-Server(GPU).dat': bytes(PROTOCOL_4),
    'wifi.csv': CSV,
    'notes.txt': 'not a measurement',
  })

  it('has its machines, blocks and connections read', () => {
    const systems = readSystems(measured)
    expect(systems.map(({ tier, name }) => [tier, name])).toEqual([
      ['cloud', 'Server(GPU)'],
      ['device', 'pi'],
    ])
    for (const { models } of systems)
      expect([...models]).toEqual([
        [
          'tiny',
          [
            { first: 0, last: 1, seconds: 0.25, outputBytes: 70000 },
            { first: 2, last: 300, seconds: 0.5, outputBytes: 4128 },
          ],
        ],
        ['other', [{ first: 0, last: 3, seconds: 0, outputBytes: 2 ** 33 }]],
      ])
    expect(readConnections(measured, 'wifi.csv')).toEqual([
      { from: 'pi', to: 'Server(GPU)', pingMs: 50, mbps: 1.6 },
    ])
  })

  it('is answered from: 70 kB at 200 kB/s and a ping of 50 ms', () => {
    expect(predict(measured, 'wifi.csv', 'Tiny', { resultCount: '2' }).results).toEqual([
      '0.7500s - 0.0000MB - Device(pi) = 0 - 300, Edge(None) = -1 - -1, Cloud(None) = -1 - -1',
      '1.1500s - 0.0700MB - Device(pi) = 0 - 1, Edge(None) = -1 - -1, Cloud(Server(GPU)) = 2 - 300',
    ])
  })
})

describe('what is refused', () => {
  it('a pickle that would run code, is cut short or is none', () => {
    expect(() => unpickle(bytes(CALL), 'a.dat')).toThrow(
      'a.dat is not a pickle of the original\'s data: it holds the instruction "R"',
    )
    expect(() => unpickle(bytes(PROTOCOL_3).subarray(0, 100), 'a.dat')).toThrow('it is cut short')
    expect(() => unpickle(new TextEncoder().encode('hello'), 'a.dat')).toThrow('is not a pickle')
    // A list of two that are one list of two that are one, forty times: as a text it would never end.
    const bomb = `\x80\x02]${'q\0h\0\x86'.repeat(40)}\x8c\x01a\x93.`
    expect(() => unpickle(Buffer.from(bomb, 'latin1'), 'a.dat')).toThrow('a class is not a text')
    expect(() => unpickle(new Uint8Array(), 'a.dat')).toThrow('it is cut short')
  })

  it('every cut of a pickle, without crashing', () => {
    const whole = bytes(PROTOCOL_4)
    for (let length = 0; length < whole.length; length += 1)
      expect(() => unpickle(whole.subarray(0, length), 'a.dat')).toThrow('not a pickle')
  })

  it('a folder without measurements, and files that say too little', () => {
    expect(() => readSystems(folder('empty', {}))).toThrow('holds no measurements')
    expect(() => readSystems(folder('tier', { 'fog-pi.dat': bytes(PROTOCOL_3) }))).toThrow(
      'fog-pi.dat: must begin with device-, edge-, cloud-',
    )
    const text = folder('text', { 'profiles.json': '{', 'a.csv': 'source\npi,cloud,fast,1\n' })
    expect(() => readSystems(text)).toThrow('profiles.json is not JSON')
    expect(() => readConnections(text, 'a.csv')).toThrow('a.csv, line 2: must be source,destination')
  })
})
