/**
 * The fenced blocks of a page of Markdown. The info string of a block of commands says whether a test runs them:
 *
 *     ```sh                          runs
 *     ```sh needs: numpy             runs on a machine that has what it needs (see NEEDS in pages.ts)
 *     ```sh not run: REASON          cannot run in a test; pages.ts knows each reason and what it allows
 */
import { readFileSync } from 'node:fs'

export interface Block {
  /** First word of the info string: `sh`, `json`, `text`; empty when there is none. */
  language: string
  text: string
  /** The tool that a machine must have to run it. */
  needs?: string
  /** Why it is not run. */
  notRun?: string
  /** Line of the opening fence, counted from 1. */
  line: number
}

/** @throws Error for a fence that is never closed, or an info string that is none of the above. */
export function blocksOf(page: string): Block[] {
  const blocks: Block[] = []
  let open: { fence: string; info: string; line: number; text: string[] } | undefined
  for (const [index, line] of readFileSync(page, 'utf8').split('\n').entries()) {
    const [, fence, info] = /^\s*(`{3,}|~{3,})(.*)$/.exec(line) ?? []
    if (open) {
      if (fence === open.fence && info === '') {
        blocks.push(blockOf(page, open.info.trim(), open.text, open.line))
        open = undefined
      } else open.text.push(line)
    } else if (fence !== undefined && info !== undefined) open = { fence, info, line: index + 1, text: [] }
  }
  if (open) throw new Error(`${page}:${open.line}: this block is never closed`)
  return blocks
}

function blockOf(page: string, info: string, lines: readonly string[], line: number): Block {
  const [, language, rest] = /^(\S*)\s*(.*)$/.exec(info) ?? []
  const block = { language: language ?? '', text: `${lines.join('\n')}\n`, line }
  if (rest === undefined || rest === '') return block
  const needs = /^needs: (.+)$/.exec(rest)?.[1]
  const notRun = /^not run: (.+)$/.exec(rest)?.[1]
  if (block.language !== 'sh' || (needs ?? notRun) === undefined)
    throw new Error(`${page}:${line}: "${info}" must read sh, sh needs: TOOL or sh not run: REASON`)
  return { ...block, ...(needs !== undefined && { needs }), ...(notRun !== undefined && { notRun }) }
}

/** The commands of a block: continued lines joined, comments and empty lines left out. */
export function commandsOf(block: Block): string[] {
  return block.text
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
}
