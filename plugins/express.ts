/// <reference types="node" preserve="true" />

import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Auth, type AuthMiddleware, checkAuth } from '../lib/auth/auth.ts'
import type { Identity } from '../lib/auth/identity.ts'
import { HandfastError } from '../lib/errors.ts'

declare global {
  // The place that Express keeps for this; nothing of Express itself is needed here.
  namespace Express {
    interface Request {
      /** Who the user is; undefined for nobody. Set by `expressAuth`. */
      auth?: Identity | undefined
    }
  }
}

/**
 * Express 4 and 5: `app.use(expressAuth(auth))` lets in who is logged in and sets `req.auth`.
 * With form log-in it must stand where the form's paths arrive, on the app and not on a router
 * mounted elsewhere.
 */
export function expressAuth(auth: Auth): AuthMiddleware {
  checkAuth('expressAuth', auth)
  return auth.middleware()
}

/**
 * Lets in users that `allowed` accepts, and answers 403 to others: `expressAllow(user =>
 * user.claims.role === 'admin')`. Goes behind `expressAuth`.
 */
export function expressAllow(
  allowed: (identity: Identity) => boolean,
): (
  request: IncomingMessage & { auth?: Identity | undefined },
  response: ServerResponse,
  next: (error?: unknown) => void,
) => void {
  if (typeof allowed !== 'function') throw notAllowed()
  return (request, response, next) => {
    if (request.auth !== undefined && allowed(request.auth)) return next()
    response.statusCode = 403
    response.setHeader('cache-control', 'no-store')
    response.end()
  }
}

/**
 * Logs out on all members, then goes on or sends the client to `to`. Takes POST only: a link
 * on any page must not log anybody out.
 */
export function expressLogout(
  auth: Auth,
  to?: string,
): (
  request: IncomingMessage,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => void {
  checkAuth('expressLogout', auth)
  return (request, response, next) => {
    if (request.method !== 'POST') {
      response.statusCode = 405
      response.setHeader('allow', 'POST')
      response.end()
      return
    }
    auth.logout(request, response).then(() => {
      if (to === undefined) return next()
      response.statusCode = 303
      response.setHeader('location', to)
      response.end()
    }, next)
  }
}

function notAllowed(): HandfastError {
  return new HandfastError(
    'ERR_HANDFAST_USAGE',
    'expressAllow takes a function of the user: user => user.claims.role === "admin"',
  )
}
