/**
 * What was once measured of the running services from outside and had to be mended, by number, each with the tests that show it: they send
 * the same over HTTP or Redis as was sent then. serving.test.ts holds that every one of them exists.
 */

export interface Shown {
  file: string
  /** As it stands in the file; `%s` where the table of an `it.each` is. */
  title: string
}

export interface Finding {
  number: number
  /** What is held now. */
  what: string
  shownBy: readonly Shown[]
}

const by = (file: string, ...titles: string[]): Shown[] =>
  titles.map((title) => ({ file: `test/${file}.test.ts`, title }))

export const FINDINGS: readonly Finding[] = [
  {
    number: 1,
    what: 'the Redis of npm start is reached from this machine, by a password',
    shownBy: by(
      'e2e/restarts',
      'listens on loopback only, with all that belongs to it',
      'has a Redis that answers those who know its password, which shows nowhere',
    ),
  },
  {
    number: 2,
    what: 'a published message that is no change ends nothing, and is counted',
    shownBy: by('faults/foreign-messages', 'end no service, and are counted by each that listens'),
  },
  {
    number: 3,
    what: 'nobody takes the name of a model by telling a machine of a deployment',
    shownBy: by(
      'inference/forwarding/on-record',
      'goes on answering the model, told of a deployment by that name or not',
      'and not on record is refused, and loads nothing',
    ),
  },
  {
    number: 4,
    what: 'pages of other sites command nothing',
    shownBy: [
      ...by('faults/foreign-pages', 'is refused to a page that shows %s', 'nothing of it was done'),
      ...by('access/browser', 'changes nothing and learns nothing'),
    ],
  },
  {
    number: 5,
    what: 'a run without end is ended at its deadline, and the service by a signal',
    shownBy: by(
      'inference/runaway',
      'a Loop of 10^15 turns ends at its deadline, and others are answered beside and behind it',
      'ends in order, before its time is up',
    ),
  },
  {
    number: 6,
    what: 'outputs whose size the values tell are bounded',
    shownBy: by(
      'inference/runaway',
      'outputs whose size the values tell are bounded, and leave no memory behind',
    ),
  },
  {
    number: 7,
    what: 'archives are counted unpacked, beside the event loop',
    shownBy: by('benchmark/npz-bombs', 'of all parts of a form to %s together are refused'),
  },
  {
    number: 8,
    what: 'damaged forms are answered, and leave no folder',
    shownBy: by('benchmark/multipart', 'sent to %s are answered at once, and leave nothing behind'),
  },
  {
    number: 9,
    what: 'answers that nobody reads are bounded',
    shownBy: by(
      'inference/unread-answers',
      'are bounded in memory: a further one is refused, until theirs give way; others are served all the time',
    ),
  },
  {
    number: 10,
    what: 'long analyses of one client hold up that client',
    shownBy: by('benchmark/fair-analyses', 'hold up those of its own only'),
  },
  {
    number: 11,
    what: 'values that the second machine cannot take are a 400 of their own request',
    shownBy: [
      ...by(
        'faults/bad-values',
        'is the 400 of its own request; other requests and deployments go on over the same machine',
      ),
      ...by('inference/forwarding/data-faults', 'because of what the client sent passes the refusal on: %s'),
    ],
  },
  {
    number: 12,
    what: 'who is alive is told by the clock of Redis',
    shownBy: by(
      'inference/clocks',
      'every machine that runs is alive, and one that died is not, to every planner',
    ),
  },
  {
    number: 13,
    what: 'a document that cannot be read is left out of its list',
    shownBy: [
      ...by('redis/mixed-versions', 'GET %s lists what can be read'),
      ...by('redis/senseless-records', 'with %s are not written, and left out where they stand'),
    ],
  },
  {
    number: 14,
    what: 'a name of a machine belongs to one service',
    shownBy: by(
      'inference/one-name',
      'is refused to a second service at its start, with both addresses and what to do',
      'is exactly one’s if several start at the same moment',
    ),
  },
  {
    number: 15,
    what: 'times that are longer than timers run',
    shownBy: [
      ...by('faults/odd-requests', 'a timeout of %d µs is none that is over at once'),
      ...by('shared/config', 'takes no duration that is longer than timers can be, which would fire at once'),
    ],
  },
  {
    number: 16,
    what: 'what stays loaded, written and counted for clients is bounded',
    shownBy: [
      ...by('inference/stages', 'make room too: each session takes memory'),
      ...by(
        'benchmark/models/written-ranges',
        'are bounded together, whatever clients ask for, and those that are gone are written again',
      ),
      ...by(
        'faults/made-up-names',
        '1500 refused requests with names of their own leave the metrics of a machine short',
      ),
    ],
  },
  {
    number: 17,
    what: 'a Redis that takes no writes is the reason that is told',
    shownBy: by('redis/refuses-writes', '$way is the reason of every 503, not the machines'),
  },
  {
    number: 18,
    what: 'streams of events share a connection',
    shownBy: [
      ...by('planner/deployment-events', 'share one connection to Redis, and its reads'),
      ...by(
        'shared/platform/http-server/client-streams',
        'of one client are bounded: one more is told 429, and has its place when another one has left',
      ),
    ],
  },
  {
    number: 19,
    what: 'a body that never ends is answered',
    shownBy: by(
      'shared/platform/http-server/transfer-limits',
      'that never ends is answered 408 with the reason, and closed; others are served meanwhile',
    ),
  },
  {
    number: 20,
    what: 'of two plans for one name one gets it',
    shownBy: by('planner/two-planners', 'let one of two plans have a name, and put the other one nowhere'),
  },
  {
    number: 21,
    what: 'a silent cut after a slow answer costs a small multiple of the prediction',
    shownBy: by(
      'inference/forwarding/patience',
      'after slow and quick answers holds up one request, and the machine is used again afterwards',
    ),
  },
  {
    number: 22,
    what: 'two systems of one checkout have data of their own',
    shownBy: by(
      'infra/two-systems',
      'have models of their own: one that is deleted in one stays in the other',
    ),
  },
  {
    number: 23,
    what: 'redirections are not followed',
    shownBy: [
      ...by('faults/redirected', 'a redirection with %i is a failure of that machine'),
      ...by('shared/platform/checked-lookup', '%s follow no redirection'),
    ],
  },
  {
    number: 24,
    what: 'a deployment moves forward',
    shownBy: by(
      'inference/forwarding/on-record',
      'that goes back and forth is refused where it is told, and not there where it is read',
      'that moves back to an earlier tier is refused',
    ),
  },
  {
    number: 25,
    what: 'imported profiles stand beside measured ones, and are deleted like them',
    shownBy: by(
      'benchmark/plain-import',
      'stands beside the measured one: %s',
      'is planned with once the measured one is deleted, and deleted like it',
    ),
  },
  {
    number: 26,
    what: 'a model that takes long to load holds up nobody else',
    shownBy: [
      ...by(
        'faults/large-model',
        'is answered while others are, whose requests come when its load has begun',
      ),
      ...by(
        'inference/executor/large-stages',
        'holds up no run of another stage while it loads, on the only executor',
      ),
    ],
  },
  {
    number: 27,
    what: 'tensors may be called what every object has',
    shownBy: [
      ...by('faults/odd-requests', 'a tensor that is %s may be called what every object has'),
      ...by('inference/executor/inherited-names', 'takes an input called %s'),
    ],
  },
  {
    number: 28,
    what: 'names of layers do nothing to a terminal',
    shownBy: by(
      'e2e/cli',
      'requests are repeated, inputs and outputs are NumPy files, and hostile names stay text',
    ),
  },
  {
    number: 29,
    what: 'passwords show in no listing of settings',
    shownBy: by('faults/printed-settings', '`scission config` hides the password of REDIS_URL: %s'),
  },
  {
    number: 30,
    what: 'a request has one host',
    shownBy: by('shared/platform/http-server/connection-limits', 'with the headers %j is refused'),
  },
]
