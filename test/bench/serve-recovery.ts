/**
 * The edge is killed under load and comes back: how long until the fallback answers, how long until the edge does again,
 * and what became of the requests meanwhile. The clients share this process; each request has a deadline of its own.
 */
import { messageHeaders } from '../../shared/oip/binary-message.ts'
import { writeInferRequest } from '../../shared/oip/request-message.ts'
import { parseInferResponse } from '../../shared/oip/response-message.ts'
import { typedView } from '../../shared/oip/typed-view.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { buildZooModel } from '../../shared/zoo/index.ts'
import { figure, type Result } from './bench.ts'
import { cutAt, type ServeModel, type ServeSystem } from './serve-setup.ts'

const ROUNDS = 3
const PER_SECOND = 50
const DEADLINE_MS = 1000
/** From the service's last word to the client's clock: both run on two busy cores. */
const CLOCK_GRACE_MS = 100
const FALLBACK_FLOOR_MS = 1000
const RETURN_FLOOR_MS = 5000
/** Before the kill, on the fallback, and after the return. */
const PHASE_MS = 3000
/** The answers of a cut model and of the whole one. */
const TOLERANCE = 1e-5

interface Outcome {
  sentAt: number
  doneAt: number
  /** `clear`: an error that names the edge. `lost`: anything else, or too late. */
  kind: 'right' | 'clear' | 'lost'
  /** The resource that ran the second half. */
  by: string | undefined
  said: string | undefined
}

interface Round {
  fallbackMs: number
  returnMs: number
  /** Time of the slowest right answer. */
  slowestMs: number
  outcomes: Outcome[]
}

export async function recovery(serving: ServeSystem): Promise<Result> {
  const model = await serving.upload('mobilenetv2', (file) => buildZooModel('mobilenetv2', file))
  const cut = cutAt(model.structure, 0.5)
  await serving.deploy(
    'recovery',
    model,
    [
      ['device', 0, cut],
      ['edge', cut, model.structure.layers.length],
    ],
    { fallback: 'native' },
  )
  const { outputs } = await serving.infer('device', model.id, model.inputs)
  for (let count = 0; count < PER_SECOND; count += 1) await serving.infer('device', 'recovery', model.inputs)
  const rounds: Round[] = []
  for (let round = 0; round < ROUNDS; round += 1) rounds.push(await loseTheEdge(serving, model, outputs))
  const all = rounds.flatMap((round) => round.outcomes)
  const count = (kind: Outcome['kind']) => all.filter((outcome) => outcome.kind === kind).length
  const worst = (of: (round: Round) => number) => Math.max(...rounds.map(of))
  const name = `edge killed at ${PER_SECOND} requests/s`
  return {
    figures: [
      figure(
        `${name}: until the fallback answers, worst of ${ROUNDS}`,
        worst((round) => round.fallbackMs),
        'ms',
        'lower',
        FALLBACK_FLOOR_MS,
      ),
      figure(
        `${name}: from its return until it answers again, worst of ${ROUNDS}`,
        worst((round) => round.returnMs),
        'ms',
        'lower',
        RETURN_FLOOR_MS,
      ),
      figure(`${name}: lost of ${all.length} requests`, count('lost'), '', 'lower', 0),
      figure(`${name}: clear errors`, count('clear'), '', 'lower', null),
      figure(
        `${name}: slowest right answer`,
        worst((round) => round.slowestMs),
        'ms',
        'lower',
        null,
      ),
    ],
    raw: rounds,
  }
}

