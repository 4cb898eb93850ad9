export interface HaproxyParts {
  /** Longest wait for a backend, to connect and between two reads. Default 10 s. */
  readonly backendTimeout?: number
  /** Its frontends and backends. */
  readonly rest: string
}

/** A config file of HAProxy with one thread. */
export function haproxyFile({ backendTimeout = 10_000, rest }: HaproxyParts): string {
  return `global
  nbthread 1
  maxconn 1000
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  timeout client 10s
  timeout connect ${backendTimeout}ms
  timeout server ${backendTimeout}ms
${rest}`
}

export function haproxyArgs(file: string): readonly string[] {
  return ['-db', '-f', file]
}
