// Every page of the table in app/src/app.rs: axe in light and dark and on a phone, no sideways scroll down to 320 px,
// and the same heading with script switched off. The list is read from the app, so that a new page is looked at from
// the day it is there; one with a parameter of its own needs a row in `ROWS`.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { axe } from '../../fixtures/look.ts';
import { anotherPage, expect, signIn, test } from '../../fixtures/test.ts';
import { makeWorld, type World } from '../../fixtures/world.ts';

const APP = join(import.meta.dirname ?? '.', '..', '..', '..', 'app', 'src', 'app.rs');
const ROUTES = [...readFileSync(APP, 'utf8').matchAll(/<Route path=path!\("([^"]+)"\)/g)].map(([, path]) => path);

/** What stands for the parameters of a route. Where nothing is said, `:slug` is the federation and `/keys/:id` its key. */
const ROWS: Record<string, (world: World) => string> = {
  '/keys/:id/client': ({ client }) => `/keys/${client}/client`,
  '/federations/:slug/delivery/new': ({ slug }) => `/federations/${slug}/delivery/new?connector=webhook`,
  '/federations/:slug/delivery/:id': ({ slug, target }) => `/federations/${slug}/delivery/${target}`,
  '/federations/:slug/users/:id': ({ slug, user }) => `/federations/${slug}/users/${user}`,
  '/federations/:slug/groups/:id': ({ slug, group }) => `/federations/${slug}/groups/${group}`,
  '/federations/:slug/blast': ({ slug, key }) => `/federations/${slug}/blast?key=${key}`,
  '/federations/:slug/undo': ({ slug, key }) => `/federations/${slug}/undo?key=${key}`,
  '/federations/:slug/undo/:id': ({ slug, undo }) => `/federations/${slug}/undo/${undo}`,
  '/rotation/:id': ({ rotation }) => `/rotation/${rotation}`,
  '/rotation/:id/:act': ({ rotation }) => `/rotation/${rotation}/hold`,
  '/cases/:id': (world) => `/cases/${world.case}`,
  '/cases/:id/held': ({ braked }) => `/cases/${braked}/held`,
  '/hand-over/:token': ({ handOver }) => handOver,
  '/usage/requests/:id': ({ request }) => `/usage/requests/${request}`,
  '/audit/:seq': () => '/audit/2',
  '/compliance/attestations/:id': ({ attestation }) => `/compliance/attestations/${attestation}`,
};

/** Answers of forms, which nobody can ask for; `the page that shows a secret once` looks at it. */
const ANSWERS = ['/shown-once'];

/** Pages with other states than the first. */
const MORE: ((world: World) => string)[] = [
  ({ slug }) => `/federations/${slug}/users?by=name&text=nobody`,
  ({ slug }) => `/federations/${slug}/brakes/mark?resource=x`,
  ({ braked }) => `/cases/${braked}`,
  ({ user, slug }) => `/federations/${slug}/undo?resource=${user}`,
  ({ slug }) => `/usage?federation=${slug}&decision=denied`,
  ({ slug }) => `/audit?federation=${slug}&action=key.issued`,
  ({ rotation }) => `/rotation/${rotation}/finish`,
];

let world: World;

test.beforeAll(async ({ browser }) => {
  test.setTimeout(180_000);
  const page = await anotherPage(browser);
  await signIn(page, 'ana');
  // A test that fails ends its worker, and the next one makes a world of its own.
  const number = test.info().workerIndex;
  world = await makeWorld(page, `world-${number}`, `World ${number}`);
  await page.close();
});

function addresses(): string[] {
  const routes = ROUTES.filter((route) => !ANSWERS.includes(route));
  const asked = routes.map((route) => ROWS[route]?.(world) ?? route.replace(':slug', world.slug).replace('/keys/:id', `/keys/${world.key}`));
  return [...asked, ...MORE.map((more) => more(world))];
}

/** How far the page can be scrolled sideways, and what sticks out. */
async function overflow(page: Page): Promise<string> {
  return page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth <= clientWidth) return '';
    const wide = [...document.querySelectorAll('main *')].filter((one) => one.getBoundingClientRect().right > clientWidth + 1);
    return `${scrollWidth - clientWidth} px: ${wide.slice(0, 3).map((one) => one.outerHTML.slice(0, 160)).join(' | ')}`;
  });
}

test('the table of pages is read, and every parameter has a row', () => {
  expect(ROUTES.length).toBeGreaterThan(50);
  const without = addresses().filter((address) => address.includes(':'));
  expect(without, 'add a row to ROWS').toEqual([]);
  const stale = [...Object.keys(ROWS), ...ANSWERS].filter((route) => !ROUTES.includes(route));
  expect(stale, 'no page has this route any more').toEqual([]);
});

test('every page is accessible in light, in dark and on a phone, and none scrolls sideways', async ({ page }) => {
  test.setTimeout(420_000);
  await signIn(page, 'ana');
  for (const path of addresses()) {
    await page.setViewportSize({ width: 1280, height: 900 });
    await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
    const answer = await page.goto(path);
    expect.soft(answer?.status(), path).toBe(200);
    await expect.soft(page.getByRole('heading', { level: 1 }), path).toHaveCount(1);
    expect.soft(await axe(page), `axe, light: ${path}`).toEqual([]);
    await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' });
    expect.soft(await axe(page, ['color-contrast']), `axe, dark: ${path}`).toEqual([]);
    await page.setViewportSize({ width: 360, height: 740 });
    expect.soft(await axe(page), `axe, 360 px: ${path}`).toEqual([]);
    for (const width of [360, 320]) {
      await page.setViewportSize({ width, height: 740 });
      expect.soft(await overflow(page), `sideways scroll at ${width} px: ${path}`).toBe('');
    }
  }
});

test('the page that shows a secret once is accessible too', async ({ page }) => {
  await signIn(page, 'ana');
  await page.goto(`/federations/${world.slug}/canary`);
  await page.getByRole('textbox', { name: 'Name' }).fill('bait');
  await page.getByRole('textbox', { name: 'Where it will lie' }).fill('The wiki of operations');
  await page.getByRole('button', { name: /canary/i }).click();
  await expect(page.getByRole('textbox', { name: 'Shown once' })).toBeVisible();
  expect(await axe(page)).toEqual([]);
  await page.setViewportSize({ width: 320, height: 740 });
  expect(await overflow(page)).toBe('');
});

test.describe('without script', () => {
  test.use({ javaScriptEnabled: false });

  test('every page reads', async ({ page }) => {
    test.setTimeout(180_000);
    await signIn(page, 'ana');
    for (const path of addresses()) {
      const answer = await page.goto(path);
      expect.soft(answer?.status(), path).toBe(200);
      const heading = page.getByRole('heading', { level: 1 });
      await expect.soft(heading, path).toBeVisible();
      await expect.soft(heading, path).not.toHaveText(/There is nothing here|This page has failed/);
      // What only script can do is not offered, and nothing waits for it.
      expect.soft(await page.locator('.needs-script:visible').count(), `${path} offers what needs script`).toBe(0);
      expect.soft(await page.locator('template').count(), `${path} hides content in a template`).toBe(0);
    }
  });
});
