/**
 * Says what is being waited for: at once, and at least every two seconds as long as it takes. On standard error, so that
 * standard output holds only results: on a terminal in one line that is written again, otherwise in lines.
 */
import colour from 'picocolors'
import { formatMs } from './format.ts'
import { printableLine } from './printable.ts'
import { terminalWidth, wrapText } from './wrap.ts'

/** Takes note of how far the work is, or what it waits for. */
export type SetDetail = (detail: string) => void

/** No step is silent for longer. */
const EVERY_MS = 2000
/** A line on a terminal that is written again costs nothing. */
const TERMINAL_EVERY_MS = 200
const CLEAR_LINE = '\r\u001b[2K'

/**
 * @param title what is being done.
 * @param work is given a function that takes what it waits for at the moment.
 * @returns what `work` returns.
 */
export async function sayWhileWaiting<T>(
  title: string,
  work: (setDetail: SetDetail) => Promise<T>,
  stream: NodeJS.WriteStream = process.stderr,
): Promise<T> {
  const start = performance.now()
  let detail = ''
  const write = stream.isTTY ? lineWriter(stream) : lineAfterLine(stream)
  const say = () => {
    const took = formatMs(performance.now() - start)
    write.line(`${title}${detail === '' ? '' : `: ${printableLine(detail)}`}`, took)
  }
  say()
  const timer = setInterval(say, stream.isTTY ? TERMINAL_EVERY_MS : EVERY_MS)
  timer.unref()
  try {
    return await work((given) => {
      detail = given
    })
  } finally {
    clearInterval(timer)
    write.end()
  }
}

interface Writer {
  line: (text: string, took: string) => void
  end: () => void
}

/** One line, cut to the terminal: what is wider would leave a part behind when it is written again. */
function lineWriter(stream: NodeJS.WriteStream): Writer {
  return {
    line: (text, took) => {
      const [first = '', ...more] = wrapText(`  ${text} (${took})`, terminalWidth(stream) - 2).split('\n')
      stream.write(`${CLEAR_LINE}${colour.dim(more.length > 0 ? `${first} …` : first)}`)
    },
    end: () => stream.write(CLEAR_LINE),
  }
}

function lineAfterLine(stream: NodeJS.WriteStream): Writer {
  let isFirst = true
  return {
    line: (text, took) => {
      stream.write(isFirst ? `… ${text}\n` : `  … ${text} (${took})\n`)
      isFirst = false
    },
    end: () => undefined,
  }
}
