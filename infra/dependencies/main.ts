/**
 * `npm run audit`: the licences of all installed packages, and the registry's advisories on those that users get. The exit code is
 * 1 if a licence is not allowed or an advisory is open. A registry that does not answer is said, and is no failure.
 */
import { printableLine } from '../terminal/printable.ts'
import { complain, say } from '../terminal/say.ts'
import { askRegistry } from './advisories.ts'
import { installedPackages, isAllowed } from './licences.ts'

const packages = installedPackages('node_modules')
const refused = packages.filter(({ licence }) => !isAllowed(licence))
for (const { name, version, licence } of refused)
  complain(
    printableLine(
      `${name} ${version}: its licence, ${licence}, is not on the list in infra/dependencies/licences.ts`,
    ),
  )
if (refused.length === 0) say(`${packages.length} packages, all of a licence that is allowed`)

const advisories = await askRegistry()
if (advisories.kind === 'unknown') say(printableLine(`advisories were not checked: ${advisories.why}`))
if (advisories.kind === 'clean') say('no advisory on a package that users get')
if (advisories.kind === 'found')
  for (const { name, severity } of advisories.packages)
    complain(printableLine(`${name}: an advisory of severity ${severity}; npm audit tells more`))
if (refused.length > 0 || advisories.kind === 'found') process.exitCode = 1
