/**
 * Third-party material that lies beside the repository, or does not. The suite passes and tests all that is essential
 * without it; tests that use some carry its tag, so that `npm test` can count them.
 *
 * This is the only file of the tests that knows the paths of the material.
 */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const BESIDE = fileURLToPath(new URL('../../../shared/', import.meta.url))

/** Where the environment says, else beside the repository. */
const placeOf = (setting: string, folder: string) =>
  path.resolve(process.env[setting] || path.join(BESIDE, folder))

export interface Material {
  /** The Vitest tag of the tests that use it. */
  tag: string
  name: string
  /** A folder or a file. */
  path: string
  /** Undefined: it is not there. */
  found: string | undefined
  /** The tests that are missing without it, as a sentence. */
  without: string
}

function material(given: Omit<Material, 'found'>, proof = ''): Material {
  const isThere = existsSync(path.join(given.path, proof))
  return { ...given, found: isThere ? given.path : undefined }
}

/** ONNX files of other projects with their MANIFEST.json. */
export const MODELS = material(
  {
    tag: 'third-party-models',
    name: 'third-party models',
    path: placeOf('SCISSION_TEST_MODELS', 'models'),
    without: 'all suites run over our own models only (test/data/models)',
  },
  'MANIFEST.json',
)

/** The measurements that the original Scission published, and answers of its own to compare with. */
export const ORIGINAL = material(
  {
    tag: 'original-measurements',
    name: 'the measurements of the original Scission',
    path: path.join(BESIDE, 'scission'),
    without: 'its rules are tested on made-up measurements only, not against answers that it gave',
  },
  'profiles.json',
)

/** The layers of the paper's networks, as Keras has them. */
export const KERAS = material({
  tag: 'keras-layers',
  name: "Keras' lists of layers",
  path: path.join(BESIDE, 'zoo/keras-graphs.json'),
  without: 'the zoo is compared with digests of those lists, not with the lists',
})

/** Small files, each with the shape of a fault that someone reported for a program like this one. */
export const CASES = material(
  {
    tag: 'fault-cases',
    name: 'cases of reported faults',
    path: placeOf('SCISSION_TEST_CASES', 'faults/models'),
    without: 'only a few cases of our own are driven through a system',
  },
  'make_cases.py',
)

/** What test/conformance/install-clients.sh installs: a Python environment, and a folder of npm packages. */
export const CLIENTS = material(
  {
    tag: 'foreign-clients',
    name: 'clients of other projects',
    path: fileURLToPath(new URL('../../node_modules/.cache/scission-clients/', import.meta.url)),
    without:
      'no client of another project is tried; `bash test/conformance/install-clients.sh` installs them, if PyPI is reached',
  },
  'installed',
)

export const MATERIAL: readonly Material[] = [MODELS, ORIGINAL, KERAS, CASES, CLIENTS]

/** The program that makes machines of network namespaces: a tool, which test/machines runs where it is there. */
export const NETLAB = path.join(placeOf('SCISSION_TEST_NETLAB', 'tools/netlab'), 'netlab.sh')
