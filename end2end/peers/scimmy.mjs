// SCIMMY on express as a peer of the bench: users in a map, and a second map from their names, so that neither a new
// user nor a look-up by userName makes it go through all of them.
import express from "express";
import SCIMMY from "scimmy";
import SCIMMYRouters from "scimmy-routers";

const port = Number(process.argv[2]);
const users = new Map();
const ids = new Map();
let next = 1;

const folded = (name) => String(name).toLowerCase();

/** The userName of a filter that asks for nothing but one. */
function wantedName(filter) {
  if (filter?.length !== 1) return undefined;
  const [[attribute, expression], ...others] = Object.entries(filter[0]);
  const [operator, value, ...rest] = Array.isArray(expression) ? expression : [];
  const isName = others.length === 0 && attribute.toLowerCase() === "username";
  return isName && operator === "eq" && rest.length === 0 ? folded(value) : undefined;
}

SCIMMY.Resources.declare(SCIMMY.Resources.User, {
  egress: (resource) => {
    if (resource.id) {
      if (!users.has(resource.id)) throw new SCIMMY.Types.Error(404, null, `${resource.id} not found`);
      return users.get(resource.id);
    }
    const name = wantedName(resource.filter);
    if (name !== undefined) return ids.has(name) ? [users.get(ids.get(name))] : [];
    const all = [...users.values()];
    return resource.filter ? resource.filter.match(all) : all;
  },
  ingress: (resource, data) => {
    const id = resource.id ?? `user-${next++}`;
    const before = users.get(id);
    if (resource.id && !before) throw new SCIMMY.Types.Error(404, null, `${id} not found`);
    const name = folded(data.userName);
    if ((ids.get(name) ?? id) !== id) throw new SCIMMY.Types.Error(409, "uniqueness", "userName is taken");
    if (before) ids.delete(folded(before.userName));
    const now = new Date();
    const meta = { created: before?.meta?.created ?? now, lastModified: now };
    const whole = { ...JSON.parse(JSON.stringify(data)), id, meta };
    users.set(id, whole);
    ids.set(name, id);
    return whole;
  },
  degress: (resource) => {
    const before = users.get(resource.id);
    if (!before) throw new SCIMMY.Types.Error(404, null, `${resource.id} not found`);
    ids.delete(folded(before.userName));
    users.delete(resource.id);
  },
});

const app = express();
// SCIMMY's routers turn `count` and `startIndex` into numbers in place; Express 5 reads the query anew each time.
app.use((request, _response, next) => {
  Object.defineProperty(request, "query", { value: request.query, writable: true });
  next();
});
app.use("/v2", new SCIMMYRouters({
  type: "bearer",
  handler: (request) => {
    if (!request.header("Authorization")?.startsWith("Bearer ")) throw new Error("no token");
    return "keyward";
  },
}));
app.listen(port, "127.0.0.1");
