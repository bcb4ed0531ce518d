/** Entry of an inference service; one runs per machine. Settings: `scission config inference`. */
import { setFlagsFromString } from 'node:v8'
import { INFERENCE_SETTINGS } from '../../shared/platform/service/service-config.ts'
import { openDoors } from '../../shared/platform/service/open-doors.ts'
import { RequestLog } from '../../shared/platform/http-server/request-log.ts'
import { createLog, createRequestLogs } from '../../shared/platform/log.ts'
import { useDataFolder } from '../../shared/platform/service/data-owner.ts'
import { waitAtMost } from '../../shared/platform/deadline.ts'
import { configOrExit, runService } from '../../shared/platform/service/run-service.ts'
import { createInferenceService } from './app.ts'
import { addressWarnings } from './registration/announced-address.ts'

/** Growth in percent of the heap after the last marking. V8's default is a few percent for a small heap. */
const GROWTH_PERCENT = 100

/**
 * Sets how far V8's heap may grow before a full marking, for this process and the threads that it starts. Called first.
 *
 * V8 counts the tensors of running requests as part of the heap, and starts marking when both together exceed the result of
 * the last marking by a few megabytes. With tensors of 1 MB that happens at every fifteenth request, and marking 30 MB on
 * four threads took about as much CPU time as everything else around the computation of three ResNet50 stages. If the heap
 * may double, markings are so rare that they no longer show (`npm run bench -- serve`: pipelined 16.8 requests per second
 * before, 18.1 after; the collector's threads 2.6 ms per request before, 0.3 ms after), at a cost of about 30 MB of memory.
 */
setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`)

const config = configOrExit(INFERENCE_SETTINGS)
const log = createLog(`inference ${config.resource}`, config.logLevel)
const requests = new RequestLog(createRequestLogs(`inference ${config.resource}`, config))

/** With a Redis that is there, the name is claimed in milliseconds unless another service has it. */
const NAME_PATIENCE_MS = 1000

runService(log, async () => {
  const leaveData = useDataFolder(config.dataDir, { service: `inference ${config.resource}` })
  const service = createInferenceService(config, log, undefined, requests)
  const listening = await openDoors(service.app, config, service.tls, '/v2')
  const url = config.publicUrl || listening.url
  for (const warning of addressWarnings(config, url)) log.warn(warning)
  const registered = service.start(url, config.internalUrl || listening.internalUrl)
  // Without Redis it serves nothing yet, but it runs: whether its name is free is found out once Redis is there.
  await waitAtMost(registered, NAME_PATIENCE_MS, undefined)
  return {
    url,
    socket: listening.socket,
    failed: registered,
    hung: service.hung,
    close: async () => {
      await service.leave()
      await listening.close()
      await service.close()
      leaveData()
    },
  }
})
