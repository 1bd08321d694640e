// The main job, from sign-in to audit timeline, in one browser, with a real provider on both ends.
import { PUBLIC_URL } from '../../fixtures/ledger.ts';
import { issueKey, pasted, record, registerFederation, revokeKey, rotateKey } from '../../fixtures/job.ts';
import { look } from '../../fixtures/look.ts';
import { scim, user } from '../../fixtures/scim.ts';
import { expect, signIn, test } from '../../fixtures/test.ts';

const FEDERATION = { slug: 'acme-okta', name: 'Acme Okta', provider: 'okta' };

test('an admin registers, issues, sees the first use, rotates, revokes, and reads it on the timeline', async ({
  page,
  context,
}) => {
  test.setTimeout(300_000);
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: PUBLIC_URL });

  await page.goto('/');
  await expect(page).toHaveURL(/\/sign-in/);
  await look(page, '01-sign-in');
  await signIn(page, 'ana');
  await expect(page.getByRole('heading', { level: 1, name: 'Overview' })).toBeVisible();
  await look(page, '02-overview-first');

  const rail = page.getByRole('navigation', { name: 'Main' });
  await rail.getByRole('link', { name: 'Federations' }).click();
  await page.getByRole('link', { name: 'Register federation' }).click();
  await look(page, '03-federation-new');
  const base = await registerFederation(page, FEDERATION);
  expect(base).toBe(`${PUBLIC_URL}/scim/acme-okta/v2`);
  await look(page, '04-federation-without-key');

  await page.getByRole('link', { name: 'Issue key' }).click();
  await look(page, '05-key-new');
  const first = await issueKey(page, 'acme-okta-1');
  await expect(page.getByText('Not copied yet.')).toBeVisible();
  await look(page, '06-key-shown');
  await page.getByRole('button', { name: 'Copy key' }).click();
  await expect(page.getByText('Copied.', { exact: true })).toBeVisible();
  expect(await pasted(page)).toBe(first);

  // The page waits for the first request, and says so when it comes; nobody reloads.
  await expect(page.getByText('Waiting', { exact: true })).toBeVisible();
  const created = await scim(base, first, 'POST', '/Users', user('lena'));
  expect(created.status).toBe(201);
  expect(created.body).toMatchObject({ userName: 'lena@acme.example', active: true, meta: { resourceType: 'User' } });
  await expect(page.getByText('In use', { exact: true })).toBeVisible({ timeout: 15_000 });
  await page.getByRole('link', { name: 'Done' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'acme-okta-1' })).toBeVisible();
  await expect(page.getByText(/^Last used/).first()).toBeVisible();
  await look(page, '07-key-in-use');

  await page.getByRole('link', { name: 'Rotate key' }).click();
  await look(page, '08-key-rotate');
  const second = await rotateKey(page);
  expect(second).not.toBe(first);
  await look(page, '09-key-rotated');
  await page.getByRole('button', { name: 'Copy key' }).click();
  // The overlap: both are accepted.
  const path = `/Users/${created.body.id}`;
  expect((await scim(base, first, 'GET', path)).status).toBe(200);
  expect((await scim(base, second, 'GET', path)).status).toBe(200);
  const patched = await scim(base, second, 'PATCH', path, {
    schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'],
    Operations: [{ op: 'replace', value: { active: false } }],
  });
  expect(patched.status).toBeLessThan(300);
  expect((await scim(base, second, 'GET', path)).body.active).toBe(false);

  await page.getByRole('link', { name: 'Done' }).click();
  await page.getByRole('region', { name: 'Rotation' }).getByRole('link', { name: 'acme-okta-1', exact: true }).click();
  await expect(page.getByText('Retiring', { exact: true }).first()).toBeVisible();
  await look(page, '10-key-retiring');
  await page.getByRole('link', { name: 'Revoke key' }).click();
  await look(page, '11-key-revoke');
  await revokeKey(page, 'The successor is in use');
  await look(page, '12-key-revoked');
  const refused = await scim(base, first, 'GET', path);
  expect(refused.status).toBe(401);
  expect(refused.body.schemas).toEqual(['urn:ietf:params:scim:api:messages:2.0:Error']);
  expect((await scim(base, second, 'GET', path)).status).toBe(200);

  await rail.getByRole('link', { name: 'Audit' }).click();
  for (const texts of [
    ['Ana Admin', 'signed in'],
    ['Ana Admin', 'registered federation', 'Acme Okta'],
    ['Ana Admin', 'issued key', 'acme-okta-1'],
    ['Key acme-okta-1', 'created user', 'lena@acme.example'],
    ['Ana Admin', 'rotated key'],
    ['updated user', 'lena@acme.example'],
    ['Ana Admin', 'revoked key', 'acme-okta-1'],
    ['was refused'],
  ]) {
    await expect(record(page, ...texts).first(), texts.join(' … ')).toBeVisible();
  }
  await look(page, '13-audit');
  await page.getByRole('combobox', { name: 'What' }).selectOption('key.revoked');
  await page.getByRole('button', { name: 'Apply filter' }).click();
  await expect(page).toHaveURL(/action=key\.revoked/);
  await expect(record(page, 'revoked key').first()).toBeVisible();
  await expect(record(page, 'issued key')).toHaveCount(0);
  await record(page, 'revoked key').first().getByRole('link').first().click();
  await expect(page.getByRole('heading', { level: 1, name: /^Record/ })).toBeVisible();
  await expect(page.getByText('key.revoked').first()).toBeVisible();
  await expect(page.getByText('The successor is in use').first()).toBeVisible();
  await look(page, '14-audit-record');

  for (const [name, heading, shot] of [
    ['Overview', 'Overview', '15-overview'],
    ['Federations', 'Federations', '16-federations'],
    ['Keys', 'Keys', '17-keys'],
  ]) {
    await rail.getByRole('link', { name }).click();
    await expect(page.getByRole('heading', { level: 1, name: heading })).toBeVisible();
    await look(page, shot);
  }

  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('button', { name: 'Yes, sign out' }).click();
  await expect(page).toHaveURL(/\/sign-in/);
  await page.goto('/keys');
  await expect(page).toHaveURL(/\/sign-in/);
});
