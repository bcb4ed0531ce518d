/** How long a message of a deployment may be where it arrives. */
import { constants } from 'node:buffer'
import { describe, expect, it } from 'vitest'
import { longestMessage, longestPossibleMessage } from '../../services/inference/forwarding/message-limit.ts'
import { exampleStructure, hop } from '../support/fixtures.ts'

const MIB = 1024 * 1024
const structure = exampleStructure()
const bytesAt = (k: number) => structure.boundaries[k]!.bytes
const ends = [...structure.inputs, ...structure.outputs].map(({ bytes }) => bytes)

describe('the longest message of a deployment', () => {
  it('is that of its longest boundary, with room for the JSON', () => {
    const hops = [hop('device', 0, 2), hop('edge', 2, 4)]
    const tensors = Math.max(...ends, bytesAt(2))
    expect(longestMessage({ hops }, structure, 1e12)).toBe(tensors + MIB)
  })

  it('is no longer than the memory for bodies', () => {
    const hops = [hop('device', 0, 2), hop('edge', 2, 4)]
    expect(longestMessage({ hops }, structure, 1000)).toBe(1000)
  })

  it('is whatever fits for a range of shapes, of which the structure has other sizes', () => {
    const hops = [hop('device', 0, 2), hop('edge', 2, 4)]
    const shapes = { x: ['1..512'] }
    expect(longestMessage({ hops, shapes }, structure, 5e9)).toBe(5e9)
  })
})

it('the memory for bodies counts as far as one buffer goes, and at least as any request may be', () => {
  const possible = (bodyMemoryBytes: number, maxBodyBytes: number) =>
    longestPossibleMessage({ bodyMemoryBytes, maxBodyBytes })
  expect(possible(200 * MIB, 64 * MIB)).toBe(200 * MIB)
  expect(possible(10 * MIB, 64 * MIB)).toBe(64 * MIB)
  expect(possible(Number.MAX_SAFE_INTEGER, 64 * MIB)).toBe(
    Math.min(constants.MAX_LENGTH, Number.MAX_SAFE_INTEGER),
  )
})
