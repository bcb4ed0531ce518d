/**
 * `npm start`: the whole product on one machine, shown at work.
 *
 *   parse options → bring the system up (system.ts) → walk the main path (demo/) → stay up until Ctrl-C
 *
 * With --once the system stops after the run. The exit code is 0 if every step worked and the outputs of the split model
 * equal those of the whole model.
 */
import { accessSync, constants, existsSync, realpathSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import colour from 'picocolors'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { KnownRevision } from '../../shared/client/known-revision.ts'
import { createPlannerClient } from '../../shared/client/planner.ts'
import { coerceError, ScissionError } from '../../shared/platform/errors.ts'
import { createLog, type Logger } from '../../shared/platform/log.ts'
import { makeFolder } from '../../shared/platform/make-folder.ts'
import { VERSION } from '../../shared/platform/version.ts'
import { buildZooModel } from '../../shared/zoo/index.ts'
import { describeFailure, exitCodeOf } from '../cli/exit-codes.ts'
import { demonstrate } from '../demo/demonstration.ts'
import type { Report } from '../demo/report.ts'
import { step, thingsToTry, verdictText } from '../demo/story.ts'
import { nameOfFile } from '../steps/upload-model.ts'
import { complain, say } from '../terminal/say.ts'
import { HELP, parseStartOptions, type StartOptions } from './options.ts'
import { orGivenUp } from './processes/or-given-up.ts'
import { stopOnSignals } from './processes/stop-on-signals.ts'
import { startSystem, type System, type SystemOptions } from './system.ts'

const ZOO_MODEL = 'mobilenetv2'

/** @param args the arguments after `npm start --`. @returns at the end of a --once run; otherwise as soon as the system is up. */
export async function start(args: string[]): Promise<void> {
  const options = parseStartOptions(args)
  if (options === 'help') {
    console.log(HELP)
    return
  }
  checkFiles(options)
  const dataDir = path.resolve(process.env.SCISSION_DATA ?? '.scission')
  await makeFolder(dataDir).catch((thrown: unknown) => {
    const why = coerceError(thrown).message
    throw new ScissionError(
      'badRequest',
      `SCISSION_DATA: ${dataDir} cannot be made: ${why}`,
      undefined,
      thrown,
    )
  })
  const log = createLog('scission', process.env.SCISSION_LOG_LEVEL ?? 'warn')
  say(colour.bold(`Scission ${VERSION}`))
  const report = reportOnce(options)
  let stopped: AbortSignal | undefined
  const onStop = (stop: () => Promise<void>) => {
    const signal = stopOnSignals(stop, log)
    signal.addEventListener('abort', () => report({ ok: false, error: coerceError(signal.reason).message }))
    stopped = signal
  }
  try {
    const system = await step('starting Redis, the services and the link emulator', (waitFor) =>
      startOrReport(report, { ...options, dataDir, log, onStop, waitFor }),
    )
    say(`  Redis: ${system.redis.description}`)
    if (!options.once) void system.gaveUp.then(({ message }) => complain(message))
    await show(options, system, { log, report, stopped: () => stopped?.aborted === true })
  } catch (thrown) {
    // While the services are being stopped, whatever is under way fails: that is no news.
    if (!stopped?.aborted) throw thrown
  }
}

/** Starts the system. If that fails, the report (if one was asked for) says so. */
async function startOrReport(report: WriteReport, settings: SystemOptions): Promise<System> {
  try {
    return await startSystem(settings)
  } catch (thrown) {
    report({ ok: false, error: describeFailure(thrown, false) })
    throw thrown
  }
}

interface Run {
  log: Logger
  report: WriteReport
  stopped: () => boolean
}

async function show(options: StartOptions, system: System, run: Run): Promise<void> {
  const { log, report, stopped } = run
  const { kind, description } = system.redis
  const { credentials } = system
  const redis = { kind, description }
  try {
    const known = new KnownRevision()
    const file = options.model ?? (await zooFile(system.dataDir))
    const demonstration = demonstrate({
      file,
      name: nameOfFile(file),
      inputShapes: options.inputShapes,
      samples: options.samples,
      benchmark: createBenchmarkClient(system.benchmarkUrl, known, credentials),
      planner: createPlannerClient(system.plannerUrl, known, credentials),
      credentials,
      redis,
    })
    // A run that ends by itself does not wait for what is not coming back.
    const outcome = options.once ? await orGivenUp(demonstration, system.gaveUp) : await demonstration
    report(outcome)
    say(`\n${verdictText(outcome)}`)
    if (!outcome.ok) process.exitCode = 1
    if (!options.once) {
      say(thingsToTry(system, outcome))
      return
    }
  } catch (thrown) {
    if (stopped()) throw thrown
    log.debug({ err: thrown }, 'the run failed')
    const error = describeFailure(thrown, false)
    complain(error)
    complain(`what the services printed: ${system.logFile}`)
    process.exitCode = exitCodeOf(thrown)
    report({ ok: false, error, redis })
  }
  await system.close()
}

/** Checks the files that are read and the report path first: otherwise an error would show only after minutes of work. */
function checkFiles({ model, samples, report }: StartOptions): void {
  const missing = [model, ...samples].find((file) => file !== undefined && !existsSync(file))
  if (missing !== undefined) throw new ScissionError('badRequest', `${missing}: there is no such file`)
  if (model === undefined && samples.length > 0)
    throw new ScissionError('badRequest', '--samples: they are for a model of yours, name its file too')
  if (report === undefined) return
  try {
    accessSync(path.dirname(path.resolve(report)), constants.W_OK)
  } catch (thrown) {
    throw new ScissionError(
      'badRequest',
      `--report ${report}: its folder cannot be written to`,
      undefined,
      thrown,
    )
  }
}

type WriteReport = (content: Report | { ok: false; error: string; redis?: Report['redis'] }) => void

/** Writes the report, if one was asked for. The first outcome stays: what Ctrl-C makes fail does not replace it. */
function reportOnce({ report }: StartOptions): WriteReport {
  let isWritten = false
  return (content) => {
    if (report !== undefined && !isWritten) writeFileSync(report, `${JSON.stringify(content, null, 1)}\n`)
    isWritten = true
  }
}

async function zooFile(dataDir: string): Promise<string> {
  const file = path.join(dataDir, `${ZOO_MODEL}.onnx`)
  await step(`building ${ZOO_MODEL} with seeded random weights`, () => buildZooModel(ZOO_MODEL, file))
  return file
}

// Starts only if this module is the program, not if the CLI imports it.
const program = process.argv[1] ?? ''
if (existsSync(program) && realpathSync(program) === fileURLToPath(import.meta.url)) {
  start(process.argv.slice(2)).then(
    () => undefined,
    (thrown: unknown) => {
      complain(describeFailure(thrown, false))
      process.exit(exitCodeOf(thrown))
    },
  )
}
