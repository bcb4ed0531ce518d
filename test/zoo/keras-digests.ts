/**
 * Facts about the 18 networks in keras.applications, so that the zoo is compared with Keras also if its lists of
 * layers are not present: the length of each list (with the input, without Dropout), the SHA-256 of its rows as JSON in
 * the form of keras-layers.ts, and the number of blocks that the original tool's rule makes of it (Dropout being a part
 * of the layer before it). keras.test.ts compares these facts with the lists if they are present.
 */
import type { ZooName } from '../../shared/zoo/index.ts'

export interface KerasFacts {
  layers: number
  originalBlocks: number
  sha256: string
}

export const KERAS_FACTS: Record<ZooName, KerasFacts> = {
  vgg16: {
    layers: 23,
    originalBlocks: 22,
    sha256: 'cb71aa17010900c2584ca87a8cb1d50352f4e5bffd013f4a8f1c497380e4d361',
  },
  vgg19: {
    layers: 26,
    originalBlocks: 25,
    sha256: 'f00dd1e4e699da2a8a39e4357d1d52d5aad0837bfbccf7cd08c8f7b48207ad69',
  },
  resnet50: {
    layers: 177,
    originalBlocks: 24,
    sha256: 'd44f0788b75bb9a707497f7025fa6264dd6a94343ccee3ef3a0ae4b85fc72fe5',
  },
  resnet101: {
    layers: 347,
    originalBlocks: 41,
    sha256: 'c3709cbe7078b61cd373e6c2de27fe6ce91a9824f2eae0145e01afe34d5a0128',
  },
  resnet152: {
    layers: 517,
    originalBlocks: 58,
    sha256: '4aab5bbd063dfde72279eec07710fdf3b485c98f69c22894ef82c8caf8e4ce5a',
  },
  resnet50v2: {
    layers: 192,
    originalBlocks: 16,
    sha256: '7a344bb43ba6fb98f4ef161b0d3aa86327cfe16f65b83d308deac61585c8ba0d',
  },
  resnet101v2: {
    layers: 379,
    originalBlocks: 16,
    sha256: '5a068df69bf258fab49ca8b8be3e5e93e61798ef1eed5166d15dea8105fbd6e4',
  },
  resnet152v2: {
    layers: 566,
    originalBlocks: 16,
    sha256: 'ea9f61e74d2007c38b2a6af8ca52d58f8dd003e480a7e8d6bb0f28de12872dda',
  },
  inceptionv3: {
    layers: 313,
    originalBlocks: 19,
    sha256: '28136aa007a7b47bd1d940ba6dbafc3a99bcec97c6f10e2a6f1f1e7fd2be03a1',
  },
  inceptionresnetv2: {
    layers: 782,
    originalBlocks: 61,
    sha256: 'c9451c99b48c0c75ea4fbdaebee09e7eec40d306ede53312254b313b8512a1c3',
  },
  xception: {
    layers: 134,
    originalBlocks: 14,
    sha256: 'ac5d3bb6ebae82721940632aad18d3ac20398e6cf625bd66dc8e2c482734fcf0',
  },
  mobilenet: {
    layers: 92,
    originalBlocks: 91,
    sha256: '03c20e84482ee8f1cda6e20e572a105e4b41855b27336e03225a096841ebd026',
  },
  mobilenetv2: {
    layers: 157,
    originalBlocks: 66,
    sha256: '042321ba53f5ba3440ec5d18289d66a193e3bc38849395b07ad3eb449559f01d',
  },
  densenet121: {
    layers: 429,
    originalBlocks: 22,
    sha256: '10fc58379f6d383f69d2e7f64a457a6411f50dbe36965311dcfe8f1efb7d66d9',
  },
  densenet169: {
    layers: 597,
    originalBlocks: 22,
    sha256: '1fa5d1a939d66498876034ddac2bd0ee5a428516bd8f32cfaee5fceba7a69f7b',
  },
  densenet201: {
    layers: 709,
    originalBlocks: 22,
    sha256: 'bcd714dce1177029580babebe80458707e8690b81ca558f8b23a173f7882bd03',
  },
  nasnetmobile: {
    layers: 771,
    originalBlocks: 5,
    sha256: '7ab099af34e1d33dd51d4446de8d92c43b0c91c251e3e6bdce936814a0e1172d',
  },
  nasnetlarge: {
    layers: 1041,
    originalBlocks: 5,
    sha256: 'fdc6162983ec08a2a16b64c78682be8291f197c2e7d9554539dff69aa6efce39',
  },
}
