import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { nginxArgs, nginxFile } from './nginx-file.ts'
import { findProgram, needProgram } from './program.ts'
import { type MemberFiles, startProgramFarm } from './program-farm.ts'
import type { System } from './system.ts'

const ticketKeyFile = 'ticket.key'

export const nginx: System = {
  name: 'nginx',
  about: 'nginx, one worker per member, the same ticket key file',
  modes: ['1.2-ticket', '1.3-stateless'],
  mustResume: false,
  missing: () => findProgram('nginx').missing,
  start: options =>
    startProgramFarm(options, {
      command: needProgram('nginx'),
      configName: 'nginx.conf',
      config,
      args: nginxArgs,
      shared: { [ticketKeyFile]: randomBytes(48) },
    }),
}

function config({ port, index, folder, keyFile, certFile, clientCaFile }: MemberFiles) {
  const verify =
    clientCaFile === undefined
      ? ''
      : `    ssl_verify_client on;\n    ssl_client_certificate ${clientCaFile};\n`
  const http = `  map $ssl_session_reused $resumed { r yes; default no; }
  server {
    listen 127.0.0.1:${port} ssl;
    server_name bench.test;
    ssl_certificate ${certFile};
    ssl_certificate_key ${keyFile};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_timeout 1h;
    ssl_session_tickets on;
    ssl_session_ticket_key ${join(folder, ticketKeyFile)};
${verify}    add_header x-resumed $resumed;
    location / { return 200 "ok\\n"; }
  }
`
  return nginxFile({ folder, prefix: `${index}-`, http })
}
