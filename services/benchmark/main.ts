/** Entry of the benchmark service's process. Settings: `scission config benchmark`. */
import { BENCHMARK_SETTINGS } from '../../shared/platform/service/service-config.ts'
import { listen } from '../../shared/platform/http-server/listen.ts'
import { createLog } from '../../shared/platform/log.ts'
import { configOrExit, runService } from '../../shared/platform/service/run-service.ts'
import { createBenchmarkService } from './app.ts'

const config = configOrExit(BENCHMARK_SETTINGS)
const log = createLog('benchmark', config.logLevel)

runService(log, async () => {
  const service = await createBenchmarkService(config, log)
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
