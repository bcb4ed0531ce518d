/** Work that needs the processes of a system. */

/**
 * @param gaveUp resolves once one of them is not started any more: what waits for it would wait for ever.
 * @returns what the work yields. @throws what the work throws; the reason of `gaveUp`, if that is sooner.
 */
export function orGivenUp<T>(work: Promise<T>, gaveUp: Promise<Error>): Promise<T> {
  return Promise.race([
    work,
    gaveUp.then((error) => {
      throw error
    }),
  ])
}
