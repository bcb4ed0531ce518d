import { describe, expect, it } from 'vitest'
import { elements } from '../../shared/zoo/graph.ts'
import { listZoo, type ZooName, zooGraph } from '../../shared/zoo/index.ts'
import { KERAS_FACTS } from './keras-digests.ts'
import { digestOf, layerRows, NEEDS_KERAS, readKerasNetworks } from './keras-layers.ts'

/** Published with keras.applications. */
const PUBLISHED: Record<ZooName, number> = {
  vgg16: 138_357_544,
  vgg19: 143_667_240,
  resnet50: 25_636_712,
  resnet101: 44_707_176,
  resnet152: 60_419_944,
  resnet50v2: 25_613_800,
  resnet101v2: 44_675_560,
  resnet152v2: 60_380_648,
  inceptionv3: 23_851_784,
  inceptionresnetv2: 55_873_736,
  xception: 22_910_480,
  mobilenet: 4_253_864,
  mobilenetv2: 3_538_984,
  densenet121: 8_062_504,
  densenet169: 14_307_880,
  densenet201: 20_242_984,
  nasnetmobile: 5_326_716,
  nasnetlarge: 88_949_818,
}

describe('the zoo beside keras.applications', () => {
  it('has the 18 networks of the paper', () => {
    expect(listZoo().map((entry) => entry.name)).toEqual(Object.keys(PUBLISHED))
  })

  it.each(Object.entries(PUBLISHED))('%s has the published %i parameters', (name, parameters) => {
    const counts = zooGraph(name).weights.map(({ shape }) => elements(shape))
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(parameters)
    expect(listZoo().find((entry) => entry.name === name)?.parameters).toBe(parameters)
  })

  const same =
    '%s has the layers of Keras in the order of Keras: types, connections, output sizes, kernel weights'
  const names = Object.keys(PUBLISHED) as ZooName[]
  it.each(names)(same, (name) => {
    const rows = layerRows(zooGraph(name))
    const { layers, sha256 } = KERAS_FACTS[name]
    expect([rows.length, digestOf(rows)]).toEqual([layers, sha256])
  })

  const keras = readKerasNetworks()
  it.each(names)(`${same}, and these are the ones listed`, NEEDS_KERAS, (name) => {
    const { rows, originalBlocks } = keras.get(name)!
    expect(layerRows(zooGraph(name))).toEqual(rows)
    expect({ layers: rows.length, originalBlocks, sha256: digestOf(rows) }).toEqual(KERAS_FACTS[name])
  })
})
