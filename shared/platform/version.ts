/** The product's version, as said in /healthz, OpenAPI files, `GET /v2` and `scission --version`. A test holds it equal to package.json. */
export const VERSION = '0.2.0'
