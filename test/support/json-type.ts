/** Header of a request whose body is JSON: without it `fetch` declares a text, which JSON routes refuse. */
export const JSON_TYPE = { 'Content-Type': 'application/json' }
