import { setReplicationConfig } from '../../shared/usecases/change-replication.ts';
import { getReplicationConfig } from '../../shared/usecases/config.ts';
import { getPlacementConfig, setPlacementConfig } from '../../shared/usecases/placement-config.ts';
import { getRebalanceConfig, setRebalanceConfig } from '../../shared/usecases/rebalance-config.ts';
import { getStructureConfig, setStructureConfig } from '../../shared/usecases/structure-config.ts';
import { apiHandler } from '../../shared/runtime/api-handler.ts';
import { lambdaRuntime } from '../../shared/runtime/lambda-runtime.ts';
import type { RuntimeSource } from '../../shared/runtime/runtime.ts';

/** `/config`. */
export const create = (source: RuntimeSource) =>
  apiHandler(
    'config',
    {
      getReplicationConfig,
      setReplicationConfig,
      getRebalanceConfig,
      setRebalanceConfig,
      getStructureConfig,
      setStructureConfig,
      getPlacementConfig,
      setPlacementConfig,
    },
    source,
  );

export const handler = create(lambdaRuntime);
