/** Nobody was asked: there is no backend, or none that has room. */
export class NoBackend extends Error {
  readonly code: 'no-backend' | 'busy'

  constructor(code: 'no-backend' | 'busy') {
    super(code)
    this.code = code
    this.name = 'NoBackend'
  }
}
