/**
 * Turns off ONNX Runtime's telemetry: version 1.30 for Linux reports its use to its maker, and leaves two files per process
 * in the temporary folder, unless ORT_DISABLE_TELEMETRY is set before the first session of the process (found in its
 * library, and tried). Import this in the main thread of every process that makes sessions: a worker thread has only a
 * copy of the environment. To turn telemetry on, set the variable to 0.
 */
process.env['ORT_DISABLE_TELEMETRY'] ??= '1'
