/**
 * What the two say to each other of an address that moves. The giver: `offers`, `holds` (all its
 * connections stand still, and this many were told), then `gives` or `withdraws`. The receiver:
 * `accepts` or `refuses`, and `has` when all has come.
 */
export const moveSteps = [
  'offers',
  'holds',
  'gives',
  'withdraws',
  'accepts',
  'refuses',
  'has',
] as const

export type MoveStep = (typeof moveSteps)[number]

/** Each replaces the one before it of the same member and move. */
export interface MoveWord {
  /** Hexadecimal; 16 bytes, drawn for this try. */
  readonly move: string
  readonly from: string
  readonly to: string
  readonly step: MoveStep
  readonly address: string
  /** Of the address, once it has moved. */
  readonly epoch: number
  /** With `holds` and `gives`: how many. */
  readonly connections: number
}

/** Written by a member that has the farm's secret, but perhaps of another release. */
export function readMoveWord(bytes: Buffer | undefined): MoveWord | undefined {
  if (bytes === undefined) return undefined
  try {
    const word = JSON.parse(bytes.toString()) as MoveWord
    const { move, from, to, step, address, epoch, connections } = word
    const areTexts = [from, to, address].every(text => typeof text === 'string')
    const areNumbers = [epoch, connections].every(Number.isSafeInteger)
    const isForm = /^[0-9a-f]{32}$/.test(move) && moveSteps.includes(step)
    if (!areTexts || !areNumbers || !isForm) return undefined
    return { move, from, to, step, address, epoch, connections }
  } catch {
    return undefined
  }
}
