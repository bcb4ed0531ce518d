/** Entry of the thread that makes inputs and compares outputs. */
import { serveWork } from '../../../shared/platform/threads/serve-work.ts'
import { buffersOf, type TensorWork, type TensorWorkResult, workOnTensors } from './tensor-thread.ts'

serveWork<TensorWork, TensorWorkResult>(workOnTensors, ({ tensors }) => buffersOf(tensors))
