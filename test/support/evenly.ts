/** As many as `count` of the items, spread over all of them, both ends among them; the middle one if that is one. */
export function evenly<T>(items: readonly T[], count: number): T[] {
  if (items.length <= count) return [...items]
  if (count === 1) return items.slice(items.length >> 1).slice(0, 1)
  return Array.from(
    { length: count },
    (_, index) => items[Math.round((index * (items.length - 1)) / (count - 1))]!,
  )
}
