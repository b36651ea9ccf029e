import { expect, test } from "vitest";
import { hasRole, identityOf } from "./identity";

test("an answer that names nobody is nobody", () => {
  expect(identityOf(null)).toBeUndefined();
  expect(identityOf({ kind: "robot" })).toBeUndefined();
});

test("what is not as it should be gives no rights", () => {
  const identity = identityOf({ kind: "person", name: 7, role: "root", sites: ["Maison", 7] });
  expect(identity).toEqual({ kind: "person", name: null, role: null, sites: ["Maison"] });
  expect(hasRole(identity, "viewer")).toBe(false);
});

test("a role includes those below it", () => {
  const operator = identityOf({ kind: "anyone", name: null, role: "operator", sites: null });
  expect(hasRole(operator, "viewer")).toBe(true);
  expect(hasRole(operator, "operator")).toBe(true);
  expect(hasRole(operator, "admin")).toBe(false);
  expect(hasRole(undefined, "viewer")).toBe(false);
});
