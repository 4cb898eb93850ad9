import { HandfastError } from '../../errors.ts'

/** Those that are sent or told apart here (RFC 8446 6). */
export const alerts = {
  close_notify: 0,
  unexpected_message: 10,
  bad_record_mac: 20,
  record_overflow: 22,
  illegal_parameter: 47,
  decode_error: 50,
  user_canceled: 90,
} as const

export type AlertName = keyof typeof alerts

/** What a peer said that TLS does not allow, and the alert that it is told so with. */
export class RecordFault extends HandfastError {
  readonly alert: AlertName

  constructor(alert: AlertName, message: string) {
    super('ERR_HANDFAST_PROTOCOL', `TLS: ${message}`)
    this.name = 'RecordFault'
    this.alert = alert
  }
}

/** The content of a record. Only the two that close are no errors. */
export function alertContent(name: AlertName): Buffer {
  const level = name === 'close_notify' || name === 'user_canceled' ? warning : fatal
  return Buffer.from([level, alerts[name]])
}

/**
 * What a peer's alert means, whatever level it claims (RFC 8446 6): `end` of what it says,
 * nothing (`undefined`), or the number of an error after which it hears nothing more.
 */
export function readAlert(content: Buffer): 'end' | number | undefined {
  if (content.length !== 2) {
    throw new RecordFault('decode_error', 'an alert of another length than 2')
  }
  const code = content[1] as number
  if (code === alerts.close_notify) return 'end'
  return code === alerts.user_canceled ? undefined : code
}

const warning = 1
const fatal = 2
