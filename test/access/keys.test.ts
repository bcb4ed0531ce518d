/** Tokens, system keys and secrets: their forms, what they are made of, and that they never show. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readSecretFile } from '../../shared/platform/access/secret-file.ts'
import { Secret } from '../../shared/platform/access/secret.ts'
import { newSystemKey, SystemKey } from '../../shared/platform/access/system-key.ts'
import {
  formatToken,
  hashOf,
  isHashOf,
  newToken,
  parseToken,
  SECRET_BYTES,
} from '../../shared/platform/access/token.ts'
import { createLog } from '../../shared/platform/log.ts'
import { BENCHMARK_SETTINGS, readConfig } from '../../shared/platform/service/service-config.ts'
import { runNode, SCISSION } from '../support/command.ts'
import { withFolder } from '../support/folder.ts'

const folder = withFolder('keys')
/** In a folder that others may look into. */
const fileWith = (name: string, text: string, mode = 0o600): string => {
  const open = path.join(folder(), 'open')
  mkdirSync(open, { recursive: true })
  chmodSync(open, 0o755)
  const file = path.join(open, name)
  writeFileSync(file, text, { mode })
  chmodSync(file, mode)
  return file
}

describe('a token', () => {
  const secret = fc.uint8Array({ minLength: SECRET_BYTES, maxLength: SECRET_BYTES })
  const id = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,79}$/)

  it('is read as it was written, whatever its bytes', () => {
    fc.assert(
      fc.property(id, secret, (name, bytes) => {
        const token = { id: name, secret: Buffer.from(bytes) }
        expect(parseToken(formatToken(token))).toEqual(token)
      }),
    )
  })

  it('is none if anything is missing or more, however it is cut', () => {
    const text = formatToken(newToken())
    for (let cut = 0; cut < text.length; cut += 1) expect(parseToken(text.slice(0, cut))).toBeUndefined()
    for (const other of [`${text}a`, ` ${text}`, text.toUpperCase(), text.replace('scn', 'scs'), ''])
      expect(parseToken(other)).toBeUndefined()
  })

  it('is told by its hash from every other', () => {
    fc.assert(
      fc.property(secret, secret, (one, other) => {
        const isSame = Buffer.from(one).equals(Buffer.from(other))
        expect(isHashOf(hashOf(Buffer.from(one)), Buffer.from(other))).toBe(isSame)
      }),
    )
  })
})

describe('a system key', () => {
  it('signs what its public half verifies, and nothing else', () => {
    const own = SystemKey.read(newSystemKey(), 'own')
    const known = SystemKey.read(own.publicText, 'public')
    fc.assert(
      fc.property(fc.string(), fc.string(), (message, other) => {
        const signature = own.sign(message)
        expect(known.isSigned(message, signature)).toBe(true)
        expect(known.isSigned(other, signature)).toBe(message === other)
      }),
      { numRuns: 30 },
    )
    expect([own.isPrivate, known.isPrivate]).toEqual([true, false])
    expect(() => known.sign('x')).toThrow('a public system key signs nothing')
    expect(() => known.tokenOf('resource', 'edge')).toThrow('a public system key makes no tokens')
  })

  it('makes a token for each service, which it knows again', () => {
    const key = SystemKey.read(newSystemKey(), 'key')
    const edge = key.tokenOf('resource', 'edge')
    expect(key.derived(edge)).toEqual({ kind: 'resource', name: 'edge' })
    expect(key.derived({ ...edge, id: 'resource-cloud' })).toBeUndefined()
    expect(key.derived({ ...edge, id: 'operator-edge' })).toBeUndefined()
    expect(SystemKey.read(newSystemKey(), 'other').derived(edge)).toBeUndefined()
    expect(SystemKey.read(key.publicText, 'public').derived(edge)).toBeUndefined()
  })

  it('is replaced without a gap: with both in the file, what either made holds', () => {
    const [older, newer] = [newSystemKey(), newSystemKey()]
    const [before, after] = [SystemKey.read(older, 'older'), SystemKey.read(newer, 'newer')]
    const both = SystemKey.read(`# new\n${newer}\n\n${older}\n`, 'both')
    for (const one of [before, after]) {
      expect(both.isSigned('x', one.sign('x'))).toBe(true)
      expect(both.derived(one.tokenOf('resource', 'edge'))).toEqual({ kind: 'resource', name: 'edge' })
    }
    expect(after.isSigned('x', both.sign('x'))).toBe(true)
  })

  it.each([
    ['', 'there is no key'],
    ['# nothing', 'there is no key'],
    ['scs_short', 'f, line 1: not a system key'],
    [`${newSystemKey()}\nscn_a_b`, 'f, line 2: not a system key'],
  ])('is refused if the file holds %j, without showing what it holds', (text, message) => {
    expect(() => SystemKey.read(text, 'f')).toThrow(message)
    try {
      SystemKey.read(text, 'f')
    } catch (thrown) {
      for (const line of text.split('\n').filter((one) => one.includes('_')))
        expect(String(thrown)).not.toContain(line)
    }
  })
})

describe('a file with a secret', () => {
  it.skipIf(process.platform === 'win32').each([0o644, 0o640, 0o604, 0o660, 0o602])(
    'is refused if others may read or write it: mode %o',
    (mode) => {
      const file = fileWith(`mode-${mode.toString(8)}`, 'x', mode)
      expect(() => readSecretFile(file, 'SCISSION_TOKEN_FILE')).toThrow(`chmod 600 ${file}`)
    },
  )

  it('is taken if others cannot look into its folder', () => {
    const file = path.join(folder(), 'shut')
    writeFileSync(file, ' x \n', { mode: 0o644 })
    expect(readSecretFile(file, 'S')).toBe('x')
  })

  it('is refused if it is not there, or is far too long', () => {
    expect(() => readSecretFile('/absent', 'S')).toThrow('S: /absent cannot be read')
    expect(() => readSecretFile(fileWith('long', 'x'.repeat(70_000)), 'S')).toThrow('longer than any secret')
  })
})

describe('a secret of the settings', () => {
  const text = newSystemKey()

  it('shows in no log, listing or error', () => {
    const config = readConfig(BENCHMARK_SETTINGS, { SCISSION_SYSTEM_KEY: text })
    const shown = [JSON.stringify(config), inspect(config, { depth: 9 }), String(config.systemKey)]
    for (const one of shown) expect(one).not.toContain(text)
    expect(config.systemKey?.text).toBe(text)
    createLog('test', 'silent').info(config, 'settings')
  })

  it('does not show in `scission config`', async () => {
    const env = {
      ...process.env,
      SCISSION_SYSTEM_KEY: text,
      SCISSION_TOKEN_FILE: fileWith('t', formatToken(newToken())),
    }
    const { code, stdout, stderr } = await runNode([SCISSION, 'config'], { env })
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).not.toContain(text)
    expect(stdout).toContain('SCISSION_SYSTEM_KEY')
  })

  it('is read from a file, which may be replaced', async () => {
    const file = fileWith('replaced', 'one')
    const secret = Secret.from('SCISSION_TOKEN', { SCISSION_TOKEN_FILE: file })
    expect(secret?.text).toBe('one')
    expect(Secret.from('SCISSION_TOKEN', { SCISSION_TOKEN: '', SCISSION_TOKEN_FILE: '' })).toBeUndefined()
  })
})
