// Sends HTTP requests from the machine on which it runs: each message of the parent is one, and is answered with its answer.
process.on('disconnect', () => process.exit())
process.on('message', async ({ id, url, timeoutMs, ...request }) => {
  const from = performance.now()
  const tookMs = () => performance.now() - from
  try {
    const signal = AbortSignal.timeout(timeoutMs)
    const answer = await fetch(url, { ...request, signal })
    const bytes = new Uint8Array(await answer.arrayBuffer())
    process.send({
      id,
      status: answer.status,
      headers: Object.fromEntries(answer.headers),
      bytes,
      tookMs: tookMs(),
    })
  } catch (error) {
    process.send({ id, failed: `${error.message}: ${error.cause?.message ?? ''}`, tookMs: tookMs() })
  }
})
process.send({ ready: true, url: '' })
