/**
 * The entry of an object whose keys are names from outside: of tensors, inputs, resources. Such a name may be `constructor`
 * or `__proto__`, which every object seems to have. Objects with these keys are made by `Object.fromEntries`, or without a
 * prototype: an assignment to `__proto__` would add no entry.
 */
export const entryOf = <T>(entries: Readonly<Record<string, T>> | undefined, name: string): T | undefined =>
  entries !== undefined && Object.hasOwn(entries, name) ? entries[name] : undefined
