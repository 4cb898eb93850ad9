import { type Fields, valuesOf } from '../../http/fields.ts'

/**
 * Log-ins that hold for a connection and all that is sent on it later, whoever sends it. RFC 4559
 * (Negotiate) breaks with RFC 9110 11 here, which wants each request to speak for itself, and so
 * does NTLM. A connection that has one belongs to the client that made it.
 */
const bound = /(?:^|[\s,])(?:ntlm|negotiate|nego2|kerberos)(?:$|[\s,])/i

/** Whether a request has such a log-in, or a step towards one. */
export function carriesConnectionLogin(fields: Fields): boolean {
  return said(fields, 'authorization')
}

/** Whether a response asks for such a log-in, or says that there is one. */
export function offersConnectionLogin(status: number, fields: Fields): boolean {
  if (status === 401) return said(fields, 'www-authenticate')
  if (status === 407) return said(fields, 'proxy-authenticate')
  // IIS says so, MS-N2HT 2.2.
  return has(fields, 'persistent-auth', value => value.toLowerCase() === 'true')
}

function said(fields: Fields, name: string): boolean {
  return has(fields, name, value => bound.test(value))
}

function has(fields: Fields, name: string, test: (value: string) => boolean): boolean {
  return valuesOf(fields, name).some(value => test(value.trim()))
}
