/** Milliseconds. */
export interface TakeoverTimes {
  /** From the first probe to the second; from then on it doubles, up to `slowest`. */
  readonly probe: number
  readonly slowest: number
  /** After the first probe, no more are sent. */
  readonly patience: number
  /** For what the client has said to the other host, and has to say again. */
  readonly hearing: number
  /** Late packets of the other host, and their consequences, are over. */
  readonly watch: number
  /** From when a client turns out to have more than was sent until it is met there. */
  readonly settle: number
}

export const takeoverTimes: TakeoverTimes = {
  probe: 20,
  slowest: 2_000,
  patience: 3_000,
  hearing: 3_000,
  watch: 5_000,
  settle: 30,
}
