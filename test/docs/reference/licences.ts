/** docs/reference/licences.md: the packages that users get, by licence. */
import { lockedPackages } from '../../../infra/dependencies/licences.ts'
import { page, table } from './markdown.ts'

const INTRODUCTION = `Scission itself is under the Apache License 2.0. These are the packages that it installs for its users, on all
platforms together, as \`package-lock.json\` has them; those of tests and checks are left out. \`npm run audit\` refuses a package
whose licence is not on the list in \`infra/dependencies/licences.ts\`, and so does \`npm test\`.`

export function licencesPage(): string {
  const packages = lockedPackages('package-lock.json')
  const licences = [...new Set(packages.map(({ licence }) => licence))].sort()
  const rows = licences.map((licence) => {
    const names = packages.filter((one) => one.licence === licence).map(({ name }) => name)
    const different = [...new Set(names)].sort()
    return [licence, String(different.length), different.join(', ')]
  })
  return page('Licences', INTRODUCTION, table(['licence', 'packages', 'which'], rows))
}
