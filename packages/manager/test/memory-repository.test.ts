import { memoryRepository } from '@chunks/manager';
import { repositoryContract } from './support/contracts.ts';

repositoryContract({ open: async () => memoryRepository(), numRuns: 80 });
