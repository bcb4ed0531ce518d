/** Entry of the benchmark service's process. Settings: `scission config benchmark`. */
import { BENCHMARK_SETTINGS } from '../../shared/platform/service/service-config.ts'
import { openDoors } from '../../shared/platform/service/open-doors.ts'
import { RequestLog } from '../../shared/platform/http-server/request-log.ts'
import { createLog, createRequestLogs } from '../../shared/platform/log.ts'
import { useDataFolder } from '../../shared/platform/service/data-owner.ts'
import { hidePasswordOf } from '../../shared/platform/hidden-passwords.ts'
import { configOrExit, runService } from '../../shared/platform/service/run-service.ts'
import { createBenchmarkService } from './app.ts'

const config = configOrExit(BENCHMARK_SETTINGS)
const log = createLog('benchmark', config.logLevel)
const requests = new RequestLog(createRequestLogs('benchmark', config))

runService(log, async () => {
  const system = hidePasswordOf(config.redisUrl)
  const leaveData = useDataFolder(config.dataDir, { service: 'benchmark', system })
  const service = await createBenchmarkService(config, log, requests)
  const listening = await openDoors(service.app, config, service.tls)
  return {
    url: listening.url,
    socket: listening.socket,
    close: async () => {
      service.endStreams()
      await listening.close()
      await service.close()
      leaveData()
    },
  }
})
