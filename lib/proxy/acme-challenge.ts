import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'

/** Under it an authority asks for what proves that a name is ours (RFC 8555 8.3). */
export const challengePath = '/.well-known/acme-challenge/'

export interface ChallengeAnswer {
  readonly status: number
  readonly body: Buffer
}

/** Milliseconds for the program that answers. An authority waits for some 10 s. */
const timeout = 8_000
/** A key authorization is less than 200 bytes. */
const longestBody = 4_096

/**
 * The answer to a challenge, from where an ACME client leaves it: a webroot, in which it makes the
 * path of the challenge, or `http://host:port` at which it answers itself. Never rejects.
 */
export async function answerChallenge(
  where: string,
  token: string,
  host: string,
): Promise<ChallengeAnswer> {
  // RFC 8555 8.3: base64url. So it is no way to another folder.
  if (!/^[A-Za-z0-9_-]{1,256}$/.test(token)) return { status: 404, body: nothing }
  try {
    if (!isChallengeUrl(where)) return await fromFolder(where, token)
    return await fromUrl(where, token, host)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // ELOOP: it is a link, which is no answer.
    const isNone = code === 'ENOENT' || code === 'ELOOP'
    return { status: isNone ? 404 : 502, body: nothing }
  }
}

export function isChallengeUrl(where: string): boolean {
  return /^http:\/\//i.test(where)
}

const nothing = Buffer.alloc(0)

/** No link is followed, and no pipe waited for. */
const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

async function fromFolder(folder: string, token: string): Promise<ChallengeAnswer> {
  const file = await open(join(folder, challengePath, token), flags)
  try {
    const found = await file.stat()
    if (!found.isFile() || found.size > longestBody) return { status: 404, body: nothing }
    return { status: 200, body: await file.readFile() }
  } finally {
    await file.close()
  }
}

function fromUrl(base: string, token: string, host: string): Promise<ChallengeAnswer> {
  return new Promise((resolve, reject) => {
    const asked = request(new URL(challengePath + token, base), {
      agent: false,
      headers: { host },
      signal: AbortSignal.timeout(timeout),
      maxHeaderSize: 16_384,
    })
    asked.on('error', reject)
    asked.on('response', response => {
      const chunks: Buffer[] = []
      let length = 0
      response.on('error', reject)
      response.on('data', (chunk: Buffer) => {
        length += chunk.length
        chunks.push(chunk)
        if (length > longestBody) asked.destroy(new Error('too long an answer'))
      })
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 502, body: Buffer.concat(chunks) })
      })
    })
    asked.end()
  })
}
