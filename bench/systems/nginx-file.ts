import { join } from 'node:path'

export interface NginxParts {
  /** For all that it writes. */
  readonly folder: string
  /** Before the names of files, where several have one folder. */
  readonly prefix?: string
  readonly errors?: 'warn' | 'crit'
  /** Default `off`. */
  readonly accessLog?: string
  /** Lines of its `http` block. */
  readonly http: string
}

/** A config file of nginx in the foreground, with one worker. */
export function nginxFile(parts: NginxParts): string {
  const { folder, prefix = '', errors = 'warn', accessLog = 'off', http } = parts
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(name => `  ${name}_temp_path ${join(folder, prefix + name)};`)
    .join('\n')
  return `daemon off;
worker_processes 1;
pid ${join(folder, `${prefix}nginx.pid`)};
error_log stderr ${errors};
events { worker_connections 1024; }
http {
  access_log ${accessLog};
${temporary}
${http}}
`
}

export function nginxArgs(file: string, folder: string): readonly string[] {
  return ['-c', file, '-p', folder, '-e', 'stderr']
}
