/** Networks with state and with control flow: LSTM and GRU, If, Loop and Scan. */
import { DataType, value } from '../../onnx/support/build.ts'
import { Net } from './net.ts'

const { INT64, BOOL } = DataType

/** Two LSTMs whose states go in and come out as one tensor, as in a model that cleans speech frame by frame. */
export function lstmState(): Uint8Array {
  const net = new Net('lstm-state')
  const [frame, width] = [33, 16]
  let x = net.op('Transpose', ['frame'], { perm: [1, 0, 2] })
  const after: string[] = []
  for (const layer of [0, 1]) {
    const size = layer === 0 ? frame : width
    const [hidden, cell] = [0, 1].map((part) => {
      const picked = net.op('Slice', [
        'state',
        net.ints([layer, part]),
        net.ints([layer + 1, part + 1]),
        net.ints([1, 3]),
      ])
      return net.op('Reshape', [picked, net.ints([1, 1, width])])
    }) as [string, string]
    const weights = [net.weight([1, 4 * width, size], 0.4), net.weight([1, 4 * width, width], 0.4)]
    const made = [`lstm${layer}`, `hidden${layer}`, `cell${layer}`] as const
    const inputs = [x, ...weights, net.weight([1, 8 * width], 0.1), '', hidden, cell]
    net.ops('LSTM', inputs, made, { hidden_size: width })
    x = net.op('Squeeze', [made[0], net.ints([1])])
    const states = made.slice(1).map((name) => net.op('Reshape', [name, net.ints([1, 1, width, 1])]))
    after.push(net.op('Concat', states, { axis: 3 }))
  }
  net.op('Concat', after, { axis: 1 }, 'state_out')
  const mask = net.op('Sigmoid', [net.linear(x, width, frame)])
  net.op('Transpose', [mask], { perm: [1, 0, 2] }, 'mask')
  const state = [1, 2, width, 2]
  return net.encoded(
    [value('frame', [1, 1, frame]), value('state', state)],
    [value('mask', [1, 1, frame]), value('state_out', state)],
  )
}

/** A GRU in both directions over a number of frames that is open. */
export function bidirectionalGru(): Uint8Array {
  const net = new Net('gru-bidirectional')
  const x = net.op('Relu', [net.linear('frames', 20, 12)])
  const weights = [net.weight([2, 36, 12], 0.5), net.weight([2, 36, 12], 0.5), net.weight([2, 72], 0.1)]
  net.ops('GRU', [x, ...weights], ['both'], { hidden_size: 12, direction: 'bidirectional' })
  const joined = net.op('Reshape', [
    net.op('Transpose', ['both'], { perm: [0, 2, 1, 3] }),
    net.ints([0, 0, 24]),
  ])
  net.op('LogSoftmax', [net.linear(joined, 24, 9)], { axis: -1 }, 'letters')
  return net.encoded([value('frames', ['frames', 1, 20])], [value('letters', ['frames', 1, 9])])
}

/**
 * A voice detector that serves two sampling rates: an If on the rate, whose branches take 160 samples at 16000 Hz and 80
 * at any other (so that 160 samples fit one value of the rate only, which the analysis must find), and in each branch an
 * If on the loudness.
 */
export function voiceIf(): Uint8Array {
  const net = new Net('voice-if')
  const [window, width] = [16, 12]
  const branch = (rate: string, samples: number) => {
    const inner = new Net(`voice-if/${rate}`, { prefix: `${rate}/` })
    const loud = inner.op('Greater', [
      inner.op('ReduceMax', [inner.op('Abs', ['samples'])], { keepdims: 0 }),
      inner.floats([], [0.5]),
    ])
    const louder = new Net('quiet', { prefix: `${rate}/quiet/` })
    louder.op('Mul', ['samples', louder.floats([], [4])], {}, `${rate}/amplified`)
    const same = new Net('loud', { prefix: `${rate}/loud/` })
    same.op('Identity', ['samples'], {}, `${rate}/kept`)
    const level = inner.op('If', [loud], {
      then_branch: same.body([], [value(`${rate}/kept`, undefined)]),
      else_branch: louder.body([], [value(`${rate}/amplified`, undefined)]),
    })
    const framed = inner.op(
      'Conv',
      [inner.op('Reshape', [level, inner.ints([-1, 1, samples])]), inner.weight([width, 1, window], 0.4)],
      { kernel_shape: [window], strides: [samples / 20] },
    )
    const steps = inner.op('Transpose', [inner.op('Relu', [framed])], { perm: [2, 0, 1] })
    const [hidden, cell] = [0, 1].map((part) =>
      inner.op('Slice', ['state', inner.ints([part]), inner.ints([part + 1]), inner.ints([0])]),
    ) as [string, string]
    const weights = [inner.weight([1, 4 * width, width], 0.4), inner.weight([1, 4 * width, width], 0.4)]
    const made = [`${rate}/all`, `${rate}/hidden`, `${rate}/cell`] as const
    inner.ops('LSTM', [steps, ...weights, '', '', hidden, cell], made, { hidden_size: width })
    inner.op('Concat', made.slice(1), { axis: 0 }, `${rate}/state`)
    const last = inner.op('Squeeze', [made[1], inner.ints([0])])
    inner.op('Sigmoid', [inner.linear(last, width, 1)], {}, `${rate}/voice`)
    return inner.body([], [value(`${rate}/voice`, undefined), value(`${rate}/state`, undefined)])
  }
  const wide = net.op('Equal', ['rate', net.ints([16000], [])])
  net.ops('If', [wide], ['voice', 'state_out'], {
    then_branch: branch('wide', 160),
    else_branch: branch('narrow', 80),
  })
  return net.encoded(
    [value('samples', ['batch', 'samples']), value('state', [2, 'batch', width]), value('rate', [], INT64)],
    [value('voice', ['batch', 1]), value('state_out', [2, 'batch', width])],
  )
}

