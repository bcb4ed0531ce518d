/** Prometheus metrics of conditions. Their one label is the kind, of which there are five. */
import { Counter, Gauge, type Registry } from 'prom-client'
import { CONDITION_KINDS, type ConditionKind } from '../contracts/condition.ts'

export interface ConditionCounts {
  /** Those that hold. */
  active: (kind: ConditionKind) => number
  /** Those that this process was the first to notice. */
  began: (kind: ConditionKind) => number
}

export function addConditionMetrics(registry: Registry, counts: ConditionCounts): void {
  const registers = [registry]
  const now = new Gauge({
    name: 'scission_conditions_active',
    help: 'Conditions that hold now, by kind: of an inference service those that it noticed, of a planner all',
    labelNames: ['kind'],
    registers,
    collect: () => CONDITION_KINDS.forEach((kind) => now.set({ kind }, counts.active(kind))),
  })
  const total = new Counter({
    name: 'scission_conditions_total',
    help: 'Conditions that this process was the first to notice, by kind: each is counted by one process',
    labelNames: ['kind'],
    registers,
    collect: () => {
      total.reset()
      CONDITION_KINDS.forEach((kind) => total.inc({ kind }, counts.began(kind)))
    },
  })
}
