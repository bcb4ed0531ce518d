/** The pages of docs/reference that are made from the code, by their paths. */
import { accessPage } from './access.ts'
import { apiPage } from './api.ts'
import { cliPage } from './cli.ts'
import { configurationPage } from './configuration.ts'
import { errorsPage } from './errors.ts'
import { licencesPage } from './licences.ts'
import { metricsPage } from './metrics.ts'

export async function referencePages(): Promise<Map<string, string>> {
  return new Map([
    ['docs/reference/access.md', await accessPage()],
    ['docs/reference/api.md', await apiPage()],
    ['docs/reference/cli.md', await cliPage()],
    ['docs/reference/configuration.md', configurationPage()],
    ['docs/reference/errors.md', errorsPage()],
    ['docs/reference/licences.md', licencesPage()],
    ['docs/reference/metrics.md', metricsPage()],
  ])
}
