/** The tensor codecs of a Node process: those of shared/codec with a Zstandard library behind them. */
import { createTensorCodecs } from '../codec/index.ts'
import { hasNodeZstd, nodeZstd, packageZstd } from './zstd-libraries.ts'

export const { availableCodecs, encodeTensor, decodeTensor } = createTensorCodecs(
  hasNodeZstd ? nodeZstd : packageZstd,
)
