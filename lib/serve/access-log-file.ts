import { HandfastError } from '../errors.ts'
import type { Log } from '../log.ts'
import { LogDestination } from '../log-destination.ts'
import type { AccessLogTarget } from '../proxy/options.ts'
import type { AccessLogSettings } from './settings.ts'

/** Where the lines of requests go in this process. */
export interface AccessLogFile {
  /** As the proxy takes it. */
  readonly target: AccessLogTarget | 'off' | undefined
  dropped(): number
  /** Goes on in a new file at the same path. A fault is a line in the log. */
  reopen(): void
  close(): void
}

/** Throws ERR_HANDFAST_CONFIG for a file that can't be written. */
export function openAccessLog(
  settings: AccessLogSettings | undefined,
  log: Log,
): AccessLogFile {
  if (settings === undefined || settings.to === 'off') {
    return { target: settings && 'off', dropped: () => 0, reopen() {}, close() {} }
  }
  const { to, format } = settings
  let file: LogDestination
  try {
    file = new LogDestination(descriptors[to] ?? to, {
      onDropped: dropped =>
        log.warn({ dropped, accessLog: to }, 'lines of the access log were lost'),
    })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new HandfastError(
      'ERR_HANDFAST_CONFIG',
      `accessLog: can't write ${to} (${code}): its folder must be there, and this user ` +
        'allowed to write in it',
    )
  }
  return {
    target: { format, write: line => file.write(line) },
    dropped: () => file.dropped,
    reopen() {
      try {
        file.reopen()
        log.info({ accessLog: to }, 'access log opened anew')
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        log.error(
          { accessLog: to, code },
          'access log not opened anew: the old file stays',
        )
      }
    },
    close: () => file.close(),
  }
}

const descriptors: Readonly<Record<string, number>> = { stdout: 1, stderr: 2 }
