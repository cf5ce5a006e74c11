// Plain JavaScript, so that an old Node gets this far and says what is wrong instead of "unknown file extension".
const NODE_MAJOR_MIN = 24;

if (Number(process.versions.node.split('.')[0]) < NODE_MAJOR_MIN) {
  console.error(
    `Node ${process.versions.node} is too old: Shardkeeper needs Node ${NODE_MAJOR_MIN} or later.\n` +
      'Run `npm ci` without --ignore-scripts: it brings Node 24 for the npm scripts. Then run `npm start` again.',
  );
  process.exit(1);
}
await import('./main.ts');
