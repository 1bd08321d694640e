// What the npm oracles say to the cases of a folder: `node oracles.mjs FOLDER`.
//
// scim2-parse-filter evaluates filters, scim-patch applies PATCH requests. Neither knows a schema: what is compared
// without its case is given to the first with its case taken out. See oracles.py for where the cases come from.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(import.meta.url);
const { parse, filter } = require('scim2-parse-filter');
const { patchBodyValidation, scimPatch } = require('scim-patch');

const PATCH_URN = 'urn:ietf:params:scim:api:messages:2.0:PatchOp';

const folder = process.argv[2];
const cases = (name) => readFileSync(join(folder, name), 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
const answer = (name, answers) => writeFileSync(join(folder, name), answers.map((each) => `${JSON.stringify(each)}\n`).join(''));

const { folded } = JSON.parse(readFileSync(join(folder, 'people.json'), 'utf8'));

function evaluate({ folded: text }) {
  try {
    const matches = filter(parse(text));
    return folded.map((person) => matches(person));
  } catch {
    return 'invalidFilter';
  }
}

function patch({ resource, operations }) {
  try {
    patchBodyValidation({ schemas: [PATCH_URN], Operations: operations });
    return { resource: scimPatch(structuredClone(resource), structuredClone(operations)) };
  } catch (error) {
    return { error: error.scimCode ?? 'error' };
  }
}

answer('scim2-parse-filter.filters.jsonl', cases('filters.jsonl').map(evaluate));
answer('scim-patch.patches.jsonl', cases('patches.jsonl').map(patch));
