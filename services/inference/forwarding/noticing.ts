/** What this resource notices of its peers and deployments, and how it tells of it: as conditions. */
import { conditionId } from '../../../shared/contracts/condition.ts'
import { Conditions, type ConditionsDeps } from '../../../shared/platform/redis/conditions.ts'
import { Breakers } from './breaker.ts'
import { Predictions } from './predictions.ts'
import { StandInConditions } from './stand-in-conditions.ts'
import { StandIns } from './stand-ins.ts'
import type { Peer, Peers } from '../registration/peers.ts'
import { WrongMachines } from '../registration/wrong-machines.ts'
import type { State } from '../../../shared/platform/redis/state.ts'

export interface Noticing {
  conditions: Conditions
  breakers: Breakers
  standIns: StandIns
  predictions: Predictions
  wrongMachines: WrongMachines
  /** Has the address of a peer looked at, at which another machine seems to answer. */
  doubt: (peer: Peer) => void
  /** Ends what was noticed of a deployment that is released. */
  forget: (id: string) => void
}

/** @param isHeld false for a deployment that was released while its last requests ran. */
export function createNoticing(
  deps: ConditionsDeps & { state: State; peers: Peers },
  isHeld: (id: string) => boolean,
): Noticing {
  const { by: resource, state, log, isOwner, peers } = deps
  const conditions = new Conditions(deps)
  const told = new StandInConditions({ resource, conditions, isHeld })
  const standIns = new StandIns({ resource, state, log, told, ...(isOwner && { isOwner }) })
  const predictions = new Predictions({ conditions, isHeld })
  const breakers = new Breakers((peer, open, reason) => {
    const condition = { kind: 'open-breaker', about: [resource, peer], resource: peer } as const
    if (open) conditions.begin({ ...condition, message: `${resource} leaves ${peer} alone: ${reason}` })
    else conditions.end(conditionId(condition.kind, condition.about), `${peer} answers again`)
  })
  const wrongMachines = new WrongMachines({ resource, peers, conditions })
  const doubt = (peer: Peer) => wrongMachines.doubt(peer)
  const forget = (id: string) => {
    told.forget(id)
    predictions.forget(id)
    conditions.endThose(({ deployment }) => deployment === id, `deployment ${id} is gone`)
  }
  return { conditions, breakers, standIns, predictions, wrongMachines, doubt, forget }
}
