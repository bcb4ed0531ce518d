/** Arbitrary problems of the chain view with queries, for laws: exact numbers, few plans asked for. */
import * as fc from 'fast-check'
import { EXACT, problems, queries } from './problems.ts'
import { richProblems, richQueries } from './rich-problems.ts'

const plainCases = problems(EXACT, 5).chain((problem) =>
  queries(problem).map((query) => ({ problem, query: { ...query, top: 5 } })),
)
export const richCases = richProblems(EXACT).chain((problem) =>
  richQueries(problem).map((query) => ({ problem, query: { ...query, top: 5, distinct: undefined } })),
)
export const cases = fc.oneof(plainCases, richCases)
