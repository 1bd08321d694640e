// Rotation as a person watches it: a policy begins it, a receiver takes the key, the consumer moves, the old key retires.
import { issueKey, registerFederation } from '../../fixtures/job.ts';
import { expectAccessible, look } from '../../fixtures/look.ts';
import { startReceiver } from '../../fixtures/receiver.ts';
import { scim } from '../../fixtures/scim.ts';
import { expect, noteDelivered, readShownKey, signIn, test } from '../../fixtures/test.ts';
import { consumer, federationWithReceiver, rest } from '../../fixtures/turn.ts';
import type { Page } from '@playwright/test';

/** A pause after which a new cycle begins, and the fastest rhythm that is believed. */
const CYCLE_MS = 21_000;

/** The entry of a federation on the board. */
function entry(page: Page, name: string) {
  return page.locator('.rotations > li').filter({ has: page.getByRole('link', { name, exact: true }) });
}

test('a policy makes a key due, its consumer takes the new one, and the old one retires', async ({ page }) => {
  test.setTimeout(600_000);
  const receiver = await startReceiver();
  try {
    await signIn(page, 'ana');
    const federation = { slug: 'rho-keycloak', name: 'Rho Keycloak', provider: 'keycloak' };
    const { key, consumer: rho } = await federationWithReceiver(page, federation, receiver, 1);

    // Nobody has said yet that rotations begin by themselves.
    await page.goto('/rotation?federation=rho-keycloak');
    await expect(page.getByText('No policy rotates keys yet')).toBeVisible();
    await look(page, '40-board-without-policy');

    // Four turns, so that its rhythm is known.
    for (let turn = 0; turn < 4; turn += 1) {
      if (turn > 0) await rest(CYCLE_MS);
      expect(await rho.work(key)).toBe(200);
    }

    await page.goto('/federations/rho-keycloak/rotation');
    await look(page, '41-policy');
    await page.getByRole('combobox', { name: 'Rotations begin' }).selectOption('yes');
    await page.getByRole('spinbutton', { name: /^Before the end, days/ }).fill('1');
    await page.getByRole('spinbutton', { name: /^Cycles of silence/ }).fill('1');
    await page.getByRole('spinbutton', { name: /^Silence at least, minutes/ }).fill('2');
    await page.getByRole('spinbutton', { name: /^Cycle of the provider, minutes/ }).fill('1');
    await page.getByRole('spinbutton', { name: /^Spread over, minutes/ }).fill('0');
    await page.getByRole('button', { name: "Preview on today's keys" }).click();
    const preview = page.getByRole('region', { name: 'Preview', exact: true });
    await expect(preview).toContainText('1 rotation would begin within a day');
    await expect(preview.getByRole('link', { name: 'rho-keycloak-1' })).toBeVisible();
    // What was typed stands.
    await expect(page.getByRole('spinbutton', { name: /^Silence at least, minutes/ })).toHaveValue('2');
    await look(page, '42-policy-preview');
    expect(receiver.taken).toHaveLength(0);
    const arrives = receiver.next();
    await page.getByRole('button', { name: 'Save policy' }).click();
    const { secret } = await arrives;
    noteDelivered(secret);

    // From here on nobody reloads the board.
    await page.goto('/rotation');
    const item = entry(page, 'Rho Keycloak');
    await expect(item.getByText('Delivered', { exact: true }).first()).toBeVisible();
    await expect(item).toContainText('Not in use yet.', { timeout: 20_000 });
    await expect(item).toContainText('begun');
    await expect(item).toContainText('by the policy');
    await look(page, '43-board-delivered');

    expect(await rho.tries(secret)).toBe(200);
    await expect(item).toContainText('Tested, not in use yet.', { timeout: 20_000 });

    expect(await rho.work(secret)).toBe(200);
    expect(await rho.work(key)).toBe(200);
    await expect(item).toContainText('Not safe to finish yet.', { timeout: 20_000 });
    await expect(item).toContainText('The old one is still used beside it.');

    const path = await item.getByRole('link', { name: 'Rho Keycloak', exact: true }).getAttribute('href');
    await page.goto(path ?? '');
    await expect(page.getByRole('heading', { level: 1, name: 'Rotation of rho-keycloak-1' })).toBeVisible();
    await expect(page.getByRole('img', { name: 'Requests by hour with the new key' })).toBeVisible();
    await expect(page.getByRole('region', { name: 'Delivery' })).toContainText('Agent');
    await look(page, '44-rotation-in-use');

    // The consumer goes on with the new key alone; the page follows by itself.
    let isOver = false;
    const works = (async () => {
      while (!isOver) {
        await rest(CYCLE_MS);
        expect(await rho.work(secret)).toBe(200);
      }
    })();
    await expect(page.getByText('Safe to finish.')).toBeVisible({ timeout: 150_000 });
    await look(page, '45-rotation-draining');
    await expect(page.getByText('Done.', { exact: true })).toBeVisible({ timeout: 150_000 });
    isOver = true;
    await works;
    await look(page, '46-rotation-done');
    expect([await rho.work(key), await rho.work(secret)]).toEqual([401, 200]);

    await page.goto('/rotation');
    await expect(entry(page, 'Rho Keycloak')).toHaveCount(0);
    await expect(page.getByRole('region', { name: 'Ended in the last seven days' })).toContainText('Rho Keycloak');
  } finally {
    await receiver.stop();
  }
});

