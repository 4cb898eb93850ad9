/** What has to be done before something is said that is in no planned response. */
export interface OutputGuard {
  /** Undefined: nothing. When it rejects, nothing is said any more, and the connection is reset. */
  suspend(): Promise<void> | undefined
  /** What had to be said of the connection itself is out; its user may not have said anything. */
  settled(): void
}

/** At once where nothing has to be waited for. */
export function after(
  wait: Promise<void> | undefined,
  goOn: () => void,
  giveUp: (error: Error) => void,
): void {
  if (wait === undefined) goOn()
  else wait.then(goOn, giveUp)
}
