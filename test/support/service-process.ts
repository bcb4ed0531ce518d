/** A service as a process of its own, which can be killed and may have another clock. */
import { type ManagedProcess, startProcess } from '../../infra/start/processes/process.ts'
import { createLog } from '../../shared/platform/log.ts'

const log = createLog('test', 'silent')
const SHIFT_CLOCK = new URL('./shift-clock.mjs', import.meta.url).href

/** @param clockMs how far its clock is ahead of this process'. */
export function startServiceProcess(
  service: 'benchmark' | 'planner' | 'inference',
  env: Record<string, string>,
  clockMs = 0,
): Promise<ManagedProcess> {
  const shifted = { NODE_OPTIONS: `--import ${SHIFT_CLOCK}`, CLOCK_OFFSET_MS: String(clockMs) }
  return startProcess({
    name: env.SCISSION_RESOURCE ?? service,
    entry: new URL(`../../services/${service}/main.ts`, import.meta.url),
    env: { SCISSION_PORT: '0', ...env, ...(clockMs !== 0 && shifted) },
    log,
  })
}

/** SIGKILL, as a crash or a power cut: the process can tell nobody. */
export async function crash({ pid, exited }: ManagedProcess): Promise<void> {
  if (pid === undefined) throw new Error('the process was not started')
  process.kill(pid, 'SIGKILL')
  await exited
}
