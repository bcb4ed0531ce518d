/** Entry of the planner process. Settings: `scission config planner`. */
import { PLANNER_SETTINGS } from '../../shared/platform/service/service-config.ts'
import { listen } from '../../shared/platform/http-server/listen.ts'
import { createLog } from '../../shared/platform/log.ts'
import { configOrExit, runService } from '../../shared/platform/service/run-service.ts'
import { createPlannerService } from './app.ts'
import { warmUp } from './queries/warm-up.ts'

const config = configOrExit(PLANNER_SETTINGS)
const log = createLog('planner', config.logLevel)

runService(log, async () => {
  warmUp()
  const service = createPlannerService(config, log)
  const listening = await listen(service.app, config.port, config.host, '/', config)
  return {
    url: listening.url,
    socket: listening.socket,
    close: async () => {
      service.endStreams()
      await listening.close()
      await service.close()
    },
  }
})
