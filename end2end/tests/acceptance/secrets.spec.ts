// Every key that any test was issued is in the one answer that showed it, and nowhere else: not in the database, not in
// a log, not in another page.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DATABASE } from '../../fixtures/keyward.ts';
import { FOLDER, issuedKeys } from '../../fixtures/ledger.ts';
import { expect, test } from '../../fixtures/test.ts';

test('an issued key is found only in the answer that showed it', () => {
  const issued = issuedKeys();
  expect(issued.length, 'keys were issued by the tests before').toBeGreaterThan(3);
  const haystack = filesUnder(FOLDER).filter((path) => !path.endsWith('issued.jsonl'));
  expect(haystack.some((path) => path.includes('/pages/'))).toBe(true);
  expect(haystack.some((path) => path.endsWith('keyward.log'))).toBe(true);
  const contents = haystack.map((path) => ({ path: path.slice(FOLDER.length + 1), bytes: readFileSync(path) }));
  if (DATABASE === 'sqlite') expect(contents.some(({ bytes }) => bytes.includes('SQLite format 3'))).toBe(true);
  else contents.push({ path: 'a dump of Postgres', bytes: dump() });

  for (const { key, page } of issued) {
    // The id in the middle is public; what follows it is the secret. In hexadecimal too: so Postgres prints bytes.
    const secret = key.split('_')[2];
    const forms = [secret, Buffer.from(secret).toString('hex'), Buffer.from(key).toString('base64').slice(12, -4)];
    const places = contents.filter(({ bytes }) => forms.some((form) => bytes.includes(form))).map(({ path }) => path);
    expect(places).toEqual(page ? [`pages/${page}`] : []);
  }
});

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesUnder(path);
    // The socket for the command line holds nothing.
    return entry.isFile() ? [path] : [];
  });
}

function dump(): Buffer {
  const dumped = spawnSync('pg_dump', ['--dbname', DATABASE], { maxBuffer: 1 << 28 });
  expect(dumped.status, `pg_dump: ${dumped.stderr}`).toBe(0);
  expect(dumped.stdout.length).toBeGreaterThan(1000);
  return dumped.stdout;
}
