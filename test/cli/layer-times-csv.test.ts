/** Times of layers in CSV files that people or programs wrote. */
import { expect, it } from 'vitest'
import { layerTimesOf } from '../../infra/cli/commands/layer-times-csv.ts'

it('are read in any order of lines and columns, quoted or not', () => {
  expect(layerTimesOf('t.csv', 'layer,ms\n0,1.5\n1,0\n')).toEqual([1.5, 0])
  expect(layerTimesOf('t.csv', '\uFEFFop,MS,Layer\r\nConv,2,1\r\n"Relu",1,"0"\r\n\r\n')).toEqual([1, 2])
  expect(layerTimesOf('t.csv', 'layer,time (ms),lowest (ms)\n0,3,2\n')).toEqual([3])
})

it.each([
  ['', 't.csv: line 1: the head must have the columns layer and ms, got: '],
  ['a,ms\n0,1', 't.csv: line 1: the head must have the columns layer and ms, got: a,ms'],
  ['layer,ms\n', 't.csv: there are no times below the head'],
  ['layer,ms\n0,x', 't.csv: line 2, ms: must be milliseconds, 0 or more, got: x'],
  ['layer,ms\n0,-1', 't.csv: line 2, ms: must be milliseconds, 0 or more, got: -1'],
  ['layer,ms\n0,', 't.csv: line 2, ms: must be milliseconds, 0 or more, got: '],
  ['layer,ms\n0,1\n0,1', 't.csv: line 3, layer: 0 was there before'],
  [
    'layer,ms\n1,1\n2,1',
    't.csv: line 3, layer: must be a whole number from 0, below the number of lines, got: 2',
  ],
  ['layer,ms\n1,1\n', 't.csv: layer 0 is missing; layers count from 0'],
])('%j is refused with the place', (text, message) => {
  expect(() => layerTimesOf('t.csv', text)).toThrow(message)
})