async function loseTheEdge(
  serving: ServeSystem,
  model: ServeModel,
  expected: readonly Tensor[],
): Promise<Round> {
  const load = startLoad(serving, model, expected)
  await load.until(({ by }) => by === 'edge', 0)
  await sleep(PHASE_MS)
  const killedAt = performance.now()
  await serving.kill('edge')
  const onFallback = await load.until(({ by }) => by === 'device', killedAt)
  await sleep(PHASE_MS)
  await serving.start('edge')
  const backAt = performance.now()
  const onEdge = await load.until(({ by }) => by === 'edge', backAt)
  await sleep(PHASE_MS)
  const outcomes = await load.stop()
  // Nobody is served again while errors go on.
  const lastFailure = Math.max(
    killedAt,
    ...outcomes.filter(({ kind, sentAt }) => kind !== 'right' && sentAt < backAt).map(({ doneAt }) => doneAt),
  )
  const right = outcomes.filter(({ kind }) => kind === 'right')
  return {
    fallbackMs: Math.max(onFallback.doneAt, lastFailure) - killedAt,
    returnMs: onEdge.doneAt - backAt,
    slowestMs: Math.max(...right.map(({ sentAt, doneAt }) => doneAt - sentAt)),
    outcomes,
  }
}

/** Requests at a steady rate, whatever becomes of them. */
function startLoad(serving: ServeSystem, model: ServeModel, expected: readonly Tensor[]) {
  const pending: Promise<Outcome>[] = []
  const outcomes: Outcome[] = []
  const send = () => {
    const asked = ask(serving, model, expected)
    pending.push(asked)
    void asked.then((outcome) => outcomes.push(outcome))
  }
  const timer = setInterval(send, 1000 / PER_SECOND)
  return {
    /** The first right answer to a request sent after `since` that is `wanted`. */
    async until(wanted: (outcome: Outcome) => boolean, since: number): Promise<Outcome> {
      const giveUpAt = performance.now() + 60_000
      while (performance.now() < giveUpAt) {
        const found = outcomes.find(
          (outcome) => outcome.kind === 'right' && outcome.doneAt > since && wanted(outcome),
        )
        if (found) return found
        await sleep(5)
      }
      throw new Error(
        `not answered so within a minute; the last answers: ${JSON.stringify(outcomes.slice(-3))}`,
      )
    },
    async stop(): Promise<Outcome[]> {
      clearInterval(timer)
      return Promise.all(pending)
    },
  }
}

async function ask(
  { caller, urlOf }: ServeSystem,
  model: ServeModel,
  expected: readonly Tensor[],
): Promise<Outcome> {
  const sentAt = performance.now()
  const parameters = { binary_data_output: true, timeout: DEADLINE_MS * 1000 }
  const message = writeInferRequest({ inputs: model.inputs, parameters })
  const end = (kind: Outcome['kind'], by?: string, said?: string): Outcome => {
    const doneAt = performance.now()
    const inTime = doneAt - sentAt <= DEADLINE_MS + CLOCK_GRACE_MS
    return { sentAt, doneAt, kind: inTime ? kind : 'lost', by, said }
  }
  try {
    const answer = await caller.send({
      method: 'POST',
      url: `${urlOf('device')}/v2/models/recovery/infer`,
      headers: messageHeaders(message),
      body: [message.json, ...message.binary],
      timeoutMs: 10 * DEADLINE_MS,
      maxBytes: 1e9,
    })
    if (answer.status === 200) {
      const { outputs, parameters: told } = parseInferResponse(answer.json, answer.tensors)
      const by = String(told['scission_hop1_resource'])
      return same(expected, outputs) ? end('right', by) : end('lost', by, 'a wrong answer')
    }
    const said = `${answer.status} ${Buffer.from(answer.json).toString()}`
    return end(/^50[234] .*\bedge\b/.test(said) ? 'clear' : 'lost', undefined, said)
  } catch (error) {
    return end('lost', undefined, String(error))
  }
}

function same(expected: readonly Tensor[], outputs: readonly Tensor[]): boolean {
  return expected.every((tensor) => {
    const other = outputs.find(({ name }) => name === tensor.name)
    if (!other || other.bytes.length !== tensor.bytes.length) return false
    const [values, others] = [typedView(tensor), typedView(other)]
    let [largest, apart] = [0, 0]
    for (let index = 0; index < values.length; index += 1) {
      largest = Math.max(largest, Math.abs(Number(values[index])))
      apart = Math.max(apart, Math.abs(Number(values[index]) - Number(others[index])))
    }
    return apart <= TOLERANCE * largest
  })
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
