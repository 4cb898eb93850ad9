/**
 * Log-ins that hold for a connection and all that is sent on it later, whoever sends it. RFC 4559
 * (Negotiate) breaks with RFC 9110 11 here, which wants each request to speak for itself, and so
 * does NTLM. A connection that has one belongs to the client that made it.
 */
const bound = /(?:^|[\s,])(?:ntlm|negotiate|nego2|kerberos)(?:$|[\s,])/i

/** Whether a request has such a log-in, or a step towards one. */
export function carriesConnectionLogin(fields: readonly string[]): boolean {
  return said(fields, 'authorization')
}

/** Whether a response asks for such a log-in, or says that there is one. */
export function offersConnectionLogin(
  status: number,
  fields: readonly string[],
): boolean {
  if (status === 401) return said(fields, 'www-authenticate')
  if (status === 407) return said(fields, 'proxy-authenticate')
  // IIS says so, MS-N2HT 2.2.
  return has(fields, 'persistent-auth', value => value.toLowerCase() === 'true')
}

function said(fields: readonly string[], name: string): boolean {
  return has(fields, name, value => bound.test(value))
}

function has(
  fields: readonly string[],
  name: string,
  test: (value: string) => boolean,
): boolean {
  for (let i = 0; i < fields.length; i += 2) {
    const candidate = fields[i] as string
    if (candidate.length !== name.length || candidate.toLowerCase() !== name) continue
    if (test((fields[i + 1] as string).trim())) return true
  }
  return false
}
