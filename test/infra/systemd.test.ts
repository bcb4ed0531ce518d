/** The unit file for machines that start services by systemd. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { findOnPath } from '../../infra/start/processes/find-on-path.ts'
import { COMMON_SETTINGS, INFERENCE_SETTINGS } from '../../shared/platform/service/service-config.ts'
import { withFolder } from '../support/folder.ts'

const UNIT = 'infra/systemd/scission-inference.service'
const text = readFileSync(UNIT, 'utf8')
const installed = findOnPath('systemd-analyze') !== undefined
if (!installed) console.log('skipped: no systemd-analyze on the PATH')

describe('the unit file', () => {
  const folder = withFolder('systemd')

  it('sets what the service knows, and starts what a build makes', () => {
    const settings = Object.values({ ...COMMON_SETTINGS, ...INFERENCE_SETTINGS })
    const known = settings.flatMap((one) => ('secret' in one ? [one.env, `${one.env}_FILE`] : [one.env]))
    const set = [...text.matchAll(/^Environment=(.*)$/gm)].flatMap(([, line = '']) => line.split(' '))
    const names = set.map((one) => one.split('=')[0] ?? '').filter((name) => name.startsWith('SCISSION_'))
    expect(names).not.toEqual([])
    expect(names.filter((name) => !known.includes(name))).toEqual([])
    expect(text).toMatch(/^ExecStart=.* node dist\/services\/inference\/main\.js$/m)
  })

  it('gives the service no right that it does not need', () => {
    const HARDENED = {
      DynamicUser: 'yes',
      ProtectSystem: 'strict',
      ProtectHome: 'yes',
      PrivateTmp: 'yes',
      PrivateDevices: 'yes',
      NoNewPrivileges: 'yes',
      CapabilityBoundingSet: '',
      RestrictAddressFamilies: 'AF_INET AF_INET6 AF_UNIX AF_NETLINK',
      RestrictNamespaces: 'yes',
      SystemCallFilter: '@system-service',
      UMask: '0077',
    }
    const settings = Object.fromEntries(
      [...text.matchAll(/^(\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]),
    )
    expect(settings).toMatchObject(HARDENED)
    expect(settings).toMatchObject({
      MemoryMax: expect.stringMatching(/^\d+%$/),
      TasksMax: expect.stringMatching(/^\d+$/),
    })
  })

  const verify = (name: string, unit: string) => {
    const file = path.join(folder(), name)
    writeFileSync(file, unit)
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', file], {
      encoding: 'utf8',
    })
    return { status, said: stderr.split('\n').filter((line) => line.includes(name)) }
  }

  it.skipIf(!installed)('is one that systemd accepts without a remark', () => {
    expect(verify('scission-inference.service', text)).toEqual({ status: 0, said: [] })
    const wrong = verify('scission-wrong.service', text.replace('Restart=always', 'Restart=allways'))
    expect(wrong.said.join()).toContain('allways')
  })
})
