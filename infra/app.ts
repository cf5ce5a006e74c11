import { App } from 'aws-cdk-lib';
import { buildApp } from './stacks.ts';

const app = new App();
buildApp(app);
app.synth();
