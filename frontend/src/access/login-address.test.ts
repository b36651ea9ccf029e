import { describe, expect, it } from "vitest";
import { loginAddress, nextPage } from "./login-address";

describe("the way to the login and back", () => {
  it("leads to the page one came from", () => {
    const address = loginAddress({ pathname: "/devices.html", search: "?a=1&b", hash: "#é" });
    expect(nextPage(address.slice(address.indexOf("?")))).toBe("/devices.html?a=1&b#é");
  });

  it.each([
    "//evil.example",
    "/\\evil.example",
    "https://evil.example/",
    "javascript:alert(1)",
    "/a\\b",
    "/\t/evil.example",
    "evil",
    "",
    "/login.html?next=/",
  ])("never leads elsewhere: %s", (next) => {
    expect(nextPage(`?${new URLSearchParams({ next })}`)).toBe("/");
  });

  it("leads to the first page when none was named", () => {
    expect(nextPage("")).toBe("/");
  });
});
