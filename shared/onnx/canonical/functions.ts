/**
 * Local functions of a model. A piece of a model carries only those that its nodes call: directly, in their bodies, or by
 * way of other functions.
 */
import type { FunctionProto, ModelProto, NodeProto } from '../proto/onnx_pb.ts'
import { stronglyConnected } from './components.ts'
import { bodiesOf } from './scope.ts'

/** What a call finds a function by: domain, name and overload. */
type FunctionKey = string

const keyOf = (domain: string, name: string, overload: string): FunctionKey =>
  [domain, name, overload].join('\n')

export const functionKey = ({ domain, name, overload }: FunctionProto): FunctionKey =>
  keyOf(domain, name, overload)

/** The key of the function that a node calls, if the model has one with it. */
export const operatorKey = ({ domain, opType, overload }: NodeProto): FunctionKey =>
  keyOf(domain, opType, overload)

/** The operators that nodes and their bodies run, as keys. */
export function operatorKeys(nodes: readonly NodeProto[]): Set<FunctionKey> {
  const keys = new Set<FunctionKey>()
  const pending = [...nodes]
  for (let node = pending.pop(); node; node = pending.pop()) {
    keys.add(operatorKey(node))
    for (const body of bodiesOf(node)) for (const inner of body.node) pending.push(inner)
  }
  return keys
}

/**
 * The functions behind `calls`, and those that these call in turn.
 * @param functions by key, each with the keys that it calls itself. @returns each once.
 */
export function reachedFunctions<Fn extends { calls: Iterable<FunctionKey> }>(
  functions: ReadonlyMap<FunctionKey, Fn>,
  calls: Iterable<FunctionKey>,
): Fn[] {
  const reached = new Set<Fn>()
  const pending = [...calls]
  for (let key = pending.pop(); key !== undefined; key = pending.pop()) {
    const fn = functions.get(key)
    if (!fn || reached.has(fn)) continue
    reached.add(fn)
    for (const call of fn.calls) pending.push(call)
  }
  return [...reached]
}

/** A model's functions as `reachedFunctions` wants them. Of two with one key ONNX Runtime takes the last. */
export function functionsByKey<More extends object>(
  functions: readonly FunctionProto[],
  more: (fn: FunctionProto) => More,
): Map<FunctionKey, More & { calls: ReadonlySet<FunctionKey> }> {
  return new Map(functions.map((fn) => [functionKey(fn), { ...more(fn), calls: operatorKeys(fn.node) }]))
}

/** The functions that nodes call, at any depth. */
export function calledFunctions(
  functions: readonly FunctionProto[],
  nodes: readonly NodeProto[],
): FunctionProto[] {
  if (functions.length === 0) return []
  const byKey = functionsByKey(functions, (fn) => ({ fn }))
  return reachedFunctions(byKey, operatorKeys(nodes)).map(({ fn }) => fn)
}

/**
 * True if a function calls itself, by way of others too, for a reader that takes each call for one of the overload ''. ONNX
 * Runtime is one inside functions, and then replaces calls without an end.
 */
export function areEndless(functions: readonly FunctionProto[]): boolean {
  if (functions.every(({ overload }) => overload === '')) return false
  const plain = functions.filter(({ overload }) => overload === '')
  const index = new Map(plain.map((fn, at) => [functionKey(fn), at]))
  const calls = plain.map(({ node }) =>
    [...operatorKeys(node)].flatMap((key) => index.get(withoutOverload(key)) ?? []),
  )
  const components = stronglyConnected(plain.length, (at) => calls[at] ?? [])
  return new Set(components).size < plain.length || calls.some((called, at) => called.includes(at))
}

const withoutOverload = (key: FunctionKey): FunctionKey => {
  const [domain = '', name = ''] = key.split('\n')
  return keyOf(domain, name, '')
}

/**
 * Gives each overload of a function a name of its own, in place, also where it is called. ONNX Runtime finds an overload from
 * the graph, but not from inside another function, in which nodes may end up here (join-nodes.ts).
 */
export function nameOverloads({ graph, functions }: Pick<ModelProto, 'graph' | 'functions'>): void {
  const overloaded = functions.filter(({ overload }) => overload !== '')
  if (overloaded.length === 0) return
  const taken = new Set(functions.map(({ domain, name }) => keyOf(domain, name, '')))
  const names = new Map<FunctionKey, string>()
  for (const fn of overloaded) {
    const key = functionKey(fn)
    let name = names.get(key) ?? `${fn.name}_${fn.overload}`
    while (!names.has(key) && taken.has(keyOf(fn.domain, name, ''))) name += '_'
    taken.add(keyOf(fn.domain, name, ''))
    names.set(key, name)
    fn.name = name
    fn.overload = ''
  }
  const pending = [...(graph?.node ?? []), ...functions.flatMap(({ node }) => node)]
  for (let node = pending.pop(); node; node = pending.pop()) {
    const name = node.overload === '' ? undefined : names.get(operatorKey(node))
    if (name !== undefined) {
      node.opType = name
      node.overload = ''
    }
    for (const body of bodiesOf(node)) for (const inner of body.node) pending.push(inner)
  }
}
