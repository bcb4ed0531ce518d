/** The system of docs/guides/own-machines.md on three machines: Redis, benchmark and planner on `cloud`, inference on each. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { nodeArguments } from '../../infra/start/processes/entry.ts'
import { SystemKey } from '../../shared/platform/access/system-key.ts'
import { formatToken } from '../../shared/platform/access/token.ts'
import { bearer } from '../../shared/platform/credentials.ts'
import { keyFileIn } from '../../infra/start/system-key-file.ts'
import { REAL_SERVER } from '../redis/persistent-server.ts'
import { eventually } from '../support/eventually.ts'
import { guideRedisOptions, guideSettings } from './guide.ts'
import { Lab, type Lane } from './lab.ts'
import { Machine, type Running } from './machine.ts'
import { JSON_TYPE } from '../support/json-type.ts'

const Items = z.object({ items: z.array(z.unknown()) })
const Resources = z.object({ items: z.array(z.object({ name: z.string(), alive: z.boolean() })) })
const NAMES = ['device', 'edge', 'cloud'] as const
export type Name = (typeof NAMES)[number]
const PASSWORD = 'between-machines'
/** A network in one building. */
export const LAN: Lane = { from: '*', to: '*', delayMs: 1, mbps: 500 }
const SHIFT_CLOCK = new URL('../support/shift-clock.mjs', import.meta.url).href

/** Settings that give a process a clock which is off. */
export const clock = (offMs: number) => ({
  NODE_OPTIONS: `--import ${SHIFT_CLOCK}`,
  CLOCK_OFFSET_MS: String(offMs),
})

export class ThreeMachines {
  readonly lab: Lab
  readonly machines: Record<Name, Machine>
  readonly #inference = new Map<Name, Running>()

  readonly #keyFile: string
  /** Header of an operator. */
  readonly shown: Record<string, string>

