import { request } from 'node:http'
import { type Address, formatAddress, type ListenAddress } from '../address.ts'
import { address, type Kind } from './schema/kinds.ts'

/** Where `handfast status` and `handfast revoke` look when nothing is said. */
export const defaultAdmin = { host: '127.0.0.1', port: 9443 } as const

const reachable: Kind<ListenAddress> = {
  ...address,
  read(value) {
    const read = address.read(value)
    return read?.port === 0 ? undefined : read
  },
}

/** `--admin` of the commands that ask an admin port. */
export const adminFlag: {
  readonly value: string
  readonly kind: Kind<ListenAddress>
  readonly about: string
} = {
  value: '[HOST:]PORT',
  kind: reachable,
  about: `default 127.0.0.1:${defaultAdmin.port}`,
}

/** The same where the token is shown, too. */
export const tokenAdminFlag: typeof adminFlag = {
  ...adminFlag,
  about:
    `${adminFlag.about}. The call is not encrypted: use a loopback address, or a tunnel ` +
    'to one',
}

/** Where `--admin` says, or else. */
export function adminAddress({ host, port }: ListenAddress = defaultAdmin): Address {
  return { host: host ?? defaultAdmin.host, port }
}

const timeout = 10_000
/** Far more than any answer of an admin port. */
const longestAnswer = 4 * 1024 * 1024

export interface AdminAnswer {
  readonly status: number
  readonly body: unknown
}

/** One call to an admin port. Rejects with a sentence that names the place. */
export async function callAdmin(
  at: Address,
  call: { readonly path: string; readonly token?: string; readonly body?: object },
): Promise<AdminAnswer> {
  const where = formatAddress(at)
  try {
    const { status, text } = await send(at, call)
    return { status, body: JSON.parse(text) as unknown }
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException
    const why = name === 'SyntaxError' ? 'what answers is no admin port' : (code ?? name)
    throw new Error(`can't reach the admin port at ${where}: ${why}`, { cause: error })
  }
}

async function send(
  { host, port }: Address,
  { path, token, body }: { path: string; token?: string; body?: object },
): Promise<{ status: number; text: string }> {
  return await new Promise((resolve, reject) => {
    const asked = request({
      host,
      port,
      path,
      method: body === undefined ? 'GET' : 'POST',
      agent: false,
      signal: AbortSignal.timeout(timeout),
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    })
    asked.on('error', reject)
    asked.on('response', response => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        text += chunk
        if (text.length > longestAnswer) asked.destroy(new Error('endless answer'))
      })
      response.on('error', reject)
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
    })
    asked.end(body === undefined ? undefined : JSON.stringify(body))
  })
}
