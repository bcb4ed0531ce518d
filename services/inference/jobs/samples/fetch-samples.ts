/** Fetches a model's samples from the benchmark service, for a job that runs the whole model here. */
import { createWriteStream } from 'node:fs'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Model, Samples } from '../../../../shared/contracts/model.ts'
import { type Credentials, shownTo } from '../../../../shared/platform/credentials.ts'
import { ScissionError } from '../../../../shared/platform/errors.ts'
import { HttpClient } from '../../../../shared/platform/http-client.ts'

export interface FetchedSamples {
  path: string
  about: Samples
}

/** ms of silence after which fetching samples is given up. */
const TIMEOUT_MS = 300_000

/** Where samples come from. */
export interface SampleSource {
  /** URL of the benchmark service, which serves the samples. */
  benchmarkUrl: string
  /** Shown to it. */
  credentials?: Credentials
}

/**
 * Calls `use` with the samples in a file that exists until it has ended; with undefined if the model has none.
 * @throws ScissionError peerUnavailable if they cannot be fetched, conflict if they have changed meanwhile; what `use` throws.
 */
export async function withModelSamples<T>(
  { benchmarkUrl, credentials }: SampleSource,
  { id, samples: about }: Pick<Model, 'id' | 'samples'>,
  signal: AbortSignal,
  use: (samples: FetchedSamples | undefined) => Promise<T>,
): Promise<T> {
  if (!about) return use(undefined)
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'scission-samples-'))
  const client = new HttpClient({ timeoutMs: TIMEOUT_MS, shown: shownTo('benchmark', credentials) })
  try {
    const url = `${benchmarkUrl.replace(/\/$/, '')}/v1/models/${id}/samples/data`
    const file = path.join(folder, 'samples')
    await fetchInto(file, client, url, about, signal)
    return await use({ path: file, about })
  } finally {
    client.close()
    await fs.rm(folder, { recursive: true, force: true })
  }
}

async function fetchInto(
  file: string,
  client: HttpClient,
  url: string,
  about: Samples,
  signal: AbortSignal,
): Promise<void> {
  const answer = await client.get(url, { signal, maxBytes: about.bytes })
  if (answer.status !== 200) {
    answer.discard()
    throw new ScissionError(
      'peerUnavailable',
      `the benchmark service answered ${answer.status} to GET ${url}`,
    )
  }
  if (answer.headers['etag'] !== `"${about.sha256}"`) {
    answer.discard()
    throw new ScissionError(
      'conflict',
      `the samples of the model have changed since this job began: start it again`,
    )
  }
  await pipeline(answer.body, createWriteStream(file))
}
