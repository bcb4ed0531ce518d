/** An inference service with toy models as a process of its own, so that a test can kill it. Settings: environment. */
import { createInferenceService } from '../../../services/inference/app.ts'
import { INFERENCE_SETTINGS } from '../../../shared/platform/service/service-config.ts'
import { listen } from '../../../shared/platform/http-server/listen.ts'
import { createLog } from '../../../shared/platform/log.ts'
import { configOrExit, runService } from '../../../shared/platform/service/run-service.ts'
import { branchedModel, toyEngine } from './toy-models.ts'

const config = configOrExit(INFERENCE_SETTINGS)
const log = createLog(`toy ${config.resource}`, 'silent')

runService(log, async () => {
  const engine = toyEngine([branchedModel('a')])
  engine.runMs = 5
  const service = createInferenceService(config, log, engine)
  const { url, socket, close } = await listen(service.app, config.port, config.host)
  await service.start(url)
  return {
    url,
    socket,
    close: async () => {
      await service.leave()
      await close()
      await service.close()
    },
  }
})
