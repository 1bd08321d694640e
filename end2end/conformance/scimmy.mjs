// SCIMMY on express, with users and groups in memory: a SCIM service that others made.
import express from "express";
import SCIMMY from "scimmy";
import SCIMMYRouters from "scimmy-routers";

const port = Number(process.argv[2]);

/** Declares a type whose resources are kept in a map. */
function declare(type, unique) {
  const kept = new Map();
  let next = 1;
  SCIMMY.Resources.declare(type, {
    egress: (resource) => {
      if (resource.id) {
        if (!kept.has(resource.id)) throw new SCIMMY.Types.Error(404, null, `${resource.id} not found`);
        return kept.get(resource.id);
      }
      const all = [...kept.values()];
      return resource.filter ? resource.filter.match(all) : all;
    },
    ingress: (resource, data) => {
      const id = resource.id ?? `${type.name.toLowerCase()}-${next++}`;
      if (resource.id && !kept.has(id)) throw new SCIMMY.Types.Error(404, null, `${id} not found`);
      const name = String(data[unique]).toLowerCase();
      const taken = [...kept.values()].some((other) => other.id !== id && String(other[unique]).toLowerCase() === name);
      if (taken) throw new SCIMMY.Types.Error(409, "uniqueness", `${unique} is taken`);
      const now = new Date();
      const meta = { created: kept.get(id)?.meta?.created ?? now, lastModified: now };
      const whole = { ...JSON.parse(JSON.stringify(data)), id, meta };
      kept.set(id, whole);
      return whole;
    },
    degress: (resource) => {
      if (!kept.delete(resource.id)) throw new SCIMMY.Types.Error(404, null, `${resource.id} not found`);
    },
  });
}

declare(SCIMMY.Resources.User, "userName");
declare(SCIMMY.Resources.Group, "displayName");

const app = express();
app.use("/v2", new SCIMMYRouters({
  type: "bearer",
  handler: (request) => {
    if (!request.header("Authorization")?.startsWith("Bearer ")) throw new Error("no token");
    return "keyward";
  },
}));
app.listen(port, "127.0.0.1");
