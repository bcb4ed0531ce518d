/** Settings of the benchmark service. */
import { memoryBytes } from '../../usable-memory.ts'
import { COMMON_SETTINGS } from './common-settings.ts'
import { duration, integer, MIB, plannerUrl, port, setting } from './setting.ts'

export const BENCHMARK_SETTINGS = {
  ...COMMON_SETTINGS,
  plannerUrl,
  port: setting('SCISSION_PORT', port, '8081', 'first of the product’s ports'),
  maxModelBytes: setting(
    'SCISSION_MAX_MODEL_BYTES',
    integer(1),
    String(8 * 1024 * MIB),
    'larger than any model that one machine runs',
  ),
  maxModelFiles: setting(
    'SCISSION_MAX_MODEL_FILES',
    integer(1),
    '10000',
    'parts of one upload: exporters of large models write one external file per tensor',
  ),
  maxStructureBytes: setting(
    'SCISSION_MAX_STRUCTURE_BYTES',
    integer(1),
    String(256 * MIB),
    'names, attributes and small constants of a model: a tree ensemble keeps all of its numbers in attributes; the memory ' +
      'of an analysis follows',
  ),
  maxStructureParts: setting(
    'SCISSION_MAX_STRUCTURE_PARTS',
    integer(1),
    '1000000',
    'nodes, attributes, tensors and types of a model: the largest real ones have some 100,000',
  ),
  maxSampleBytes: setting(
    'SCISSION_MAX_SAMPLE_BYTES',
    integer(1),
    String(256 * MIB),
    'values for the inputs of one model, unpacked; they are in memory while they are read',
  ),
  rangeFileBytes: setting(
    'SCISSION_RANGE_FILE_BYTES',
    integer(1),
    String(1024 * MIB),
    'layer ranges that were asked for, as files without weights, of all models; above it those not asked for longest leave the disk',
  ),
  analyseTimeoutMs: setting(
    'SCISSION_ANALYSE_TIMEOUT_MS',
    duration(100),
    '120000',
    'VGG16 takes 2 s; a model that hangs ONNX Runtime is killed after this',
  ),
  analyseMemoryBytes: setting(
    'SCISSION_ANALYSE_MEMORY_BYTES',
    integer(MIB),
    String(Math.floor(memoryBytes() / 2)),
    'half of the memory of this machine',
  ),
  benchmarkTimeoutMs: setting(
    'SCISSION_BENCHMARK_TIMEOUT_MS',
    duration(1000),
    '600000',
    'a resource that has shown no sign of life for so long fails alone, or its calibration does',
  ),
} as const
