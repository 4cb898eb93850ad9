import { constants } from 'node:os'

export interface Stop {
  /** Resolves with 128 + the number of the first SIGINT or SIGTERM. */
  readonly exitCode: Promise<number>
  /** Gives the signals back. */
  forget(): void
}

export function untilStopped(): Stop {
  let heard: (exitCode: number) => void = () => {}
  const exitCode = new Promise<number>(resolve => {
    heard = resolve
  })
  const onSignal = (signal: NodeJS.Signals) => heard(128 + constants.signals[signal])
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return {
    exitCode,
    forget() {
      process.off('SIGINT', onSignal)
      process.off('SIGTERM', onSignal)
    },
  }
}
