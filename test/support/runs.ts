/**
 * How many random cases a property is tried with: few in `npm test`, all that the law asks for when
 * `SCISSION_ALL_CASES=1` is set (docs/results.md has the counts of the last such run).
 */
export function runs(few: number, all: number): number {
  return process.env.SCISSION_ALL_CASES === '1' ? all : few
}
