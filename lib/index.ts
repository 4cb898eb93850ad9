/// <reference types="node" preserve="true" />

export { defaultFarmPort } from './address.ts'
export type { Admin } from './admin/admin.ts'
export type { Auth, AuthMiddleware } from './auth/auth.ts'
export type { AuthCounts, LoginOutcome } from './auth/auth-counters.ts'
export type { AuthDecision } from './auth/decision.ts'
export type { Identity, MethodName } from './auth/identity.ts'
export {
  identityHeaders,
  stripIdentityHeaders,
  verifyIdentityHeaders,
} from './auth/identity-headers.ts'
export type { AuthOptions } from './auth/options.ts'
export type { Authenticated } from './auth/request/node-request.ts'
export type { AuthRequest } from './auth/request/request.ts'
export type { Found, WriteOptions, WriteTerms } from './cache/cache.ts'
export type { StateCache } from './cache/state-cache.ts'
export type {
  FoundRecord,
  Source,
  Tier,
  TierMaker,
  TierParts,
  WriteLevel,
} from './cache/tier.ts'
export { channels } from './channels.ts'
export type { Clock, Timer } from './clock.ts'
export { type ErrorCode, HandfastError } from './errors.ts'
export { generateSecret } from './farm/secret.ts'
export type {
  AbsentMember,
  Member,
  Replica,
  TransportStats,
  WriteReach,
} from './farm/transport.ts'
export { createLog, type Log, type LogOptions } from './log.ts'
export { createFarm } from './member/create-farm.ts'
export type { AttachOptions, Farm, FarmAdminOptions, FarmStats } from './member/farm.ts'
export type { FarmOptions } from './member/options.ts'
export {
  type AcceptedProxyProtocol,
  acceptProxyProtocol,
  type ProxyProtocolOptions,
} from './proxy-protocol/accept-proxy-protocol.ts'
export { type TableId, tableId, tables } from './record/key.ts'
export type { CacheRecord } from './record/record.ts'
export type { RecordSealer } from './record/record-sealer.ts'
export type { Version } from './record/version.ts'
export type { HandshakeCounts, UnstoredCause } from './resumption/counters.ts'
export {
  type FullCause,
  type Handshake,
  handshakeOf,
  type ResumedFrom,
} from './resumption/handshake.ts'
export type {
  ListedRevocation,
  RevocationOutcome,
  RevokeOptions,
} from './resumption/revocation/revocation.ts'
export type { RevocationTarget } from './resumption/revocation/revocation-target.ts'
export type { Policy, ResumptionMode } from './resumption/session/policy.ts'
export type { TableStats } from './table/record-table.ts'
