import { createJoinToken, getNode, listNodes, registerNode } from '../../shared/usecases/nodes.ts';
import { decommissionNode, drainNode } from '../../shared/usecases/drain-node.ts';
import { setNodePlacement } from '../../shared/usecases/node-placement.ts';
import { cordonNode, maintainNode, uncordonNode } from '../../shared/usecases/node-care.ts';
import { apiHandler } from '../../shared/runtime/api-handler.ts';
import { lambdaRuntime } from '../../shared/runtime/lambda-runtime.ts';
import type { RuntimeSource } from '../../shared/runtime/runtime.ts';

/** `/cluster/nodes` and `/cluster/join-tokens`. */
export const create = (source: RuntimeSource) =>
  apiHandler(
    'nodes',
    {
      registerNode,
      listNodes,
      getNode,
      createJoinToken,
      decommissionNode,
      drainNode,
      cordonNode,
      uncordonNode,
      maintainNode,
      setNodePlacement,
    },
    source,
  );

export const handler = create(lambdaRuntime);
