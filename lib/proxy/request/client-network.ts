import { type Fields, valuesOf } from '../../http/fields.ts'
import { networkOf } from '../../limit/network.ts'
import type { ClientConnection } from '../client/client-connection.ts'
import { clientBehind } from '../message/forwarded.ts'

/**
 * The network that a request counts for where limits are shared out. Of a trusted proxy it is
 * that of the client it speaks for; undefined when the proxy does not say: then it stands for
 * many, and is not one of them.
 */
export function clientNetwork(
  { clientAddress, network }: ClientConnection,
  fields: Fields,
  trusts: (address: string) => boolean,
): string | undefined {
  if (network !== undefined) return network
  const forwardedFor = valuesOf(fields, 'x-forwarded-for').join()
  const client = clientBehind(clientAddress, forwardedFor, trusts)
  return trusts(client) ? undefined : networkOf(client)
}
