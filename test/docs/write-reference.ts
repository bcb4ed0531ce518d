/** `npm run docs`: writes the pages of docs/reference that are made from the code. */
import { writeFileSync } from 'node:fs'
import { referencePages } from './reference/index.ts'

for (const [page, text] of await referencePages()) {
  writeFileSync(page, text)
  console.log(page)
}
