// Keyward in Debian's Chromium, signed in at a real OpenID provider. `cargo xtask test` runs this on both databases.
import { defineConfig } from '@playwright/test';

// Both databases have their runs at the same time, so each says which it is and keeps its results apart.
const database = process.env.KEYWARD_E2E_DATABASE?.startsWith('postgres') ? 'postgres' : 'sqlite';

export default defineConfig({
  testDir: 'tests',
  globalSetup: './fixtures/setup.ts',
  // One worker a database: secrets.spec.ts reads what all others left behind.
  workers: 1,
  fullyParallel: false,
  retries: 0,
  forbidOnly: true,
  timeout: 90_000,
  expect: { timeout: 10_000 },
  outputDir: `test-results/${database}`,
  reporter: [['list'], ['json', { outputFile: process.env.PLAYWRIGHT_JSON_OUTPUT_NAME ?? `test-results/${database}.json` }]],
  // Projects run in this order: the last has to see the keys of all.
  projects: [
    { name: database, testIgnore: '**/secrets.spec.ts' },
    { name: `${database}, secrets`, testMatch: '**/secrets.spec.ts' },
  ],
  use: {
    browserName: 'chromium',
    locale: 'en-GB',
    timezoneId: 'UTC',
    viewport: { width: 1280, height: 900 },
    launchOptions: {
      executablePath: process.env.KEYWARD_E2E_CHROMIUM ?? '/usr/bin/chromium',
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    },
    actionTimeout: 15_000,
    navigationTimeout: 15_000,
    screenshot: 'only-on-failure',
  },
});
