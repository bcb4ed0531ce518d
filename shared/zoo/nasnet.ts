/**
 * NASNet-A, mobile and large. A cell reads the two features before it: `current` and `previous`.
 * Source: Zoph et al. 2017, "Learning Transferable Architectures", figure 4; names, sizes and the treatment
 * of `previous` as in keras.applications.nasnet.
 */
import { channels, type Feature, GraphBuilder, heightOf } from './builder.ts'
import type { ZooGraph } from './graph.ts'
import { padForStride2, sides } from './window.ts'

interface Size {
  name: string
  inputSize: number
  /** Normal cells between reductions. */
  repeats: number
  stemFilters: number
  /** Channels after the last cell. */
  penultimateFilters: number
  /** True if the first cell after a reduction skips the reduction's own `previous`. */
  skipReduction: boolean
}

const MOBILE: Size = {
  name: 'nasnetmobile',
  inputSize: 224,
  repeats: 4,
  stemFilters: 32,
  penultimateFilters: 1056,
  skipReduction: false,
}

const LARGE: Size = {
  name: 'nasnetlarge',
  inputSize: 331,
  repeats: 6,
  stemFilters: 96,
  penultimateFilters: 4032,
  skipReduction: true,
}

/** The two latest features; the first cell has only one. */
interface State {
  current: Feature
  previous: Feature | undefined
}

interface Cell {
  filters: number
  /** Suffix of the names of the cell's layers. */
  id: string
}

const AVERAGE = { kernel: 3, padding: 'same' } as const
const HALVING = { kernel: 3, stride: 2 } as const

export const nasNetMobile = (): ZooGraph => nasNet(MOBILE)
export const nasNetLarge = (): ZooGraph => nasNet(LARGE)

function nasNet(size: Size): ZooGraph {
  const { repeats } = size
  const filters = size.penultimateFilters / 24
  const g = new GraphBuilder(size.name, size.inputSize)
  const conv = g.conv(g.input, 'stem_conv1', { filters: size.stemFilters, kernel: 3, stride: 2 })
  const stem = g.batchNorm(conv, 'stem_bn1')
  let state: State = { current: stem, previous: undefined }
  state = reductionCell(g, state, { filters: Math.floor(filters / 4), id: 'stem_1' })
  state = reductionCell(g, state, { filters: filters / 2, id: 'stem_2' })
  for (const [stage, multiplier] of [1, 2, 4].entries()) {
    const cell = { filters: filters * multiplier }
    if (stage > 0) {
      const { previous } = state
      state = reductionCell(g, state, { ...cell, id: `reduce_${stage * repeats}` })
      if (size.skipReduction) state = { ...state, previous }
    }
    const first = stage * (repeats + 1)
    for (let block = 0; block < repeats; block++) {
      state = normalCell(g, state, { ...cell, id: `${first + block}` })
    }
  }
  return g.classify(g.relu(state.current, 'activation'), 'global_average_pooling2d')
}

function normalCell(g: GraphBuilder, { current, previous }: State, { filters, id }: Cell): State {
  const p = fitPrevious(g, { current, previous }, { filters, id })
  const h = squeeze(g, current, 'normal', { filters, id })
  const separable = (x: Feature, kernel: number, place: string) =>
    separableTwice(g, x, { filters, kernel, stride: 1, id: `normal_${place}_${id}` })
  const average = (x: Feature, place: string) => g.averagePool(x, `normal_${place}_${id}`, AVERAGE)
  const sum = (a: Feature, b: Feature, block: number) => g.add(a, b, `normal_add_${block}_${id}`)

  const x1 = sum(separable(h, 5, 'left1'), separable(p, 3, 'right1'), 1)
  const x2 = sum(separable(p, 5, 'left2'), separable(p, 3, 'right2'), 2)
  const x3 = sum(average(h, 'left3'), p, 3)
  const x4 = sum(average(p, 'left4'), average(p, 'right4'), 4)
  const x5 = sum(separable(h, 3, 'left5'), h, 5)
  return { current: g.concat([p, x1, x2, x3, x4, x5], `normal_concat_${id}`), previous: current }
}

