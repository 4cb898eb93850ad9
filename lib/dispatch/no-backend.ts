/** Nobody was asked: there is no backend, or none that has room, or none had it in time. */
export class NoBackend extends Error {
  readonly code: 'no-backend' | 'busy' | 'queue-timeout'

  constructor(code: NoBackend['code']) {
    super(code)
    this.code = code
    this.name = 'NoBackend'
  }
}