  private constructor(lab: Lab, folder: string) {
    this.lab = lab
    this.#keyFile = keyFileIn(folder)
    const key = SystemKey.read(readFileSync(this.#keyFile, 'utf8'), this.#keyFile)
    this.shown = { Authorization: bearer(formatToken(key.tokenOf('operator', 'system'))) }
    const machine = (name: Name) => new Machine(lab, name, folder)
    this.machines = { device: machine('device'), edge: machine('edge'), cloud: machine('cloud') }
  }

  static async start(folder: string): Promise<ThreeMachines> {
    const all = new ThreeMachines(await Lab.start(NAMES, [LAN]), folder)
    try {
      await all.#startAll(folder)
      return all
    } catch (thrown) {
      await all.close()
      throw thrown
    }
  }

  /** Where services of a machine are called. */
  url(name: Name, port: number): string {
    return `http://${this.machines[name].address}:${port}`
  }
  get benchmarkUrl(): string {
    return this.url('cloud', 8081)
  }
  get plannerUrl(): string {
    return this.url('cloud', 8082)
  }
  inferenceUrl(name: Name): string {
    return this.url(name, 8090)
  }
  get redisUrl(): string {
    const password = REAL_SERVER === undefined ? '' : `:${PASSWORD}@`
    return `redis://${password}${this.machines.cloud.address}:6379`
  }

  /** What a machine's own inference service is told. */
  settingsOf(name: Name): Record<string, string> {
    return {
      ...guideSettings('inference', { ...this.#values, gateway: this.machines[name].address }),
      ...this.#ownFiles,
      SCISSION_RESOURCE: name,
      SCISSION_TIER: name,
      // A small board: what it computes takes longer than what the network takes to carry it away.
      ...(name === 'device' && { SCISSION_SLOWDOWN: '20' }),
    }
  }

  /** What the guide's names stand for. */
  get #values(): Record<string, string> {
    const { address } = this.machines.cloud
    return { redis: address, models: address, plans: address, PASSWORD }
  }

  /** The copy of the key; and the emulated Redis, if there is no other, has no password. */
  get #ownFiles(): Record<string, string> {
    const files = { SCISSION_SYSTEM_KEY_FILE: this.#keyFile }
    return REAL_SERVER === undefined ? { ...files, REDIS_URL: this.redisUrl } : files
  }

  async startInference(name: Name, more: Record<string, string> = {}): Promise<Running> {
    const running = await this.machines[name].startService('inference', { ...this.settingsOf(name), ...more })
    this.#inference.set(name, running)
    return running
  }

  /** As a machine is switched off and on again, with other settings. */
  async startAgain(name: Name, more: Record<string, string> = {}): Promise<void> {
    await this.#inference.get(name)?.stop()
    await this.startInference(name, more)
    await this.untilReady(this.inferenceUrl(name))
  }

  /** A command line of a person who sits at the device. @throws Error with what it printed, unless it ends with 0. */
  async scission(...args: string[]): Promise<string> {
    const where = {
      SCISSION_SYSTEM_KEY_FILE: this.#keyFile,
      SCISSION_BENCHMARK_URL: this.benchmarkUrl,
      SCISSION_PLANNER_URL: this.plannerUrl,
    }
    const { code, stdout, stderr } = await this.machines.device.scission(args, where)
    if (code !== 0) throw new Error(`scission ${args.join(' ')} ended with ${code}:\n${stdout}\n${stderr}`)
    return stdout
  }

  /** Asked from the device, answered as JSON. @throws Error unless the status is 2xx. */
  async json(url: string, method: 'GET' | 'POST' = 'GET', body?: unknown): Promise<unknown> {
    const { status, bytes } = await this.machines.device.ask({
      url,
      method,
      headers: { ...this.shown, ...(body !== undefined && JSON_TYPE) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const answer = Buffer.from(bytes).toString()
    if (status >= 300) throw new Error(`${method} ${url}: ${status} ${answer}`)
    return JSON.parse(answer)
  }

  /** Names of the machines that the planner takes for alive. */
  async alive(): Promise<string[]> {
    const { items } = Resources.parse(await this.json(`${this.plannerUrl}/v1/resources`))
    return items.filter(({ alive }) => alive).map(({ name }) => name)
  }

  /** How many items a list has. */
  async count(url: string): Promise<number> {
    return Items.parse(await this.json(url)).items.length
  }

  /** Those of all services. */
  services(): string[] {
    return [this.benchmarkUrl, this.plannerUrl, ...NAMES.map((name) => this.inferenceUrl(name))]
  }

  async measureLinks(): Promise<void> {
    for (const name of ['device', 'edge'] as const)
      await this.json(`${this.inferenceUrl(name)}/v1/links/measure`, 'POST')
  }

  /** Empties Redis. */
  async flushRedis(): Promise<void> {
    const flush = new URL('entries/flush.ts', import.meta.url)
    const command = [process.execPath, ...nodeArguments(flush), this.redisUrl]
    await this.machines.cloud.run(command).exited
  }

  async close(): Promise<void> {
    for (const machine of Object.values(this.machines)) await machine.close()
    await this.lab.close()
  }

  untilReady(url: string): Promise<void> {
    return eventually(async () => void (await this.json(`${url}/readyz`)))
  }

  async #startAll(folder: string): Promise<void> {
    const { cloud } = this.machines
    await this.#startRedis(folder)
    const settings = (service: 'benchmark' | 'planner') => ({
      ...guideSettings(service, this.#values),
      ...this.#ownFiles,
    })
    await Promise.all([
      cloud.startService('benchmark', settings('benchmark')),
      cloud.startService('planner', settings('planner')),
      ...NAMES.map((name) => this.startInference(name)),
    ])
    for (const url of this.services()) await this.untilReady(url)
  }

  async #startRedis(folder: string): Promise<void> {
    const { cloud } = this.machines
    if (REAL_SERVER !== undefined) {
      cloud.run([REAL_SERVER, ...guideRedisOptions(this.#values), '--dir', folder])
      return
    }
    const entry = new URL('../redis/entries/emulated.ts', import.meta.url)
    await once(cloud.run([process.execPath, ...nodeArguments(entry), '6379']).child, 'message')
  }
}
