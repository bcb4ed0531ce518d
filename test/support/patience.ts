/**
 * How long tests wait for what must happen, in ms: long enough for a slow machine that does other things as well.
 * Waiting ends with the event, so it costs time only if the event never comes.
 */
export const PATIENCE_MS = 60_000
