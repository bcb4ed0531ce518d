/** Inputs that broke a law once, as the fuzzer printed them, or as they were found by reading. */
import { npyFile } from '../support/numpy.ts'

export interface Regression {
  target: string
  what: string
  base64: string
}

const of = (target: string, what: string, input: Buffer): Regression => ({
  target,
  what,
  base64: input.toString('base64'),
})
const latin = (text: string) => Buffer.from(text, 'latin1')
const shaped = (shape: string) =>
  latin(
    `${JSON.stringify({ scission_codec: 'q8', scission_datatype: 'FP32', scission_shape: shape })}\nabcdefgh`,
  )

export const REGRESSIONS: readonly Regression[] = [
  of('codecs', 'a dimension with a zero before it', shaped('[1,00,30,30]')),
  of('codecs', 'a blank that JSON does not know', shaped('[1,\u00a03]')),
  of(
    'queries',
    'a name that fits a pattern of many stars almost',
    latin(`${'*a'.repeat(30)}*b${'a'.repeat(62)}`),
  ),
  of('jobs', 'a benchmark whose model is a number', latin('parent benchmark data\n{"model":0}')),
  of(
    'traces',
    'an operator whose name is an object',
    latin('[{"cat":"Node","name":"a_kernel_time","ts":0,"dur":1,"args":{"op_name":{}}}]'),
  ),
  of('numpy', 'four billion empty texts', npyFile('|S0', [4_000_000_000], new Uint8Array())),
  of(
    'pickles',
    'a list of lists as the name of a class',
    latin(`\x80\x02]${'q\0h\0\x86'.repeat(40)}\x8c\x01a\x93.`),
  ),
]
