/// <reference types="node" preserve="true" />

export { postgres } from './database.ts'
export type { PostgresOptions, PostgresTls } from './options.ts'