test('a rotation is held and released, and rolled back; a key is held and released', async ({ page }) => {
  test.setTimeout(240_000);
  await signIn(page, 'ana');
  await page.goto('/federations/new');
  const base = await registerFederation(page, { slug: 'sigma-okta', name: 'Sigma Okta', provider: 'okta' });
  await page.goto('/keys/new?federation=sigma-okta');
  const first = await issueKey(page, 'sigma-okta-1');
  const sigma = await consumer(base, first, 'sigma');
  await page.getByRole('link', { name: 'Done' }).click();
  await look(page, '47-key-in-use');

  await page.getByRole('link', { name: 'Hold key' }).click();
  await look(page, '48-key-hold');
  await page.getByRole('textbox', { name: 'Why' }).fill('Looking into strange deletions');
  await page.getByRole('button', { name: 'Hold sigma-okta-1' }).click();
  await expect(page.getByText('Held', { exact: true }).first()).toBeVisible();
  expect(await sigma.work(first)).toBe(503);
  await look(page, '49-key-held');
  await page.goto('/');
  await expect(page.getByRole('region', { name: /^Needs you/ })).toContainText('Looking into strange deletions');
  await look(page, '50-overview-with-needs');
  await page.goto('/keys');
  await page.getByRole('link', { name: 'sigma-okta-1' }).click();
  await page.getByRole('button', { name: 'Release key' }).click();
  await expect(page.getByRole('link', { name: 'Hold key' })).toBeVisible();
  expect(await sigma.work(first)).toBe(200);

  await page.getByRole('link', { name: 'Rotate key' }).click();
  await expect(page.getByText('Both keys will work.')).toBeVisible();
  await look(page, '51-key-rotate');
  await page.getByRole('radio', { name: /^Show it to me/ }).check();
  await page.getByRole('button', { name: 'Rotate key' }).click();
  const second = await readShownKey(page);
  await page.goto('/rotation?federation=sigma-okta');
  const item = entry(page, 'Sigma Okta');
  await item.getByRole('link', { name: /^Hold rotation/ }).click();
  await look(page, '52-rotation-hold');
  await page.getByRole('textbox', { name: 'Why' }).fill('Not during the move');
  await page.getByRole('button', { name: 'Hold rotation' }).click();
  await expect(page.getByText('Held.', { exact: true })).toBeVisible();
  await expect(page.getByText('Not during the move')).toBeVisible();
  await look(page, '53-rotation-held');
  expect([await sigma.work(first), await sigma.tries(second)]).toEqual([200, 200]);
  await page.getByRole('link', { name: 'Release rotation' }).click();
  await page.getByRole('button', { name: 'Release rotation' }).click();
  await expect(page.getByText('Tested, not in use yet.')).toBeVisible();
  // Retiring the old key now would cut the consumer off, so it is not even offered.
  await expect(page.getByRole('link', { name: 'Retire old key' })).toHaveCount(0);
  await page.getByRole('link', { name: 'Roll back' }).click();
  await look(page, '54-rotation-roll-back');
  await page.getByRole('textbox', { name: 'Why' }).fill('The provider cannot take it yet');
  await page.getByRole('button', { name: /^Roll back and revoke/ }).click();
  await expect(page.getByText('Rolled back.', { exact: true })).toBeVisible();
  expect([await sigma.work(first), await sigma.tries(second)]).toEqual([200, 401]);
});

test('a rotation is finished by hand once the new key works', async ({ page }) => {
  test.setTimeout(120_000);
  await signIn(page, 'ana');
  await page.goto('/federations/new');
  const base = await registerFederation(page, { slug: 'tau-entra', name: 'Tau Entra', provider: 'entra' });
  await page.goto('/keys/new?federation=tau-entra');
  const first = await issueKey(page, 'tau-entra-1');
  const tau = await consumer(base, first, 'tau');
  await page.getByRole('link', { name: 'Done' }).click();
  await page.getByRole('link', { name: 'Rotate key' }).click();
  await page.getByRole('radio', { name: /^Show it to me/ }).check();
  await page.getByRole('button', { name: 'Rotate key' }).click();
  const second = await readShownKey(page);
  // The page that showed the key says first that it was tried, then that it works.
  expect(await tau.tries(second)).toBe(200);
  await expect(page.getByText('Tested', { exact: true })).toBeVisible({ timeout: 15_000 });
  expect(await tau.work(second)).toBe(200);
  await expect(page.getByText('In use', { exact: true })).toBeVisible({ timeout: 15_000 });

  await page.goto('/rotation?federation=tau-entra');
  await entry(page, 'Tau Entra').getByRole('link', { name: /^Retire old key/ }).click();
  await expect(page.getByText(/It was used .*, within a cycle of the provider/)).toBeVisible();
  await look(page, '55-rotation-finish');
  await page.getByRole('textbox', { name: 'Why' }).fill('The old copy is gone');
  await page.getByRole('button', { name: 'Retire tau-entra-1 now' }).click();
  await expect(page.getByText('Done.', { exact: true })).toBeVisible();
  expect([await tau.work(first), await tau.work(second)]).toEqual([401, 200]);
});

