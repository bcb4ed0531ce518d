/** The job that analyse-child.ts runs in its child process. */
export { analyse as run } from './analyse.ts'
