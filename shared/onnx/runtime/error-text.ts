/** ONNX Runtime's messages as users read them. */

/** Removes ONNX Runtime's source paths, C++ signatures and our temporary file names from a message. */
export function tidy(message: string): string {
  return message
    .replace(/Load model from \S+ failed:\s*/g, '')
    .replace(/\S*\/onnxruntime_src\/\S+ [^\n]*?\) (?=[A-Z[])/g, '')
    .replace(/\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : /g, '')
    .replace(/\s+/g, ' ')
    .trim()
}
