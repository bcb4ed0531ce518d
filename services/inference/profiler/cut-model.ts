/**
 * A whole model held decoded, to make sessions of any of its layer ranges without writing files.
 *
 * The file is the range 0..N that the range store gave: its weights are references into files beside it, so a range is
 * a small message whose weights ONNX Runtime maps, like the sub-models that the executor loads (shared/onnx/range.ts).
 */
import fs from 'node:fs'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { TensorSpec } from '../../../shared/contracts/common.ts'
import type { Structure } from '../../../shared/contracts/model.ts'
import { encodeValue } from '../../../shared/onnx/assemble.ts'
import { elementTypeOfDatatype } from '../../../shared/onnx/element-types.ts'
import {
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from '../../../shared/onnx/proto/onnx_pb.ts'
import { usesOf } from '../../../shared/onnx/scope.ts'
import { loadError } from '../executor/ort-errors.ts'

interface Part {
  node: NodeProto
  uses: ReadonlySet<string>
}

/** @throws ScissionError invalidModel when the file is not an ONNX model. */
function decode(file: string): ModelProto {
  try {
    return fromBinary(ModelProtoSchema, fs.readFileSync(file))
  } catch (thrown) {
    throw loadError(file, thrown)
  }
}

export class CutModel {
  readonly file: string
  readonly structure: Structure
  readonly #model: ModelProto
  /** What only depends on constants, and is worked out by ONNX Runtime when it loads. */
  readonly #prelude: Part[] = []
  /** By layer. Nodes are named `L0`, `L1`, … so that what ONNX Runtime fuses can be told (layer-names.ts). */
  readonly #layers: Part[] = []
  readonly #specs: ReadonlyMap<string, TensorSpec>

  constructor(file: string, structure: Structure) {
    this.file = file
    this.structure = structure
    this.#model = decode(file)
    const { layers, inputs } = structure
    this.#specs = new Map([...inputs, ...layers.flatMap((layer) => layer.outputs)].map((s) => [s.name, s]))
    const makers = new Map(layers.flatMap((layer) => layer.outputs.map(({ name }) => [name, layer.index])))
    for (const node of this.#model.graph?.node ?? []) {
      const layer = node.output.map((name) => makers.get(name)).find((index) => index !== undefined)
      const part = { node, uses: usesOf(node) }
      if (layer === undefined) this.#prelude.push(part)
      else {
        node.name = `L${layer}`
        this.#layers[layer] = part
      }
    }
  }

  /** Layers `from`..`to`-1 as a model's bytes; its external data lies beside `file`. */
  range(from: number, to: number): Uint8Array {
    const graph = this.#model.graph
    const layers = this.#layers.slice(from, to).filter((part) => part !== undefined)
    const made = new Set(layers.flatMap(({ node }) => node.output))
    const needed = new Set(layers.flatMap(({ uses }) => [...uses]))
    const prelude = this.#preludeFor(needed)
    const inputs = this.#frontier(from).filter((name) => needed.has(name))
    const outputs = this.#frontier(to).filter((name) => made.has(name))
    const part = create(GraphProtoSchema, {
      name: `layers ${from} to ${to}`,
      node: [...prelude, ...layers].map(({ node }) => node),
      initializer: (graph?.initializer ?? []).filter(({ name }) => needed.has(name)),
      sparseInitializer: (graph?.sparseInitializer ?? []).filter(({ values }) =>
        needed.has(values?.name ?? ''),
      ),
      input: inputs.map((name) => this.#value(name)),
      output: outputs.map((name) => this.#value(name)),
    })
    return toBinary(ModelProtoSchema, { ...this.#model, graph: part })
  }

  #frontier(k: number): readonly string[] {
    return this.structure.boundaries[k]?.tensors ?? []
  }

  #preludeFor(needed: Set<string>): Part[] {
    const used: Part[] = []
    for (const part of this.#prelude.toReversed()) {
      if (!part.node.output.some((name) => needed.has(name))) continue
      used.unshift(part)
      for (const name of part.uses) needed.add(name)
    }
    return used
  }

  /** A model whose own inputs are open was given to us open, and its pieces stay so. */
  #value(name: string): ValueInfoProto {
    const known = this.#model.graph?.input.find((input) => input.name === name)
    const spec = this.#specs.get(name)
    if (known !== undefined || spec === undefined) return known ?? create(ValueInfoProtoSchema, { name })
    const code = elementTypeOfDatatype(spec.datatype)?.code ?? 0
    const shape = this.#open() ? spec.shape.map(() => -1) : spec.shape
    return fromBinary(ValueInfoProtoSchema, encodeValue({ name, code, shape }))
  }

  #open(): boolean {
    return (this.#model.graph?.input ?? []).some(({ type }) => {
      const tensor = type?.value.case === 'tensorType' ? type.value.value : undefined
      return tensor?.shape?.dim.some(({ value }) => value.case !== 'dimValue') ?? false
    })
  }
}
