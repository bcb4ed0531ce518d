/** Entry of the planner process. Settings: `scission config planner`. */
import { PLANNER_SETTINGS } from '../../shared/platform/service/service-config.ts'
import { openDoors } from '../../shared/platform/service/open-doors.ts'
import { RequestLog } from '../../shared/platform/http-server/request-log.ts'
import { createLog, createRequestLogs } from '../../shared/platform/log.ts'
import { configOrExit, runService } from '../../shared/platform/service/run-service.ts'
import { createPlannerService } from './app.ts'
import { warmUp } from './queries/warm-up.ts'

const config = configOrExit(PLANNER_SETTINGS)
const log = createLog('planner', config.logLevel)
const requests = new RequestLog(createRequestLogs('planner', config))

runService(log, async () => {
  warmUp()
  const service = createPlannerService(config, log, requests)
  const listening = await openDoors(service.app, config, service.tls)
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
