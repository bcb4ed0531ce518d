/** The product's version in /healthz, OpenAPI files, `GET /v2` and `scission --version`. A test compares it with package.json. */
export const VERSION = '0.2.0'