/** Two Loops over the steps of a sequence of open length: a gated cell written out, its weights those of the graph. */
export function loopCells(): Uint8Array {
  const net = new Net('loop-cells')
  const width = 10
  let sequence = 'sequence'
  const states: string[] = []
  for (const layer of [0, 1]) {
    const weights = [net.weight([width, width], 0.5), net.weight([width, width], 0.5)] as const
    const cell = new Net(`loop-cells/${layer}`, { prefix: `cell${layer}/` })
    const step = cell.op('Gather', [sequence, `cell${layer}/at`], { axis: 0 })
    const mixed = cell.op('Add', [
      cell.op('MatMul', [step, weights[0]]),
      cell.op('MatMul', [`cell${layer}/before`, weights[1]]),
    ])
    const gate = cell.op('Sigmoid', [cell.linear(mixed, width, width)])
    const kept = cell.op('Mul', [gate, `cell${layer}/before`])
    const open = cell.op('Sub', [cell.floats([], [1]), gate])
    cell.op('Add', [kept, cell.op('Mul', [open, cell.op('Tanh', [mixed])])], {}, `cell${layer}/after`)
    cell.op('Identity', [`cell${layer}/after`], {}, `cell${layer}/step`)
    cell.op('Identity', [`cell${layer}/on`], {}, `cell${layer}/again`)
    const body = cell.body(
      [
        value(`cell${layer}/at`, [], INT64),
        value(`cell${layer}/on`, [], BOOL),
        value(`cell${layer}/before`, [1, width]),
      ],
      [
        value(`cell${layer}/again`, [], BOOL),
        value(`cell${layer}/after`, [1, width]),
        value(`cell${layer}/step`, [1, width]),
      ],
    )
    const length = net.op('Gather', [net.op('Shape', [sequence]), net.ints([0], [])], { axis: 0 })
    const start = net.op('Gather', ['start', net.ints([layer], [])], { axis: 0 })
    const outputs = [`last${layer}`, `steps${layer}`]
    net.ops('Loop', [length, '', start], outputs, { body })
    states.push(net.op('Unsqueeze', [`last${layer}`, net.ints([0])]))
    sequence = `steps${layer}`
  }
  net.op('Concat', states, { axis: 0 }, 'end')
  net.op('Softplus', [sequence], {}, 'steps')
  return net.encoded(
    [value('sequence', ['length', 1, width]), value('start', [2, 1, width])],
    [value('steps', ['length', 1, width]), value('end', [2, 1, width])],
  )
}

/** A Scan with one state, one sequence in and two out, between layers of the graph whose weight it uses too. */
export function scanFilter(): Uint8Array {
  const net = new Net('scan-filter')
  const width = 8
  const x = net.op('Tanh', [net.linear('signal', 6, width)])
  const shared = net.weight([width, width], 0.4, 'shared')
  const step = new Net('scan-filter/body', { prefix: 'body/' })
  const turned = step.op('MatMul', ['body/before', shared])
  step.op('Add', [step.op('Mul', [turned, step.floats([], [0.5])]), 'body/in'], {}, 'body/after')
  step.op('Sub', ['body/in', turned], {}, 'body/surprise')
  step.op('Sigmoid', ['body/after'], {}, 'body/filtered')
  const row = (name: string) => value(name, [width])
  const body = step.body(
    [row('body/before'), row('body/in')],
    [row('body/after'), row('body/surprise'), row('body/filtered')],
  )
  net.ops('Scan', ['start', x], ['end', 'surprise', 'filtered'], { body, num_scan_inputs: 1 })
  net.op('MatMul', ['filtered', shared], {}, 'answer')
  return net.encoded(
    [value('signal', ['steps', 6]), value('start', [width])],
    [value('end', [width]), value('surprise', ['steps', width]), value('answer', ['steps', width])],
  )
}
