// Preloaded by `node --import`: gives the process a calendar that is off by CLOCK_OFFSET_MS, as on a machine whose clock
// was never set. Monotonic time goes on as it is, and so do the timers.
const offsetMs = Number(process.env.CLOCK_OFFSET_MS ?? 0)
const Real = Date

globalThis.Date = class Date extends Real {
  constructor(...args) {
    if (args.length === 0) super(Real.now() + offsetMs)
    else super(...args)
  }

  static now() {
    return Real.now() + offsetMs
  }
}
