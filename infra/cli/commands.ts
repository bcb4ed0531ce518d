/**
 * The commands of `scission`, as its help lists them. What each needs is loaded when it is called: loading all of it takes
 * several times as long as to print the help.
 */
import type { Command } from 'commander'
import type { Context } from './context.ts'

/** Adds options, subcommands and the action to a command. */
export type Define = (command: Command, context: Context) => void

export interface CommandEntry {
  /** Name and arguments. */
  usage: string
  text: string
  load: () => Promise<Define>
}

export const COMMANDS: readonly CommandEntry[] = [
  {
    usage: 'up [options...]',
    text: 'bring the whole system up on this machine and show it at work: the same as npm start, with its options',
    load: async () => (await import('./commands/up.ts')).defineUp,
  },
  {
    usage: 'status',
    text: 'what runs where: services, resources, links and deployments; exits with 0 only if all is well',
    load: async () => (await import('./commands/status-command.ts')).defineStatus,
  },
  {
    usage: 'models',
    text: 'models in the registry',
    load: async () => (await import('./commands/models.ts')).defineModels,
  },
  {
    usage: 'layers <model>',
    text: 'layers of a model, and where it can be cut',
    load: async () => (await import('./commands/models.ts')).defineLayers,
  },
  {
    usage: 'bench <model>',
    text: 'measure a model layer by layer on every resource',
    load: async () => (await import('./commands/bench-command.ts')).defineBench,
  },
  {
    usage: 'calibrate <model>',
    text: 'run a model with every codec at every single-tensor cut on sample inputs',
    load: async () => (await import('./commands/calibrate.ts')).defineCalibrate,
  },
  {
    usage: 'calibrations [id]',
    text: 'calibrations on record; with an id, what that one found and what each bound would buy now',
    load: async () => (await import('./commands/calibrate.ts')).defineCalibrations,
  },
  {
    usage: 'plan <model>',
    text: 'the best plans, with the native baselines beside them',
    load: async () => (await import('./commands/plan-command.ts')).definePlan,
  },
  {
    usage: 'price <plan>',
    text: 'what one plan would take now, without a search: by its id, or a model with --stages',
    load: async () => (await import('./commands/price-command.ts')).definePrice,
  },
  {
    usage: 'deploy <plan>',
    text: 'make a plan live; waits until it is, and says how its outputs compare with the whole model’s',
    load: async () => (await import('./commands/deploy-command.ts')).defineDeploy,
  },
  {
    usage: 'undeploy <deployment>',
    text: 'take a deployment out of service',
    load: async () => (await import('./commands/deploy-command.ts')).defineUndeploy,
  },
  {
    usage: 'sweep <model>',
    text: 'a map of the best plan over one to three conditions',
    load: async () => (await import('./commands/sweep-command.ts')).defineSweep,
  },
  {
    usage: 'keys',
    text: 'who may call the services: make the key of a system, and keys for people and programs',
    load: async () => (await import('./commands/key-commands.ts')).defineKeys,
  },
  {
    usage: 'certs',
    text: 'a small authority of one’s own: certificates for encryption between the services',
    load: async () => (await import('./commands/cert-commands.ts')).defineCerts,
  },
  {
    usage: 'infer <model>',
    text: 'run a deployment (or, with --on, a model on one resource), once or many times',
    load: async () => (await import('./commands/infer.ts')).defineInfer,
  },
  {
    usage: 'experiment [file]',
    text: 'measure models and queries of a file again and again: raw latencies, and a summary with intervals',
    load: async () => (await import('./commands/experiment-command.ts')).defineExperiment,
  },
  {
    usage: 'deployments',
    text: 'what is live',
    load: async () => (await import('./commands/list-commands.ts')).defineDeployments,
  },
  {
    usage: 'resources',
    text: 'machines that registered',
    load: async () => (await import('./commands/resource-commands.ts')).defineResources,
  },
  {
    usage: 'links',
    text: 'links between resources',
    load: async () => (await import('./commands/link-commands.ts')).defineLinks,
  },
  {
    usage: 'profiles',
    text: 'profiles of models, measured and imported',
    load: async () => (await import('./commands/list-commands.ts')).defineProfiles,
  },
  {
    usage: 'import <files...>',
    text: 'machines, links and profiles of your own, profiles as `profiles --json` prints them, or the original Scission’s',
    load: async () => (await import('./commands/import-command.ts')).defineImport,
  },
  {
    usage: 'zoo',
    text: 'built-in networks, with random weights made from a seed',
    load: async () => (await import('./commands/zoo.ts')).defineZoo,
  },
  {
    usage: 'predict <folder> <network> <model>',
    text: 'the original Scission’s query tool on its own measurements',
    load: async () => (await import('./commands/predict.ts')).definePredict,
  },
  {
    usage: 'config [service]',
    text: 'settings of the services: environment variable, value now, default, reason',
    load: async () => (await import('./commands/config.ts')).defineConfig,
  },
  {
    usage: 'completion <shell>',
    text: 'a script that completes commands and options in bash, zsh or fish',
    load: async () => (await import('./commands/completion-command.ts')).defineCompletion,
  },
]
