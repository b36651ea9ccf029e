import { expect, test } from "vitest";
import { loginAddress, nextPath } from "./next-path";

test.each([
  ["/devices.html?a=1#site=Maison", "/devices.html?a=1#site=Maison"],
  ["/", "/"],
  ["//evil.example", "/"],
  ["/\\evil.example", "/"],
  ["\\/evil.example", "/"],
  ["/\t/evil.example", "/"],
  ["/\n/evil.example", "/"],
  ["https://evil.example/", "/"],
  ["javascript:alert(1)", "/"],
  ["devices.html", "/"],
  ["", "/"],
  ["/login.html?next=/", "/"],
  ["/login", "/"],
  ["/loginbook", "/loginbook"],
])("after login %j leads to %j", (wanted, expected) => {
  expect(nextPath(`?next=${encodeURIComponent(wanted)}`)).toBe(expected);
});

test("without a wish the dashboard follows", () => {
  expect(nextPath("")).toBe("/");
});

test("the login page is told where to go on, whatever the address contains", () => {
  const here = "/?a=1&next=//evil.example#site=Maison&room=Été";
  expect(nextPath(new URL(loginAddress(here), "http://localhost").search)).toBe(here);
  expect(loginAddress("/")).toBe("/login.html");
});
