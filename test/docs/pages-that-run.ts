/** The output that the commands of each page must print. */
import { expect } from 'vitest'

type Check = (stdout: string) => void

/** All of these, in this order. */
const inOrder =
  (...patterns: readonly RegExp[]): Check =>
  (stdout) => {
    let rest = stdout
    for (const pattern of patterns) {
      expect(rest).toMatch(pattern)
      const match = pattern.exec(rest)
      rest = rest.slice((match?.index ?? 0) + (match?.[0].length ?? 0))
    }
  }

const figureOf = (text: string, name: string) =>
  Number(new RegExp(`${name}"?:? *(\\d+(\\.\\d+)?)`).exec(text)?.[1])

export const PAGES_THAT_RUN: Readonly<Record<string, Check>> = {
  'docs/tutorial/first-ten-minutes.md': inOrder(
    /device +device +alive/,
    /device → edge/,
    /mymodel \(version 1\)/,
    /92 layers/,
    /95 % within/,
    /native baselines/,
    /--first-layers-on-device 5 and --min-stages 2.* wins/,
    /mysplit.*ready/,
    /took .* ms/,
    /resource +layers +compute/,
    /"name":"mysplit"/,
    /"model_name":"mysplit"/,
    /^scission_inference_requests_total\{model="mysplit",.*outcome="success"\} 6$/m,
    /"model_stats"/,
    /^served: stages on (device|edge) took/m,
    /deleted mysplit/,
    /deleted mymodel/,
  ),
  'docs/guides/install.md': inOrder(/"redis":"/, /^\d+\.\d+\.\d+$/m, /--report FILE/),
  'docs/guides/command-line.md': inOrder(
    /planner +ready +\d[^]*device +device +alive[^]*all is well/,
    /^[1-9]\d*$/m,
    /^list,id,plan \(layers\),predicted \(ms\),/m,
    /"message":"--top must be a whole number from 1 to 1000, for example --top 3","exitCode":2/,
    /served +ready/,
    /20 requests, 2 at a time: median .* ms, .* requests per second/,
    /wrote outputs\.npz/,
    /wrote outputs\/predictions\.npy/,
    /deleted served/,
    /edge → cloud +25\.0 ms +40\.0 Mbit\/s +80\.0 Mbit\/s .*override/,
    /the link edge → cloud is as measured at .* again/,
    /exit code 3/,
    /^[1-9]\d+$/m,
  ),
  'docs/guides/curl.md': inOrder(
    /^model [0-9a-f]{64}$/m,
    /^plan [0-9a-f]{64}\.[0-9a-f]{12}\.device\./m,
    /^serving at http/m,
    // The answer in JSON, then the header of the one in binary.
    /"model_name"/,
    /"model_name"/,
    /"binary_data_size":4000/,
    /^boundary .* bytes$/m,
  ),
  'docs/guides/input-values.md': inOrder(
    /^refused$/m,
    /readings \(version 1\)/,
    /samples for layout/,
    /^"samples":\{"sha256"/m,
    /^refused$/m,
    /given .*: layout INT64 2/,
    /given .*: layout INT64 2/,
    /^\{"sha256":.*"layout"/m,
    /^needs its samples$/m,
    /deleted readings/,
  ),
  // Whether predictions hold while all other tests run is no matter of this page.
  'docs/guides/emulated-testbed.md': inOrder(
    /every step worked|plans did NOT take as long as predicted/,
    /"why": *"/,
    /"4g":/,
  ),
  'docs/guides/own-machines.md': (stdout) => {
    inOrder(
      /"ready":true/,
      /gateway +edge +alive/,
      /gateway .* measured/,
      /"to":"gateway"/,
      /gateway/,
    )(stdout)
    expect(stdout.trimEnd().split('\n').slice(-3).join('\n')).not.toContain('gateway')
  },
  'docs/guides/expose-a-system.md': inOrder(
    /^could not start: SCISSION_HOST=0\.0\.0\.0: .*because no system key is given$/m,
    /^system\.key is the key of a new system/m,
    /^the token of resource gateway \([0-9a-f]+\) is in gateway\.token$/m,
    /"error":"this needs a token/,
    /^the token of client camera \([0-9a-f]+\) is in camera\.token$/m,
    /"name":"mobilenetv2"/,
    /may not do this: it needs the permission \\"about\\" on \\"other\\"/,
    /client +camera +mobile\* +no/,
    /^revoked client camera/m,
    /the credentials are not valid here/,
    /^alice may read$/m,
    /client alice \(oidc:[0-9a-f]{16}\) may not do this/,
    /the credentials are not valid here/,
    /it is for .*other.*, not for/,
    /^the token of operator lab \([0-9a-f]+\) is in lab\.token$/m,
    /^operator lab \([0-9a-f]+\)\n {2}models +0 of 30\n {2}bytes +0 B of 10\.0 GB\n/m,
    /^ {2}requests +50 per second, 200 more in every 10 s$/m,
    /ca\.pem is for every service/,
    /^gateway holds for 365 days/m,
  ),
  'docs/guides/docker-compose.md': inOrder(/"ready":true/),
  'docs/guides/constrain-a-plan.md': inOrder(
    /--first-layers-on-device 10/,
    /"why":"with firstLayersOnDevice: 10/,
    /--use edge/,
    /--min-stages 2/,
    /--run-layers/,
    /--max-tier-ms/,
    /--max-tier-share/,
    /--max-upload-bytes/,
    /plan \(layers\)/,
    /plan \(layers\)/,
    / J\b/,
    /plan \(layers\)/,
    /plan \(layers\)/,
    /--max-latency-ms/,
    /"code":"infeasible".*"conflict":/,
  ),
  'docs/guides/what-if.md': inOrder(
    /what-if: links from the first tier as the preset 3g/,
    /what-if: .*device.*edge/,
    /what-if: .*device 30x slower/,
    /what-if: /,
    /takes over|at no/,
    /to the right: bandwidth \(Mbit\/s\) from 0\.5 to 200; downwards: round trip/,
    /best plan \(layers\)/,
    /slowdown/,
    /best plan \(layers\)/,
  ),
  'docs/guides/compress-a-cut.md': (stdout) => {
    inOrder(
      /cut +codec +bytes +top-1 agreement +relative error +loss bound/,
      /^ *63 +q4 .* % \(≥ .*\(≤ /m,
      /accuracy lost +best plan +codecs/,
      /^"cells":\[\{"boundary":63,"codec":"q8-zstd",.*"accuracy":.*"codec":"zstd",.*"lossBound":0,/m,
      /^ *calibration +model +on +state/m,
      /accuracy lost +best plan +codecs/,
      /^"accuracyLoss":0\.\d/m,
      /codec +encode +decode/,
      /"scission_hop0_codec": "q8-zstd"/,
      /"scission_hop1_decodeMs"/,
    )(stdout)
    const figure = (name: string) => figureOf(stdout, `scission_hop0_${name}`)
    expect(figure('wireBytes')).toBeLessThan(figure('bytesOut') / 3)
  },
  'docs/guides/batch-requests.md': (stdout) => {
    inOrder(/roots \(version 1\)/, /"batch_size":[248]/)(stdout)
    expect(figureOf(stdout, '"execution_count')).toBeLessThan(figureOf(stdout, '"inference_count'))
    inOrder(/"max_batch_size":8/, /"dynamic_batching":\{.*\[2,4,8\]/, /"data":\[1,2,3,4,5,6,7,8\]/)(stdout)
  },
  'docs/guides/survive-a-lost-machine.md': inOrder(
    /spare-edge .* measured/,
    /"scission_hop1_resource":"spare-edge"/,
    /"scission_hop1_resource":"edge"\n(.*\n)*?"scission_hop1_insteadOf":"spare-edge"/,
    /"scission_hop1_insteadOf":"spare-edge"/,
    /"openBreakers":\["spare-edge"\]/,
    /left out: spare-edge: no heartbeat since/,
  ),
  'docs/guides/prometheus.md': inOrder(
    /^[1-9]\d*\n[1-9]\d*\n[1-9]\d*$/m,
    /^scission_inference_requests_total\{model="mobilenetv2",version="1",outcome="success"\} [1-9]/m,
    /"service":"inference"/,
    /"ready":true/,
  ),
  'docs/guides/python-and-triton-clients.md': inOrder(
    /"extensions":\[/,
    /"name":"mobilenetv2","ready":true/,
    /"name":"mobilenetv2:0-63"/,
  ),
  'docs/guides/original-data.md': inOrder(
    /2 systems loaded/,
    /\[1\] 0\.2300s - 0\.1500MB - Device\(raspi4\) = -1 - -1/,
    /\[1\] 0\.\d+s .*Device\(raspi4\) = 0 - /,
    /\[1\] 0\.2300s/,
    /stored 2 profiles/,
    /all on server +230 ms/,
    /stored 3 profiles|stored \d profiles/,
  ),
  'docs/guides/experiments.md': inOrder(
    /"deploy": \{/,
    /mobilenetv2 +on-device +4 .*mobilenetv2 +split +4 .*8 requests in results/s,
    /^model,query,repetition,started \(ms\),latency \(ms\),/m,
    /"complete": true/,
    /device \[0,63\) → edge \[63,158\)/,
    /device \[0,63\) → edge \[63,158\)/,
    /"predictedMs":\d/,
  ),
  'docs/guides/own-figures.md': inOrder(
    /stored 1 profile, 2 machines, 1 link$/m,
    /^stored 1 profile$/m,
    /^layer,time \(ms\),/m,
    /lab-pi .* imported/,
    /all on lab-server/,
    /exit code 2/,
    /deleted [0-9a-f]{64}\..*lab-pi.*\.imported/,
    /removed lab-server/,
  ),
  'docs/reference/formulas.md': inOrder(/"computeMs"/, /"predictedMs"/, /"lowMs"/),
  'docs/reference/plan-query.md': (stdout) => {
    expect(stdout.match(/"objective":"latency"/g)?.length).toBeGreaterThanOrEqual(4)
    inOrder(
      /^"energyJ":\d/m,
      /"code":"infeasible".*maxLatencyMs at least/,
      /what-if: links from the first tier as the preset 3g.*edge 3x slower/,
      /"sensitivity":\[\{"what":/,
      /^"cells":\[(\d,){11}\d\]$/m,
      /"view":"graph"/,
      /did you mean edge\?/,
    )(stdout)
  },
  'docs/reference/requests-and-answers.md': (stdout) => {
    const [answers = '', encoded = ''] = stdout.split('"outputs"')
    const [, timed = '', untimed = ''] = answers.split('"model_name"')
    expect(timed).toContain('"scission_hops":3')
    expect(timed).toContain('"scission_hop0_nextMs"')
    // The answer came straight from the last hop.
    expect(timed).not.toContain('"scission_hop1_nextMs"')
    expect(untimed).not.toContain('scission_')
    expect(untimed).toMatch(/^"error":".*deadline/m)
    expect(encoded).toMatch(/"shape":\[1008\].*"scission_codec":"q8".*"scission_shape":"\[1,1000\]"/)
  },
  'docs/reference/api.md': inOrder(/"openapi":"3\.1\.0"/),
  'docs/reference/cli.md': inOrder(/mobilenetv2 .*1x3x224x224/, /"name": "/),
  'docs/reference/configuration.md': inOrder(/planner +SCISSION_PORT/),
  'docs/reference/metrics.md': inOrder(/scission_executor_queued/, /scission_http_request_duration_seconds/),
  'docs/reference/testbed.md': inOrder(/^3$/m),
  'docs/explanation/cuts.md': inOrder(/"boundaries":\[\{"k":62,/, /"passThrough":/),
  'docs/explanation/measurements.md': inOrder(/"interval"/, /"rttMs":/),
  'docs/explanation/plans.md': inOrder(/"why":"/, /"considered":[1-9]/),
  'docs/explanation/codecs.md': inOrder(/^ *63 +q8-zstd .*not bounded/m),
  'docs/explanation/deployments.md': inOrder(/"items":\[/),
  'docs/explanation/emulation.md': inOrder(/"slowdown":25/, /emulated wifi/),
}
