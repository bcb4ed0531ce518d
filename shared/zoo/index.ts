/**
 * The model zoo: the 18 networks of the Scission paper as ONNX files with random weights, no downloads.
 *
 * Reading order: `mobilenet-v2.ts` (what a network looks like), `builder.ts` (its vocabulary), `layout.ts`
 * and `write.ts` (how it becomes a file). Structure, names and parameter counts are those of
 * keras.applications.
 */
import { ScissionError } from '../platform/errors.ts'
import type { Shape, ZooGraph } from './graph.ts'
import { denseNet } from './densenet.ts'
import { inceptionResNetV2 } from './inception-resnet-v2.ts'
import { inceptionV3 } from './inception-v3.ts'
import { mobileNet } from './mobilenet.ts'
import { nasNetLarge, nasNetMobile } from './nasnet.ts'
import { vgg } from './vgg.ts'
import { xception } from './xception.ts'
import { mobileNetV2 } from './mobilenet-v2.ts'
import { resNet, resNetV2 } from './resnet.ts'
import { type BuildOptions, writeModel } from './write.ts'

export type { ZooGraph } from './graph.ts'

interface ZooEntry {
  /** As its authors write it. */
  title: string
  /** Keras' count, as published: BatchNormalization's moving statistics included. */
  parameters: number
  /** Height and width of the RGB input. */
  inputSize: number
  build: () => ZooGraph
}

export const ZOO = {
  vgg16: { title: 'VGG16', parameters: 138_357_544, inputSize: 224, build: () => vgg(16) },
  vgg19: { title: 'VGG19', parameters: 143_667_240, inputSize: 224, build: () => vgg(19) },
  resnet50: { title: 'ResNet50', parameters: 25_636_712, inputSize: 224, build: () => resNet(50) },
  resnet101: { title: 'ResNet101', parameters: 44_707_176, inputSize: 224, build: () => resNet(101) },
  resnet152: { title: 'ResNet152', parameters: 60_419_944, inputSize: 224, build: () => resNet(152) },
  resnet50v2: { title: 'ResNet50V2', parameters: 25_613_800, inputSize: 224, build: () => resNetV2(50) },
  resnet101v2: { title: 'ResNet101V2', parameters: 44_675_560, inputSize: 224, build: () => resNetV2(101) },
  resnet152v2: { title: 'ResNet152V2', parameters: 60_380_648, inputSize: 224, build: () => resNetV2(152) },
  inceptionv3: { title: 'InceptionV3', parameters: 23_851_784, inputSize: 299, build: inceptionV3 },
  inceptionresnetv2: {
    title: 'InceptionResNetV2',
    parameters: 55_873_736,
    inputSize: 299,
    build: inceptionResNetV2,
  },
  xception: { title: 'Xception', parameters: 22_910_480, inputSize: 299, build: xception },
  mobilenet: { title: 'MobileNet', parameters: 4_253_864, inputSize: 224, build: mobileNet },
  mobilenetv2: { title: 'MobileNetV2', parameters: 3_538_984, inputSize: 224, build: mobileNetV2 },
  densenet121: { title: 'DenseNet121', parameters: 8_062_504, inputSize: 224, build: () => denseNet(121) },
  densenet169: { title: 'DenseNet169', parameters: 14_307_880, inputSize: 224, build: () => denseNet(169) },
  densenet201: { title: 'DenseNet201', parameters: 20_242_984, inputSize: 224, build: () => denseNet(201) },
  nasnetmobile: { title: 'NASNetMobile', parameters: 5_326_716, inputSize: 224, build: nasNetMobile },
  nasnetlarge: { title: 'NASNetLarge', parameters: 88_949_818, inputSize: 331, build: nasNetLarge },
} as const satisfies Record<string, ZooEntry>

export type ZooName = keyof typeof ZOO

export interface ZooListing extends Omit<ZooEntry, 'build'> {
  name: ZooName
  inputShape: Shape
}

export interface ZooFile {
  name: ZooName
  path: string
  bytes: number
}

export function listZoo(): ZooListing[] {
  return zooNames().map((name) => {
    const { title, parameters, inputSize } = ZOO[name]
    return { name, title, parameters, inputSize, inputShape: [1, 3, inputSize, inputSize] }
  })
}

/**
 * The name as the zoo writes it, for any capitals, spaces, "-" and "_": `Inception_V3` is `inceptionv3`.
 * @throws ScissionError notFound, with `details.known`.
 */
export function resolveZooName(name: string): ZooName {
  const plain = name.toLowerCase().replaceAll(/[\s_-]/g, '')
  const known = zooNames()
  const found = known.find((one) => one === plain)
  if (found !== undefined) return found
  throw new ScissionError('notFound', `no zoo model is called "${name}"; there are ${known.join(', ')}`, {
    known,
  })
}

/** Nodes, shapes and weight specifications, without any weights: milliseconds. @throws ScissionError notFound */
export function zooGraph(name: string): ZooGraph {
  return ZOO[resolveZooName(name)].build()
}

/**
 * Writes the model to `path` as one self-contained .onnx file with random weights; replaces what is there.
 * @throws ScissionError notFound (unknown name), badRequest (seed, or a path that cannot be written)
 */
export async function buildZooModel(
  name: string,
  path: string,
  options: BuildOptions = {},
): Promise<ZooFile> {
  const { seed = 1 } = options
  if (!Number.isSafeInteger(seed))
    throw new ScissionError('badRequest', `the seed must be an integer, got: ${seed}`, { seed })
  const resolved = resolveZooName(name)
  return { name: resolved, path, bytes: await writeModel(ZOO[resolved].build(), path, options) }
}

function zooNames(): ZooName[] {
  return Object.keys(ZOO) as ZooName[]
}
