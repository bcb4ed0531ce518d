/** Whether a service may listen where it is told to: beyond this machine it needs to know who calls it. */
import { ScissionError } from '../errors.ts'
import { isLoopback } from '../loopback.ts'

export interface BindSettings {
  host: string
  internalHost: string
  internalPort: '' | number
  insecure: boolean
  identity: 'auto' | 'always'
}

/** The interfaces of its doors. */
const hostsOf = ({ host, internalHost, internalPort }: BindSettings): string[] =>
  internalPort === '' ? [host] : [host, internalHost || host]

/** Whether somebody on another machine could reach the service. */
export const isExposed = (settings: BindSettings): boolean => !hostsOf(settings).every(isLoopback)

/** @throws ScissionError badRequest, which says what to do. */
export function refuseOpenBind(settings: BindSettings, hasSystemKey: boolean): void {
  if (hasSystemKey) return
  if (settings.identity === 'always')
    throw new ScissionError(
      'badRequest',
      'SCISSION_IDENTITY=always: no system key is given, so that no token can hold. Make one with `scission keys init ' +
        'system.key` and set SCISSION_SYSTEM_KEY_FILE=system.key for every service of the system',
    )
  if (!isExposed(settings) || settings.insecure) return
  const host = hostsOf(settings).find((one) => !isLoopback(one))
  throw new ScissionError(
    'badRequest',
    `SCISSION_HOST=${host}: whoever reaches this address could do everything, because no system key is given. Make one with ` +
      '`scission keys init system.key`, give it to every service of the system and set SCISSION_SYSTEM_KEY_FILE=system.key; ' +
      'or listen on 127.0.0.1. SCISSION_INSECURE=1 listens all the same',
  )
}
