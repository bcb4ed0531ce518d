/**
 * Refusals in plain words: what schemas and the file system say of themselves means nothing to a person at a shell. Faults of
 * settings, of files that people write, and messages of services pass through here before they are printed.
 */

const KINDS: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  tuple: 'a list',
  object: 'an object { … }',
  record: 'an object { … }',
  undefined: 'nothing',
}
const kindText = (kind: string) => KINDS[kind] ?? kind

/** What a schema counts, and the word that it uses for its elements. */
const COUNTED: Readonly<Record<string, string>> = { items: 'entry', item: 'entry', characters: 'character' }
const counted = (count: string, unit: string) => {
  const one = COUNTED[unit] ?? unit.replace(/s$/, '')
  return `${count} ${count === '1' ? one : one.replace(/y$/, 'ie').concat('s')}`
}
const LIMITS: Readonly<Record<string, string>> = {
  '>=': 'at least',
  '>': 'more than',
  '<=': 'at most',
  '<': 'less than',
}

type Rule = readonly [pattern: RegExp, words: (...groups: string[]) => string]

const RULES: readonly Rule[] = [
  [/Invalid input: expected number, received NaN/g, () => 'must be a number'],
  [/Invalid URL/g, () => 'is no URL, which begins with http:// or the like'],
  [/Invalid input: expected (\w+), received undefined/g, (kind) => `is missing (${kindText(kind)})`],
  [
    /Invalid input: expected (\w+), received (\w+)/g,
    // A number that is not whole is a number.
    (kind, got) => `must be ${kindText(kind)}${kind === 'int' ? '' : `, not ${kindText(got)}`}`,
  ],
  [/Invalid input: expected ("[^"]*")/g, (value) => `must be ${value}`],
  [
    /Invalid option: expected one of ((?:"[^"]*"\|?)+)/g,
    (values) => `must be one of ${values.split('|').join(', ')}`,
  ],
  [
    /Too (?:small|big): expected \w+ to have (>=|>|<=|<)(\d+) (\w+)/g,
    (limit, count, unit) => `must have ${LIMITS[limit]} ${counted(count, unit)}`,
  ],
  [
    /Too (?:small|big): expected \w+ to be (>=|>|<=|<)([\d.e+-]+)/g,
    (limit, value) => `must be ${LIMITS[limit]} ${value}`,
  ],
  [/Unrecognized keys?: ("[^"]*"(?:, "[^"]*")*)/g, (names) => `there is no field ${names}`],
  [/Invalid string: must (start|end) with ("[^"]*")/g, (where, text) => `must ${where} with ${text}`],
  [/Invalid string: must match pattern \S+/g, () => 'has not the form that it must have'],
  [/Invalid key in record/g, () => 'has a name that cannot be one'],
  // The reasons of each form that it could have follow.
  [/Invalid input: /g, () => ''],
  [/Invalid input\b/g, () => 'is not of a form that it can have'],
]

/** What Node says of files, without its codes, its calls and the names of files that are there only while one is written. */
const OF_FILES: readonly (readonly [code: string, words: string])[] = [
  ['ENOENT: no such file or directory', 'there is no such file or folder'],
  ['EACCES: permission denied', 'permission is denied'],
  ['EPERM: operation not permitted', 'permission is denied'],
  ['EISDIR: illegal operation on a directory', 'it is a folder'],
  ['ENOTDIR: not a directory', 'a part of its path is no folder'],
  ['EROFS: read-only file system', 'it cannot be written to'],
  ['ENOSPC: no space left on device', 'the disk is full'],
]

/** @param text a message; what is in plain words already stays as it is. */
export function plainWords(text: string): string {
  const said = RULES.reduce(
    (before, [pattern, words]) =>
      before.replaceAll(pattern, (_, ...groups: unknown[]) =>
        words(...groups.filter((one) => typeof one === 'string')),
      ),
    text,
  )
  return OF_FILES.reduce((before, [code, words]) => fileWords(before, code, words), said)
}

/** The file is named, unless the message has named it. */
function fileWords(text: string, code: string, words: string): string {
  const at = text.indexOf(code)
  if (at === -1) return text
  const [call = '', file = ''] =
    /^, \w+(?: '([^']*)')?(?: -> '[^']*')?/.exec(text.slice(at + code.length)) ?? []
  const before = text.slice(0, at)
  const isNamed = file === '' || before.includes(file) || file.endsWith('-partial')
  return `${before}${words}${isNamed ? '' : `: ${file}`}${text.slice(at + code.length + call.length)}`
}
