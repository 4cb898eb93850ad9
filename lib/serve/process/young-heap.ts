import { setFlagsFromString } from 'node:v8'

/**
 * V8 learns which places in the code make objects that last, and from then on puts what they make
 * among the old objects at once. A process that begins under load learns it of what belongs to
 * requests: each such object then keeps its whole request until the next collection of the old
 * ones, and the frequent small collections, which copy what lives, copied ten times as much.
 */
export function keepRequestsYoung(): void {
  setFlagsFromString('--no-allocation-site-pretenuring')
}
