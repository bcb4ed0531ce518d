import { readFileSync } from 'node:fs'

/** All ```sh blocks of a page, in order, as one script. */
export function shellScriptOf(page: string): string {
  const text = readFileSync(page, 'utf8')
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? '').join('\n')
}
