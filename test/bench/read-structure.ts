/** Runs in a child of its own for `onnx`: reads a model's structure several times, and once the obvious way. */
import { readFile } from 'node:fs/promises'
import { fromBinary } from '@bufbuild/protobuf'
import { ModelProtoSchema } from '../../shared/onnx/proto/onnx_pb.ts'
import { readSkeleton } from '../../shared/onnx/index.ts'

export interface ReadInput {
  file: string
  /** ours: the skeleton; whole: read the file into memory and decode it. */
  reader: 'ours' | 'whole'
  repeats: number
}

export interface ReadOutput {
  nodes: number
  ms: number[]
  rssGrowthBytes: number
}

export async function run({ file, reader, repeats }: ReadInput): Promise<ReadOutput> {
  const before = process.memoryUsage.rss()
  const ms: number[] = []
  let nodes = 0
  let peak = before
  for (let i = 0; i < repeats; i++) {
    const start = performance.now()
    const model =
      reader === 'ours' ? readSkeleton(file).model : fromBinary(ModelProtoSchema, await readFile(file))
    ms.push(performance.now() - start)
    nodes = model.graph?.node.length ?? 0
    peak = Math.max(peak, process.memoryUsage.rss())
  }
  return { nodes, ms, rssGrowthBytes: peak - before }
}