test('a policy is refused with what to fix, and an exception is made and ended', async ({ page }) => {
  await signIn(page, 'ana');
  await page.goto('/federations/new');
  await registerFederation(page, { slug: 'upsilon-other', name: 'Upsilon', provider: 'other' });
  await page.goto('/federations/upsilon-other/rotation');
  await page.getByRole('checkbox', { name: /^Other times/ }).check();
  await page.getByRole('textbox', { name: /^Windows/ }).fill('noon');
  await page.getByRole('button', { name: 'Save policy' }).click();
  await expect(page.getByRole('alert')).toContainText('is not like');
  await look(page, '56-policy-refused');
  await page.getByRole('textbox', { name: /^Windows/ }).fill('mon-fri 08:00-17:00 +01:00');
  await page.getByRole('button', { name: 'Save policy' }).click();
  await expect(page.getByRole('textbox', { name: /^Windows/ })).toHaveValue(/^mon,tue,wed,thu,fri 08:00-17:00 \+01:00$/);
  await page.getByRole('textbox', { name: 'Who answers for it' }).fill('legal@acme.example');
  const day = new Date(Date.now() + 10 * 86_400_000).toISOString().slice(0, 10);
  await page.getByLabel('Last day').fill(day);
  await page.getByRole('textbox', { name: /^Why/ }).fill('The contract is being renewed');
  await page.getByRole('button', { name: 'Make exception' }).click();
  const row = page.getByRole('row').filter({ hasText: 'The contract is being renewed' });
  await expect(row).toContainText('Exempt');
  await look(page, '57-policy-with-exception');
  await row.getByRole('button', { name: 'End the exception for Every key' }).click();
  await expect(row).toContainText('Ended');
  await page.goto('/settings/rotation');
  await look(page, '58-installation-policy');
});

test('a manager sees the board and changes nothing', async ({ page }) => {
  await signIn(page, 'rui');
  await page.goto('/rotation');
  await expect(page.getByRole('heading', { level: 1, name: 'Rotation' })).toBeVisible();
  await expectAccessible(page, 'board as manager');
  await expect(page.getByRole('link', { name: /^Hold rotation/ })).toHaveCount(0);
  expect((await page.goto('/settings/rotation'))?.status()).toBe(403);
});

test.describe('without script', () => {
  test.use({ javaScriptEnabled: false });

  test('a rotation is seen, held, released and rolled back', async ({ page }) => {
    test.setTimeout(120_000);
    await signIn(page, 'ana');
    await page.goto('/federations/new');
    const base = await registerFederation(page, { slug: 'phi-ping', name: 'Phi Ping', provider: 'ping' });
    await page.goto('/keys/new?federation=phi-ping');
    const first = await issueKey(page, 'phi-ping-1');
    expect((await scim(base, first, 'GET', '/ServiceProviderConfig')).status).toBe(200);
    await page.getByRole('link', { name: 'Done' }).click();
    await page.getByRole('link', { name: 'Rotate key' }).click();
    await page.getByRole('radio', { name: /^Hand it over/ }).check();
    await page.getByRole('button', { name: 'Rotate key' }).click();
    // Nobody was shown the key: the page of the rotation says who gets it.
    await expect(page.getByRole('heading', { level: 1, name: 'Rotation of phi-ping-1' })).toBeVisible();
    await expect(page.getByText('Not delivered yet.')).toBeVisible();
    await expect(page.getByRole('region', { name: 'Delivery' })).toContainText('Hand-off to a person');

    await page.goto('/rotation?federation=phi-ping');
    const item = entry(page, 'Phi Ping');
    await expect(item).toContainText('Not delivered yet.');
    await item.getByRole('link', { name: /^Hold rotation/ }).click();
    await page.getByRole('textbox', { name: 'Why' }).fill('Without script');
    await page.getByRole('button', { name: 'Hold rotation' }).click();
    await expect(page.getByText('Held.', { exact: true })).toBeVisible();
    await page.getByRole('link', { name: 'Release rotation' }).click();
    await page.getByRole('button', { name: 'Release rotation' }).click();
    await page.getByRole('link', { name: 'Roll back' }).click();
    await page.getByRole('textbox', { name: 'Why' }).fill('Without script');
    await page.getByRole('button', { name: /^Roll back and revoke/ }).click();
    await expect(page.getByText('Rolled back.', { exact: true })).toBeVisible();
  });
});
