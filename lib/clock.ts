/**
 * Where time and chance come from. Everything that waits or reads the time takes a `Clock`,
 * so that a test can move it.
 */
export interface Clock {
  /** Wall time in milliseconds since 1970. May jump. */
  now(): number
  /** Milliseconds since some fixed moment. Never jumps; for durations and time limits. */
  monotonic(): number
  /** Calls `fn` once after `ms`; it does not keep the process alive. */
  after(ms: number, fn: () => void): Timer
}

export interface Timer {
  cancel(): void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, fn) {
    const timeout = setTimeout(fn, ms)
    timeout.unref()
    return { cancel: () => clearTimeout(timeout) }
  },
}
