import type { Job } from './job.ts'
import { JobRunner } from './run-job.ts'

/** Entry of a client process: jobs come in over IPC, results go back. */
const runner = new JobRunner()

process.on('message', (job: Job) => {
  runner.run(job).then(
    result => process.send?.(result),
    error => process.send?.({ id: job.id, error: String(error) }),
  )
})
// The benchmark is gone: nobody is left to measure for.
process.on('disconnect', () => process.exit(0))
