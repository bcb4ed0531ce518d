/** The sockets on which a process and all that it started listen, as Linux tells them in /proc. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

export interface Listening {
  pid: number
  command: string
  /** Hexadecimal, as in /proc/net/tcp: bytes of each four in the order of this machine. */
  address: string
  port: number
}

/** State 0A of /proc/net/tcp. */
const LISTEN = '0A'

/** @returns why they cannot be told here; undefined if they can. */
export const whyNotTold = () =>
  process.platform === 'linux' ? undefined : 'which process listens where is read from /proc of Linux'

/** A process that ends meanwhile has none. */
function whileThere<T>(read: () => T, otherwise: T): T {
  try {
    return read()
  } catch {
    return otherwise
  }
}

function parents(): Map<number, number> {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return new Map(
    pids.flatMap((pid) => {
      // The name in the second field may hold spaces and brackets.
      const stat = whileThere(() => readFileSync(`/proc/${pid}/stat`, 'utf8'), '')
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
      return stat === '' ? [] : [[Number(pid), parent] as const]
    }),
  )
}

/** @returns the process and all that it started, and those started, as far as they run. */
export function treeOf(root: number): number[] {
  const parentOf = parents()
  const isOfTree = (pid: number | undefined): boolean =>
    pid !== undefined && (pid === root || isOfTree(parentOf.get(pid)))
  return [...parentOf.keys()].filter(isOfTree)
}

export const commandOf = (pid: number) =>
  whileThere(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim(), '')

const inodesOf = (pid: number) =>
  whileThere(() => readdirSync(`/proc/${pid}/fd`), []).flatMap(
    (fd) => /^socket:\[(\d+)\]$/.exec(whileThere(() => readlinkSync(`/proc/${pid}/fd/${fd}`), ''))?.[1] ?? [],
  )

/** @returns every listening TCP socket of these processes. */
export function listeningOf(pids: readonly number[]): Listening[] {
  const owner = new Map(pids.flatMap((pid) => inodesOf(pid).map((inode) => [inode, pid] as const)))
  const lines = ['tcp', 'tcp6'].flatMap((table) =>
    whileThere(() => readFileSync(`/proc/self/net/${table}`, 'utf8'), '')
      .split('\n')
      .slice(1),
  )
  return lines.flatMap((line) => {
    const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/)
    const pid = owner.get(inode)
    if (state !== LISTEN || pid === undefined) return []
    const [address = '', port = ''] = local.split(':')
    return [{ pid, command: commandOf(pid), address, port: Number.parseInt(port, 16) }]
  })
}

/** 127.0.0.0/8, ::1 and ::ffff:127.0.0.0/8, on a machine whose bytes are in either order. */
export const isLoopback = ({ address }: Pick<Listening, 'address'>): boolean =>
  /^(7F......|......7F|0{24}01000000|0{31}1|0{16}(FFFF0000|0000FFFF)(7F......|......7F))$/.test(address)
