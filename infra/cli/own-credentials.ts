/** What the command line shows of itself, from the environment: a token, or the system key, which makes it an operator. */
import { existsSync } from 'node:fs'
import { bearer, type Credentials, NO_CREDENTIALS } from '../../shared/platform/credentials.ts'
import { Secret } from '../../shared/platform/access/secret.ts'
import { SystemKey } from '../../shared/platform/access/system-key.ts'
import { Tls } from '../../shared/platform/access/tls.ts'
import { createLog } from '../../shared/platform/log.ts'
import { credentialsOfToken } from '../../shared/platform/access/pass.ts'
import { hasJwtForm, parseToken } from '../../shared/platform/access/token.ts'
import { keyPathIn } from '../start/system-key-file.ts'
import { ScissionError } from '../../shared/platform/errors.ts'

/**
 * @param system data folder of the system that was found running here, whose key is at hand.
 * @throws ScissionError badRequest if a token or key is given that is none.
 */
export function ownCredentials(env: NodeJS.ProcessEnv, system?: string): Credentials {
  const tls = ownTls(env)
  const token = Secret.from('SCISSION_TOKEN', env)
  if (token) {
    const own = parseToken(token.text)
    if (own) return { ...credentialsOfToken(() => own), tls }
    if (!hasJwtForm(token.text))
      throw new ScissionError(
        'badRequest',
        `${token.where}: not a token, which looks like scn_ID_SECRET, or is a JSON Web Token of your identity provider`,
      )
    return { authorization: () => bearer(token.text), tls }
  }
  const systemKey =
    Secret.from('SCISSION_SYSTEM_KEY', env) ??
    (system !== undefined && existsSync(keyPathIn(system))
      ? Secret.from('SCISSION_SYSTEM_KEY', { SCISSION_SYSTEM_KEY_FILE: keyPathIn(system) })
      : undefined)
  const key = systemKey && SystemKey.read(systemKey.text, systemKey.where)
  if (!key?.isPrivate) return tls ? { ...NO_CREDENTIALS, tls } : NO_CREDENTIALS
  const own = key.tokenOf('operator', 'system')
  return { ...credentialsOfToken(() => own), tls }
}

/** SCISSION_TLS_CA, for services with certificates of one's own authority; the others for one that asks clients for theirs. */
function ownTls(env: NodeJS.ProcessEnv): Tls | undefined {
  const { SCISSION_TLS_CERT: tlsCert = '', SCISSION_TLS_KEY: tlsKey = '', SCISSION_TLS_CA: tlsCa = '' } = env
  return Tls.from({ tlsCert, tlsKey, tlsCa }, createLog('scission', 'silent'))
}
