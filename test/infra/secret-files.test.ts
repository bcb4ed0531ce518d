/** Files with secrets that `scission certs` and `npm start` make, and make again. */
import { X509Certificate } from 'node:crypto'
import { readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { keyFileIn, keyPathIn } from '../../infra/start/system-key-file.ts'
import { runNode, SCISSION } from '../support/command.ts'
import { withFolder } from '../support/folder.ts'

const folder = withFolder('secret-files')
const newFolder = () => mkdtemp(path.join(folder(), 'one-'))

describe('a certificate that is renewed', () => {
  it('keeps the hosts that it had, unless others are named', async () => {
    const at = await newFolder()
    const certs = (...args: string[]) => runNode([SCISSION, 'certs', ...args, '--folder', at])
    const hosts = () => new X509Certificate(readFileSync(path.join(at, 'gateway.pem'))).subjectAltName
    await certs('init')
    await certs('add', 'gateway', '--host', 'gateway.example', '192.0.2.7', '2001:db8::7')
    const first = hosts()
    expect(first).toMatch(/DNS:gateway, DNS:gateway\.example, IP Address:192\.0\.2\.7, IP Address:2001:/)
    const { serialNumber } = new X509Certificate(readFileSync(path.join(at, 'gateway.pem')))
    await certs('add', 'gateway')
    expect(hosts()).toBe(first)
    expect(new X509Certificate(readFileSync(path.join(at, 'gateway.pem'))).serialNumber).not.toBe(
      serialNumber,
    )
    await certs('add', 'gateway', '--host', 'other.example')
    expect(hosts()).toBe('DNS:gateway, DNS:other.example')
  })
})

describe('the key of a system', () => {
  it('is made once, and anew where a crash left an empty file', async () => {
    const at = await newFolder()
    const made = readFileSync(keyFileIn(at), 'utf8')
    expect(readFileSync(keyFileIn(at), 'utf8')).toBe(made)
    writeFileSync(keyPathIn(at), '')
    utimesSync(keyPathIn(at), new Date(0), new Date(0))
    expect(readFileSync(keyFileIn(at), 'utf8')).toMatch(/^scs_/)
  })
})
