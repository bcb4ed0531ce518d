/** Runs inputs of a target, one after another, and says which broke its law, so that it can be run again. */
import { coerceError } from '../../shared/platform/errors.ts'
import { inputOf, type OpenTarget, type Target } from './target.ts'

export interface Broken {
  target: string
  /** The input's number: `npm run bench -- fuzz --target NAME --seed NUMBER --count 1`. Absent = it was given. */
  seed?: number
  error: Error
  /** `npm run bench -- fuzz --target NAME --replay BASE64`. */
  base64: string
}

export interface Ran {
  target: string
  inputs: number
  tookMs: number
  slowestMs: number
  grownBytes: number
  broken: Broken[]
}

export interface Plan {
  /** Of the first input; those behind it are numbered on. */
  seed: number
  count: number
  /** Told of each input before it runs: whoever watches this process knows then what it was at. */
  onInput?: (seed: number) => void
}

/** After so many broken inputs of one target it is known well enough. */
const ENOUGH_BROKEN = 20
const GIVE_WAY = 256

export async function runTarget(target: Target, { seed, count, onInput }: Plan): Promise<Ran> {
  const open = await target.open()
  const stray: Error[] = []
  const onStray = (thrown: unknown) => void stray.push(coerceError(thrown))
  process.on('uncaughtException', onStray).on('unhandledRejection', onStray)
  const before = process.memoryUsage().rss
  const ran: Ran = { target: target.name, inputs: 0, tookMs: 0, slowestMs: 0, grownBytes: 0, broken: [] }
  const startedAt = performance.now()
  try {
    for (let at = seed; at < seed + count && ran.broken.length < ENOUGH_BROKEN; at += 1) {
      onInput?.(at)
      const input = inputOf(target, open.seeds, at)
      const inputAt = performance.now()
      const error = (await fault(target, open, input)) ?? stray.shift()
      if (error) ran.broken.push({ target: target.name, seed: at, error, base64: input.toString('base64') })
      ran.slowestMs = Math.max(ran.slowestMs, performance.now() - inputAt)
      ran.inputs += 1
      if (ran.inputs % GIVE_WAY === 0) await new Promise(setImmediate)
    }
    await new Promise(setImmediate)
    for (const error of stray) ran.broken.push({ target: target.name, error, base64: '' })
  } finally {
    process.off('uncaughtException', onStray).off('unhandledRejection', onStray)
    await open.close?.()
  }
  ran.tookMs = performance.now() - startedAt
  ran.grownBytes = process.memoryUsage().rss - before
  if (ran.grownBytes > target.growthBytes)
    ran.broken.push({
      target: target.name,
      error: new Error(`memory has grown by ${ran.grownBytes} bytes, ${target.growthBytes} were allowed`),
      base64: '',
    })
  return ran
}

/** Runs one input as it was printed. */
export async function replay(target: Target, base64: string): Promise<Broken | undefined> {
  const open = await target.open()
  try {
    const error = await fault(target, open, Buffer.from(base64, 'base64'))
    return error && { target: target.name, error, base64 }
  } finally {
    await open.close?.()
  }
}

async function fault(
  { deadlineMs }: Target,
  open: OpenTarget,
  input: Uint8Array,
): Promise<Error | undefined> {
  const startedAt = performance.now()
  let timer: NodeJS.Timeout | undefined
  try {
    const running = open.run(input)
    if (running) {
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`it has not settled after ${deadlineMs} ms`)), deadlineMs)
      })
      await Promise.race([running, late])
    }
    const tookMs = performance.now() - startedAt
    return tookMs > deadlineMs
      ? new Error(`it took ${tookMs.toFixed(0)} ms, ${deadlineMs} were allowed`)
      : undefined
  } catch (thrown) {
    return coerceError(thrown)
  } finally {
    clearTimeout(timer)
  }
}

/** What is printed of a broken input. */
export const told = ({ target, seed, error, base64 }: Broken): string =>
  [
    `${target}${seed === undefined ? '' : `, seed ${seed}`}: ${error.stack ?? error.message}`,
    ...(base64 ? [`npm run bench -- fuzz --target ${target} --replay ${base64.slice(0, 20_000)}`] : []),
  ].join('\n')
