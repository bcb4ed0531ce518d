/** What schemas and the file system say, in words that a person understands who knows neither. */
import { readFile, writeFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { z } from 'zod'
import { Experiment } from '../../shared/contracts/experiment.ts'
import { PlainDocument } from '../../shared/contracts/plain-import.ts'
import { fileFaults } from '../../infra/terminal/file-faults.ts'
import { plainWords } from '../../shared/platform/plain-words.ts'

const Odd = z.strictObject({
  text: z.string().min(1),
  list: z.array(z.number().int()).min(2).max(3),
  choice: z.enum(['a', 'b']),
  ratio: z.number().gt(0).max(10),
  inner: z.record(z.string(), z.boolean()),
  prefix: z.string().startsWith('x'),
})
const fine = { text: 'a', list: [1, 2], choice: 'a', ratio: 1, inner: {}, prefix: 'x' }

it.each([
  [{ ...fine, text: undefined }, 'text: is missing (a text)'],
  [{ ...fine, text: '' }, 'text: must have at least 1 character'],
  [{ ...fine, list: [1] }, 'list: must have at least 2 entries'],
  [{ ...fine, list: [1, 2, 3, 4] }, 'list: must have at most 3 entries'],
  [{ ...fine, list: [1, 1.5] }, 'list[1]: must be a whole number'],
  [{ ...fine, choice: 'c' }, 'choice: must be one of "a", "b"'],
  [{ ...fine, ratio: 0 }, 'ratio: must be more than 0'],
  [{ ...fine, ratio: 11 }, 'ratio: must be at most 10'],
  [{ ...fine, ratio: '1' }, 'ratio: must be a number, not a text'],
  [{ ...fine, inner: { k: 1 } }, 'inner.k: must be true or false, not a number'],
  [{ ...fine, prefix: 'y' }, 'prefix: must start with "x"'],
  [[], 'must be an object { … }, not a list'],
  [{ ...fine, choise: 'a' }, 'there is no field "choise"; did you mean choice? known: text, list, choice'],
])('%j', (value, said) => {
  const { error } = Odd.safeParse(value)
  const [fault] = fileFaults(error as z.ZodError, Odd)
  expect(fault?.slice(0, said.length)).toBe(said)
})

it('fields of lists and of what is in them are told by their names too', () => {
  const typo = {
    models: ['m'],
    queries: [{ label: 'a', query: { minStage: 2 } }],
    repetitions: 1,
    output: 'o',
  }
  expect(fileFaults(Experiment.safeParse(typo).error as z.ZodError, Experiment)).toEqual([
    expect.stringMatching(/^queries\[0\]\.query: there is no field "minStage"; did you mean minStages\?/),
  ])
  const profile = {
    machines: [],
    links: [],
    profiles: [{ model: 'm', resource: 'r', layerMs: [1], layersMs: [] }],
  }
  expect(fileFaults(PlainDocument.safeParse(profile).error as z.ZodError, PlainDocument)).toEqual([
    expect.stringMatching(/^profiles\[0\]: there is no field "layersMs"; did you mean layerMs\?/),
  ])
})

it('what Node says of files has no code, no call, and names the file once', async () => {
  const said = async (work: Promise<unknown>, before = '') =>
    plainWords(before + String(await work.catch((thrown: unknown) => (thrown as Error).message)))
  expect(await said(readFile('no/such.json'), 'cannot read no/such.json: ')).toBe(
    'cannot read no/such.json: there is no such file or folder',
  )
  expect(await said(writeFile('no/such.npz', ''), '--output: ')).toBe(
    '--output: there is no such file or folder: no/such.npz',
  )
  expect(await said(readFile('.'), 'cannot read .: ')).toBe('cannot read .: it is a folder')
})

it('other messages stay as they are', () => {
  for (const text of ['unknown model "x"; known: y', 'more than 3 too big tables', ''])
    expect(plainWords(text)).toBe(text)
})
