import { namedResources, templates } from './support.ts';

/** The addresses of hot calls that `GET /cluster/endpoints` tells (docs/adr/0008): what stands in its function's environment. */
function toldAddresses(context: Record<string, unknown>): readonly string[] {
  const { api } = templates(context);
  return Object.values(namedResources(api, 'AWS::Lambda::Function')).flatMap(({ Properties }) => {
    const environment = Properties['Environment'] as { Variables?: Record<string, unknown> } | undefined;
    const variables = environment?.Variables ?? {};
    return ['HEARTBEAT_URL', 'ROUTES_URL']
      .filter((name) => name in variables)
      .map((name) => JSON.stringify(variables[name]));
  });
}

test('on AWS the Function URLs are told as they are', () => {
  const told = toldAddresses({});
  expect(told).toHaveLength(2);
  for (const address of told) expect(address).toMatch(/^\{"Fn::GetAtt":\["[A-Za-z0-9]+","FunctionUrl"\]\}$/);
});

test('for an emulator whose hosts nobody can reach, its paths are told instead', () => {
  const told = toldAddresses({ target: 'emulator', functionUrlBase: 'http://127.0.0.1:4566/_aws/lambda-url' });
  expect(told).toHaveLength(2);
  for (const address of told) expect(address).toContain('http://127.0.0.1:4566/_aws/lambda-url/');
});

test.each([
  ['without an emulator', { functionUrlBase: 'http://127.0.0.1:4566/_aws/lambda-url' }],
  ['that is no URL', { target: 'emulator', functionUrlBase: 'nonsense' }],
])('a base of Function URLs %s is refused by name', (_, context) => {
  expect(() => templates(context)).toThrow('context functionUrlBase');
});
