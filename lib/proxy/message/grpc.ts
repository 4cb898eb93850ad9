import type { Fields } from '../../http/fields.ts'
import type { RequestHead } from './request-check.ts'

/** gRPC over HTTP/2: `application/grpc`, with a format or without (not gRPC-Web). */
export function isGrpc({ http2, fields }: RequestHead): boolean {
  if (!http2) return false
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] === 'content-type') return media.test(fields[i + 1] as string)
  }
  return false
}

const media = /^application\/grpc(?:\+|;|$)/i

/**
 * An answer of our own as clients of gRPC understand it: one header section that is a trailer
 * section too ("Trailers-Only"), with status 200.
 */
export function grpcFailure(status: number, text: string): Fields {
  return ['content-type', 'application/grpc', ...grpcTrailers(status, text)]
}

/** The same behind an answer that has begun. */
export function grpcTrailers(status: number, text: string): Fields {
  return [
    'grpc-status',
    String(grpcStatus[status] ?? unknown),
    'grpc-message',
    // Percent-encoded where it is not printable ASCII, and `%` itself.
    text.replace(/[^ -$&-~]/g, encodeURIComponent),
  ]
}

const unknown = 2

/** By status of HTTP. Of those that are not here nothing better than "unknown" can be said. */
const grpcStatus: Readonly<Record<number, number>> = {
  400: 13, // INTERNAL, as clients take it for (http-grpc-status-mapping)
  401: 16, // UNAUTHENTICATED
  403: 7, // PERMISSION_DENIED
  404: 12, // UNIMPLEMENTED
  408: 4, // DEADLINE_EXCEEDED
  413: 8, // RESOURCE_EXHAUSTED
  421: 14, // UNAVAILABLE: another connection may do better
  429: 14,
  431: 8,
  500: 13,
  502: 14,
  503: 14,
  504: 4,
}