/** Halves height and width. */
function reductionCell(g: GraphBuilder, { current, previous }: State, { filters, id }: Cell): State {
  const p = fitPrevious(g, { current, previous }, { filters, id })
  const h = squeeze(g, current, 'reduction', { filters, id })
  const padded = g.pad(h, `reduction_pad_1_${id}`, padForStride2(heightOf(h), 3), { beforeMaxPool: true })
  const separable = (x: Feature, kernel: number, stride: number, place: string) =>
    separableTwice(g, x, { filters, kernel, stride, id: `reduction_${place}_${id}` })
  const largest = (place: string) => g.maxPool(padded, `reduction_${place}_${id}`, HALVING)
  const sum = (a: Feature, b: Feature, block: number) => g.add(a, b, `reduction_add_${block}_${id}`)

  const x1 = sum(separable(h, 5, 2, 'left1'), separable(p, 7, 2, 'right1'), 1)
  const x2 = sum(largest('left2'), separable(p, 7, 2, 'right2'), 2)
  const x3 = sum(g.averagePool(padded, `reduction_left3_${id}`, HALVING), separable(p, 5, 2, 'right3'), 3)
  const x4 = sum(x2, g.averagePool(x1, `reduction_left4_${id}`, AVERAGE), 4)
  const x5 = sum(separable(x1, 3, 1, 'left5'), largest('right5'), 5)
  return { current: g.concat([x2, x3, x4, x5], `reduction_concat_${id}`), previous: current }
}

/**
 * Brings `previous` to the size of `current` and the cell's number of channels; `current` takes its place if there is none.
 */
function fitPrevious(g: GraphBuilder, { current, previous }: State, { filters, id }: Cell): Feature {
  if (previous === undefined) return current
  if (heightOf(previous) !== heightOf(current)) {
    const x = g.relu(previous, `adjust_relu_1_${id}`)
    const every = g.averagePool(x, `adjust_avg_pool_1_${id}`, { kernel: 1, stride: 2 })
    const left = g.conv(every, `adjust_conv_1_${id}`, { filters: filters / 2, kernel: 1 })
    const shifted = g.crop(g.pad(x, `adjust_pad_${id}`, sides(0, 1)), `adjust_crop_${id}`, sides(1, 0))
    const other = g.averagePool(shifted, `adjust_avg_pool_2_${id}`, { kernel: 1, stride: 2 })
    const right = g.conv(other, `adjust_conv_2_${id}`, { filters: filters / 2, kernel: 1 })
    return g.batchNorm(g.concat([left, right], `adjust_concat_${id}`), `adjust_bn_${id}`)
  }
  if (channels(previous) === filters) return previous
  const x = g.relu(previous, `adjust_relu_${id}`)
  const projected = g.conv(x, `adjust_conv_projection_${id}`, { filters, kernel: 1 })
  return g.batchNorm(projected, `adjust_bn_${id}`)
}

/** ReLU and a 1 x 1 convolution to the cell's number of channels. */
function squeeze(g: GraphBuilder, current: Feature, kind: string, { filters, id }: Cell): Feature {
  const x = g.conv(g.relu(current, `${kind}_relu_1_${id}`), `${kind}_conv_1_${id}`, { filters, kernel: 1 })
  return g.batchNorm(x, `${kind}_bn_1_${id}`)
}

/** @param stride of the first of the two convolutions. */
function separableTwice(
  g: GraphBuilder,
  input: Feature,
  { filters, kernel, stride, id }: Cell & { kernel: number; stride: number },
): Feature {
  let x = g.relu(input, `separable_relu_1_${id}`)
  if (stride === 2) x = g.pad(x, `separable_conv_1_pad_${id}`, padForStride2(heightOf(x), kernel))
  const padding = stride === 2 ? 'valid' : 'same'
  x = g.separable(x, `separable_conv_1_${id}`, { filters, kernel, stride, padding })
  x = g.relu(g.batchNorm(x, `separable_conv_1_bn_${id}`), `separable_relu_2_${id}`)
  x = g.separable(x, `separable_conv_2_${id}`, { filters, kernel, padding: 'same' })
  return g.batchNorm(x, `separable_conv_2_bn_${id}`)
}
