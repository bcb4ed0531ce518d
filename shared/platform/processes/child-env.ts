/**
 * The environment of processes that open models: what runs in them is a large library in C++ on input of strangers, and needs no
 * secret of the service that starts it.
 */
const SECRETS = /^(REDIS_URL|SCISSION_(REDIS_PASSWORD|SYSTEM_KEY|TOKEN|TLS_KEY)(_FILE)?)$/

export const withoutSecrets = (env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(env).filter(([name]) => !SECRETS.test(name)))
