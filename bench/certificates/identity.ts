import { type Identity, issue, type KeyType, keyText } from './certificate.ts'

export const serverName = 'bench.test'

/** Names of the sets of certificates that scenarios are run with. */
export const identityNames = ['p256', 'rsa2048', 'p256-mtls', 'chain3'] as const
export type IdentityName = (typeof identityNames)[number]

/** PEM texts of one set. */
export interface Identities {
  readonly name: IdentityName
  /** What servers show: their key and their chain, leaf first, root left out. */
  readonly server: { readonly key: string; readonly cert: string }
  /** The root that clients trust. */
  readonly ca: string
  /** Set when servers ask for a client certificate. */
  readonly client:
    | { readonly key: string; readonly cert: string; readonly ca: string }
    | undefined
}

/** New keys and certificates. One certificate is sent, but for `chain3`, which has three. */
export function makeIdentities(name: IdentityName): Identities {
  const type: KeyType = name === 'rsa2048' ? 'rsa2048' : 'p256'
  const root = issue({ name: 'bench root', type, use: 'authority' })
  const between: Identity[] = []
  if (name === 'chain3') {
    for (const number of [1, 2]) {
      const issuer = between[0] ?? root
      between.unshift(
        issue({ name: `bench intermediate ${number}`, type, use: 'authority', issuer }),
      )
    }
  }
  const leaf = issue({
    name: serverName,
    type,
    use: 'server',
    issuer: between[0] ?? root,
  })
  return {
    name,
    server: {
      key: keyText(leaf),
      cert: [leaf, ...between].map(({ certificate }) => certificate).join(''),
    },
    ca: root.certificate,
    client: name === 'p256-mtls' ? makeClient() : undefined,
  }
}

function makeClient(): NonNullable<Identities['client']> {
  const issuer = issue({ name: 'bench client root', type: 'p256', use: 'authority' })
  const leaf = issue({ name: 'ann', type: 'p256', use: 'client', issuer })
  return { key: keyText(leaf), cert: leaf.certificate, ca: issuer.certificate }
}
