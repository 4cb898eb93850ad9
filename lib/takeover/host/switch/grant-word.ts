/**
 * What is asked of the member that decides on the connections of a dead one, by a member to which
 * the switch sends one of them; and the answer, that says the same again.
 */
export interface GrantRequest {
  /** Hexadecimal; 16 bytes. */
  readonly connection: string
  /** Drawn for this request, which may be said several times; hexadecimal, 16 bytes. */
  readonly request: string
  /** Whose the connection was. */
  readonly of: string
  readonly from: string
  readonly to: string
}

export interface GrantReply extends GrantRequest {
  /** It is `from`'s, and nobody else's. */
  readonly isGranted: boolean
}

/** Written by a member that has the farm's secret, but perhaps of another release. */
export function readGrantRequest(bytes: Buffer | undefined): GrantRequest | undefined {
  if (bytes === undefined) return undefined
  try {
    const word = JSON.parse(bytes.toString()) as GrantRequest
    const { connection, request, of, from, to } = word
    const areTexts = [of, from, to].every(text => typeof text === 'string')
    const areNames = [connection, request].every(id => /^[0-9a-f]{32}$/.test(id))
    return areTexts && areNames ? { connection, request, of, from, to } : undefined
  } catch {
    return undefined
  }
}

export function readGrantReply(bytes: Buffer | undefined): GrantReply | undefined {
  const request = readGrantRequest(bytes)
  if (request === undefined || bytes === undefined) return undefined
  const { isGranted } = JSON.parse(bytes.toString()) as GrantReply
  return typeof isGranted === 'boolean' ? { ...request, isGranted } : undefined
}
