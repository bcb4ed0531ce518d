/** Damages JSON that stays JSON: other types, odd names, deep and long values where something else is expected. */
import fc from 'fast-check'
import type { Draw } from './draw.ts'

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** Written in the place of a number that JSON.stringify cannot write. */
const RAW = '\u0001raw:'

const nested = (depth: number): Json => {
  let value: Json = 1
  for (let at = 0; at < depth; at += 1) value = at % 2 === 0 ? [value] : { a: value }
  return value
}

const ODD: readonly Json[] = [
  null,
  true,
  false,
  0,
  -1,
  -0,
  0.5,
  1e21,
  2 ** 31,
  2 ** 53,
  -(2 ** 63),
  1e308,
  5e-324,
  '',
  '\0',
  '\ud800',
  'a\udfff',
  '__proto__',
  'constructor',
  'toString',
  '../../etc/passwd',
  'a'.repeat(5000),
  '1e999',
  'NaN',
  '0x10',
  ' 1',
  [],
  {},
  [[]],
  [null],
  '2026-02-30T25:61:00Z',
  `${RAW}1e999`,
  `${RAW}-1e999`,
  `${RAW}123456789012345678901234567890`,
  `${RAW}0.1e-999`,
  `${RAW}{"__proto__":{"a":1}}`,
  `${RAW}{"a":1,"a":2}`,
  'http://127.0.0.1:1',
  'http://[::1',
  'a:b,c:d',
  'edge',
  'device>edge',
  '1x2x3',
]
const POOL_SIZE = 2000
const POOL_SEED = 20_261_130

let pool: readonly Json[] | undefined
/** Values of fast-check, beside those above. */
const values = (): readonly Json[] =>
  (pool ??= [
    ...ODD,
    nested(50),
    nested(3000),
    Array.from({ length: 3000 }, () => 0),
    Object.fromEntries(Array.from({ length: 1000 }, (_, at) => [`key${at}`, at])),
    ...(fc.sample(fc.jsonValue({ maxDepth: 3, stringUnit: 'binary' }), {
      numRuns: POOL_SIZE,
      seed: POOL_SEED,
    }) as Json[]),
  ])

const value = (draw: Draw): Json => (draw.chance(0.6) ? draw.pick(ODD) : draw.pick(values()))

const isObject = (json: Json): json is { [key: string]: Json } =>
  typeof json === 'object' && json !== null && !Array.isArray(json)

/** Goes down a way drawn at random and changes what is at its end. */
function changed(json: Json, draw: Draw): Json {
  const isHere = draw.chance(0.15)
  if (Array.isArray(json) && json.length > 0 && !isHere) return changedList(json, draw)
  if (isObject(json) && !isHere) return changedObject(json, draw)
  return value(draw)
}

function changedList(list: readonly Json[], draw: Draw): Json {
  const at = draw.below(list.length)
  const copy = [...list]
  const kind = draw.below(10)
  if (kind === 0) copy.splice(at, 1)
  else if (kind === 1) copy.splice(at, 0, copy[at] ?? null)
  else if (kind === 2) return copy.reverse()
  else copy[at] = changed(copy[at] ?? null, draw)
  return copy
}

function changedObject(object: { [key: string]: Json }, draw: Draw): Json {
  const entries = Object.entries(object)
  const kind = draw.below(10)
  if (kind === 0 || entries.length === 0)
    entries.push([draw.pick(['__proto__', '', 'constructor', 'a', '\0']), value(draw)])
  else {
    const at = draw.below(entries.length)
    const [key, held] = entries[at] ?? ['', null]
    if (kind === 1) entries.splice(at, 1)
    else if (kind === 2) entries[at] = [draw.pick(entries)[0], held]
    else if (kind === 3) entries[at] = [`${key}${draw.pick(['', '\0', ' ', '_'])}`, value(draw)]
    else entries[at] = [key, changed(held, draw)]
  }
  return Object.fromEntries(entries)
}

/** @returns undefined if the seed is no JSON. */
export function mutateJson(seed: Uint8Array, draw: Draw): Buffer | undefined {
  let json: Json
  try {
    json = JSON.parse(Buffer.from(seed).toString()) as Json
  } catch {
    return undefined
  }
  for (let left = 1 + draw.below(3); left > 0; left -= 1) json = changed(json, draw)
  const text = JSON.stringify(json).replaceAll(/"\\u0001raw:((?:[^"\\]|\\.)*)"/g, (_, raw: string) =>
    raw.replaceAll('\\"', '"'),
  )
  return Buffer.from(text)
}
