import { VerifiedTokens } from '../../shared/adapters/verified-tokens.ts';

test('a token that was verified is known until the second in which it has to be verified anew', () => {
  const tokens = new VerifiedTokens<string>();
  expect(tokens.find('t', 100)).toBeNull();
  tokens.remember('t', 'ann', 110);
  expect([tokens.find('t', 100), tokens.find('t', 109), tokens.find('other', 100)]).toEqual(['ann', 'ann', null]);
  expect(tokens.find('t', 110)).toBeNull();
  // Then it is forgotten, also for a clock that is set back.
  expect(tokens.find('t', 109)).toBeNull();
});

test('as many are remembered as there is room for', () => {
  const tokens = new VerifiedTokens<string>(2);
  for (const token of ['a', 'b', 'c']) tokens.remember(token, `bearer of ${token}`, 110);
  expect(['a', 'b', 'c'].map((token) => tokens.find(token, 100))).toEqual([null, 'bearer of b', 'bearer of c']);
});
