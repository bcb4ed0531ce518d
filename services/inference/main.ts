/** Entry of an inference service; one runs per machine. Settings: `scission config inference`. */
import { INFERENCE_SETTINGS } from '../../shared/platform/service/service-config.ts'
import { listen } from '../../shared/platform/http-server/listen.ts'
import { createLog } from '../../shared/platform/log.ts'
import { configOrExit, runService } from '../../shared/platform/service/run-service.ts'
import { createInferenceService } from './app.ts'
import { letHeapGrow } from './heap-growth.ts'

letHeapGrow()
const config = configOrExit(INFERENCE_SETTINGS)
const log = createLog(`inference ${config.resource}`, config.logLevel)

const isLoopback = (host: string) => host === 'localhost' || host === '::1' || host.startsWith('127.')

runService(log, async () => {
  const service = createInferenceService(config, log)
  const listening = await listen(service.app, config.port, config.host, '/v2')
  const url = config.publicUrl || listening.url
  if (!config.publicUrl && !isLoopback(config.host))
    log.warn(
      `peers and clients are told to call ${url}: set SCISSION_PUBLIC_URL to the address they can reach`,
    )
  service.start(url)
  return {
    url,
    close: async () => {
      await service.leave()
      await listening.close()
      await service.close()
    },
  }
})
