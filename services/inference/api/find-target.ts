/** From the name in an address to what it stands for: a deployment first, then a registered model or its layer range. */
import { type DeploymentTargetParts, findDeployment } from '../forwarding/deployment-target.ts'
import type { LayerRange, ModelTargets } from '../serving/models/model-targets.ts'
import type { Target } from '../serving/models/target.ts'

export interface Targets {
  find: (name: string, version?: string, layers?: LayerRange) => Promise<Target>
}

export function createTargets(models: ModelTargets, deployments: DeploymentTargetParts): Targets {
  return {
    async find(name, version, layers) {
      const deployment = layers ? undefined : await findDeployment(deployments, name, version)
      return deployment ?? models.find(name, version, layers)
    },
  }
}
