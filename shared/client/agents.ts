/** The connections of typed clients: kept alive, a limited number to each peer, with the certificates of who calls. */
import http from 'node:http'
import https from 'node:https'
import { type Credentials, NO_CREDENTIALS } from '../platform/credentials.ts'
import { checkedAgent } from '../platform/checked-lookup.ts'
import { CLIENT_IDLE_MS } from '../platform/idle-connections.ts'

/** The timeout is one of free connections: requests have limits of their own. */
const SETTINGS = { keepAlive: true, maxSockets: 256, maxFreeSockets: 16, timeout: CLIENT_IDLE_MS }

interface Agents {
  httpAgent: http.Agent
  httpsAgent: https.Agent
}

/** Of all clients of this process with the same credentials. */
const known = new WeakMap<Credentials, Agents>()

export function agentsOf(credentials: Credentials = NO_CREDENTIALS): Agents {
  const found = known.get(credentials)
  if (found) return found
  const made = {
    httpAgent: checkedAgent(new http.Agent(SETTINGS)),
    httpsAgent: checkedAgent(withCertificates(new https.Agent(SETTINGS), credentials)),
  }
  known.set(credentials, made)
  return made
}

/** As they are when the connection is made: they may be replaced while a service runs. */
function withCertificates(agent: https.Agent, { tls }: Credentials): https.Agent {
  if (!tls) return agent
  const connect = agent.createConnection.bind(agent)
  agent.createConnection = (options, callback) => connect({ ...options, ...tls.context }, callback)
  return agent
}
