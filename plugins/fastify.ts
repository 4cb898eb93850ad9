/// <reference types="node" preserve="true" />

import type {
  FastifyPluginCallback,
  FastifyReply,
  FastifyRequest,
  RegisterOptions,
} from 'fastify'
import { type Auth, checkAuth } from '../lib/auth/auth.ts'
import type { Answer } from '../lib/auth/decision.ts'
import type { Identity } from '../lib/auth/identity.ts'
import { authRequest } from '../lib/auth/request/node-request.ts'
import { anything, checkOptions, type OptionRules } from '../lib/options/check-options.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who the user is; null for nobody. Set by `fastifyAuth`. */
    auth: Identity | null
  }
}

export interface FastifyAuthOptions {
  readonly auth: Auth
}

/** Beside our own, what Fastify itself takes there. */
const rules: OptionRules<FastifyAuthOptions & RegisterOptions> = {
  auth: anything,
  prefix: anything,
  logLevel: anything,
  logSerializers: anything,
}

/**
 * Fastify 5: `await app.register(fastifyAuth, { auth })` lets in who is logged in and sets
 * `request.auth`, for all routes of the context that it is registered in.
 */
export const fastifyAuth: FastifyPluginCallback<FastifyAuthOptions> = (
  app,
  options,
  done,
) => {
  // Fastify hears of what is thrown here only by `done`.
  try {
    checkOptions('fastifyAuth', options, rules)
    checkAuth('fastifyAuth', options.auth)
  } catch (error) {
    return done(error as Error)
  }
  const { auth } = options
  app.decorateRequest('auth', null)
  // The earliest hook: the body has not been read, and a form log-in reads it itself.
  app.addHook('onRequest', async (request, reply) => {
    request.auth = null
    const decision = await auth.authenticate(authRequest(request.raw, reply.raw))
    if (decision.outcome === 'identified') request.auth = decision.identity
    else if (decision.outcome === 'answered') return send(reply, decision.answer)
    return undefined
  })
  done()
}

// What the package fastify-plugin sets: hooks and decorators belong to the context that
// registers the plugin, not to one of its own.
Object.assign(fastifyAuth, {
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: 'handfast-auth',
})

/** Logs the user of the request out on all members; true when every reachable one knows. */
export async function fastifyLogout(
  auth: Auth,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<boolean> {
  checkAuth('fastifyLogout', auth)
  request.auth = null
  const { clearCookie } = auth
  if (clearCookie !== undefined) reply.header('set-cookie', clearCookie)
  return auth.logout(request.raw)
}

function send(reply: FastifyReply, { status, headers, body }: Answer): FastifyReply {
  return reply.code(status).headers(headers).send(body)
}
