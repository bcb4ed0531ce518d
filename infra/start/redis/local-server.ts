/** What a Redis of our own is told, and told apart by: it listens on this machine only and asks for a password. */
import { randomBytes } from 'node:crypto'

/** Arguments show in a list of processes, the environment only to the process' own user. */
const PASSWORD = 'SCISSION_REDIS_PASSWORD'
const HOST = '127.0.0.1'
const PASSWORD_BYTES = 24

/** The environment for an entry that starts a Redis. @returns a new password in it each time. */
export const withNewPassword = (): Record<string, string> => ({
  [PASSWORD]: randomBytes(PASSWORD_BYTES).toString('base64url'),
})

/** In an entry: the password that it was given; its own children do not get it. @throws Error if it was given none. */
export function takePassword(): string {
  const password = process.env[PASSWORD]
  delete process.env[PASSWORD]
  if (!password) throw new Error(`${PASSWORD} is not set: no Redis without a password is started`)
  return password
}

/** @returns the URL for clients. It holds the password: not to be printed. */
export const localUrl = (port: number, password: string) => `redis://:${password}@${HOST}:${port}`
