/** Malformed input from outside. */

const HUGE = 1_000_000

/** Messages of a channel that carries JSON, by their fault. */
export const RUBBISH_MESSAGES: Record<string, string | Buffer> = {
  empty: '',
  'not JSON': 'hello {',
  'JSON of the wrong shape': '{"kind":7,"id":[]}',
  'JSON null': 'null',
  'a JSON list': '[{"kind":"models","id":"a"}]',
  'JSON with a prototype': '{"__proto__":{"kind":"models","id":"a"}}',
  'deeply nested JSON': '['.repeat(5000) + ']'.repeat(5000),
  'huge text': 'x'.repeat(HUGE),
  'huge JSON': JSON.stringify({ kind: 'models', id: 'x'.repeat(HUGE) }),
  binary: Buffer.from([0, 255, 254, 128, 10, 13, 0, 192, 193]),
}

/** The same for records and fields of records. A field that is empty is no field with text in it. */
export const RUBBISH_RECORDS: Record<string, string | Buffer> = {
  'not JSON': 'hello {',
  'JSON of the wrong shape': '{"id":7,"name":[],"state":"?"}',
  'JSON null': 'null',
  'a JSON list': '[1,2]',
  'a number': '42',
  'deeply nested JSON': '['.repeat(5000) + ']'.repeat(5000),
  'huge text': 'x'.repeat(HUGE),
  binary: Buffer.from([0, 255, 254, 128, 10, 13, 0, 192, 193]),
}
