/** Reads samples that fetch-samples.ts fetched: in the process that runs the model. */
import { readFileSync } from 'node:fs'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { readSamples } from '../../../../shared/onnx/sample-inputs/samples.ts'
import type { FetchedSamples } from './fetch-samples.ts'

/** @returns an empty list for a model without samples. @throws ScissionError internal if the file is not what it should be. */
export const fetchedSamples = (fetched: FetchedSamples | undefined): Tensor[] =>
  fetched ? readSamples(readFileSync(fetched.path), fetched.about) : []
