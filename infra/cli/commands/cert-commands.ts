/** `scission certs`: a small authority, and the certificates of the services. */
import { X509Certificate } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { Command } from 'commander'
import { Name } from '../../../shared/contracts/common.ts'
import { readSecretFile } from '../../../shared/platform/access/secret-file.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { readIfThere, replaceFile } from '../../../shared/platform/atomic-file.ts'
import {
  type CertificateFiles,
  makeAuthority,
  makeCertificate,
} from '../../certificates/make-certificates.ts'
import { writePublicFile, writeSecretFile } from '../../start/system-key-file.ts'
import type { Context } from '../context.ts'
import { wholeNumberFrom } from '../numbers.ts'

/** A year: long enough not to be forgotten weekly, short enough that a lost key does not hold for ever. */
const DAYS = 365

interface AddOptions {
  host?: string[]
  days: number
  folder: string
}

const folderOption = ['--folder <folder>', 'with the files of the authority', 'certs'] as const

export function defineCerts(command: Command, context: Context): void {
  command
    .command('init')
    .description('make an authority: ca.pem, which every service takes, and ca.key, which stays with you')
    .option(...folderOption)
    .option('--name <name>', 'of the authority', 'Scission')
    .action(async ({ folder, name }: { folder: string; name: string }) => {
      mkdirSync(folder, { recursive: true })
      const made = await makeAuthority(name)
      writeSecretFile(path.join(folder, 'ca.key'), made.key)
      writePublicFile(path.join(folder, 'ca.pem'), made.certificate)
      context.print({ authority: path.join(folder, 'ca.pem') }, ({ authority }) =>
        initText(authority, folder),
      )
    })
  command
    .command('add <name>')
    .description('make the certificate of a service: NAME.pem and NAME.key')
    .option(
      '--host <hosts...>',
      'names and addresses by which it is called, beside its own name; a renewal keeps those that it had',
    )
    .option('--days <n>', 'for which it holds', wholeNumberFrom(1), DAYS)
    .option(...folderOption)
    .action((name: string, options: AddOptions) => addCertificate(context, name, options))
}

async function addCertificate(
  context: Context,
  name: string,
  { host, days, folder }: AddOptions,
): Promise<void> {
  const { error } = Name.safeParse(name)
  if (error) throw new ScissionError('badRequest', `${name}: ${error.issues[0]?.message}`)
  const certificate = path.join(folder, `${name}.pem`)
  const hosts = host ?? (await hostsOf(certificate)).filter((one) => one !== name)
  const made = await makeCertificate(readAuthority(folder), name, { hosts, days })
  const key = path.join(folder, `${name}.key`)
  // One that is there is renewed: a service takes the new one while it runs.
  await replaceFile(key, async (partial) => writeSecretFile(partial, made.key))
  await replaceFile(certificate, async (partial) => writePublicFile(partial, made.certificate))
  context.print({ name, certificate, key, hosts: [name, ...hosts], days }, (shown) => addText(shown, folder))
}

/** Of the certificate that is renewed; none if there is none yet. @throws ScissionError badRequest if it is damaged. */
async function hostsOf(file: string): Promise<string[]> {
  const text = await readIfThere(file)
  if (text === undefined) return []
  try {
    const { subjectAltName = '' } = new X509Certificate(text)
    return [...subjectAltName.matchAll(/(?:DNS|IP Address):([^,\s]+)/g)].map(([, host = '']) => host)
  } catch (thrown) {
    throw new ScissionError(
      'badRequest',
      `${file} is no certificate (${coerceError(thrown).message}): say by --host how the service is called, or remove the file`,
    )
  }
}

function readAuthority(folder: string): CertificateFiles {
  const file = path.join(folder, 'ca.pem')
  try {
    return {
      certificate: readFileSync(file, 'utf8'),
      key: readSecretFile(path.join(folder, 'ca.key'), '--folder'),
    }
  } catch (thrown) {
    if (thrown instanceof ScissionError) throw thrown
    throw new ScissionError(
      'badRequest',
      `--folder ${folder}: there is no authority (${coerceError(thrown).message}); scission certs init makes one`,
    )
  }
}

const initText = (authority: string, folder: string): string =>
  `${authority} is for every service: SCISSION_TLS_CA=${authority}
${path.join(folder, 'ca.key')} signs certificates: keep it with you
next, for each service: scission certs add NAME --host ADDRESS`

const addText = (
  { name, certificate, key, days }: { name: string; certificate: string; key: string; days: number },
  folder: string,
): string =>
  `${name} holds for ${days} days; its service takes
  SCISSION_TLS_CERT=${certificate} SCISSION_TLS_KEY=${key} SCISSION_TLS_CA=${path.join(folder, 'ca.pem')}`
