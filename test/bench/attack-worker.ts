/**
 * The attacker, in a process of its own: what it computes for itself must not hold up the client that is measured.
 * argv: one JSON of Place. Told `begin` with the name of an attack, it says `begun`; told `end`, it says `ended` when nothing of
 * it is under way any more.
 */
import { setMaxListeners } from 'node:events'
import { dieWithParent, reportReady } from '../../infra/start/processes/die-with-parent.ts'
import { ATTACKS, type Place } from './attacks.ts'

export type Order = { begin: string } | { end: true }

dieWithParent()
const place = JSON.parse(process.argv[2] ?? '') as Place
let stop = new AbortController()
let attacking = Promise.resolve()

process.on('message', (order: Order) => {
  if ('begin' in order) {
    stop = new AbortController()
    // Each request listens to it until it is collected.
    setMaxListeners(0, stop.signal)
    attacking = ATTACKS[order.begin]?.run(place, stop.signal) ?? attacking
    process.send?.('begun')
  } else {
    stop.abort()
    void attacking.then(() => process.send?.('ended'))
  }
})
reportReady('none')
