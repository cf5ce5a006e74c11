import { readFileSync } from 'node:fs';
import { createHash } from 'node:crypto';

/** The small status page at `/`: one file, no outside resources, script and style allowed by their hashes only. */
export const STATUS_PAGE = readFileSync(new URL('./status-page.html', import.meta.url), 'utf8');

export const STATUS_PAGE_HEADERS: Readonly<Record<string, string>> = {
  'content-type': 'text/html; charset=utf-8',
  'cache-control': 'no-cache',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'content-security-policy': [
    "default-src 'none'",
    `script-src '${hashOf('script')}'`,
    `style-src '${hashOf('style')}'`,
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
};

/** CSP hash of the page's one element of this kind. */
function hashOf(element: 'script' | 'style'): string {
  const start = STATUS_PAGE.indexOf(`<${element}>`) + element.length + 2;
  const content = STATUS_PAGE.slice(start, STATUS_PAGE.indexOf(`</${element}>`));
  return `sha256-${createHash('sha256').update(content).digest('base64')}`;
}
