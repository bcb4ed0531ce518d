/** A service of a few routes, ready at once. */
import { createApp } from '../../shared/platform/http-server/app.ts'
import type { Route } from '../../shared/platform/http-server/route.ts'
import { createLog } from '../../shared/platform/log.ts'

export const exampleApp = (routes: readonly Route[]) =>
  createApp({
    name: 'example',
    log: createLog('test', 'silent'),
    facts: () => ({}),
    ready: () => Promise.resolve(),
    routes: [...routes],
  })
