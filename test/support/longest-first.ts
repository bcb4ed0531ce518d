/**
 * The order of test files: those that take minutes first, so that none of them runs alone at the end. The others follow
 * in Vitest's own order (by their earlier times, if it knows them).
 */
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Half a minute and more, the longest first. */
const LONGEST = [
  'test/e2e/start.test.ts',
  'test/e2e/cli.test.ts',
  'test/e2e/plans.test.ts',
  'test/docs/pages.test.ts',
  'test/onnx/real-models.test.ts',
  'test/redis/queue-contract.test.ts',
  'test/benchmark/models/upload.test.ts',
  'test/benchmark/benchmarks/flow.test.ts',
  'test/e2e/faults.test.ts',
  'test/infra/docker.test.ts',
  'test/inference/jobs/profiler/profile.test.ts',
]

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const index = LONGEST.findIndex((file) => moduleId.endsWith(file))
      return index < 0 ? LONGEST.length : index
    }
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b))
  }
}
